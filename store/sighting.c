/* Where was this content ever seen? */
#include <errno.h>
#include <string.h>

#include "store/version.h"

/* [*from, *to): entries of a SIGHT run whose first 8 bytes are the hash's. */
static void range(const struct run *run, const uint8_t *hash, uint64_t *from, uint64_t *to)
{
    *from = *to = run_lower_bound(run, hash, 8);
    while (*to < run->count && memcmp(run_entry(run, *to, 16), hash, 8) == 0) {
        if (*to - *from < 32) { /* nearly always a handful */
            ++*to;
            continue;
        }
        uint8_t key[16];
        memcpy(key, hash, 8);
        memset(key + 8, 0xff, 8);
        *to = run_lower_bound(run, key, 16);
        break;
    }
}

/* Let the memory of every run's answer come at once: one after the other, each would be waited for. */
static void prefetch(const struct chv_store *s, const uint8_t *hash)
{
    size_t n = snapshot_run_count(s);
    for (size_t i = 0; i < n; i++) run_prefetch_bucket(snapshot_run(s, RUN_SIGHT, i).run, hash);
    for (size_t i = 0; i < n; i++) run_prefetch_entry(snapshot_run(s, RUN_SIGHT, i).run, hash);
}

int64_t chv_store_sightings(const struct chv_store *s, const uint8_t hash[CHV_HASH_BYTES], uint64_t limit,
                            chv_sighting_fn *fn, void *arg, struct chv_err *err)
{
    int64_t reported = 0;
    snapshot_touch(s);
    prefetch(s, hash);
    for (size_t i = 0; i < snapshot_run_count(s); i++) {
        struct run_ref ref = snapshot_run(s, RUN_SIGHT, i);
        uint64_t from, to;
        range(ref.run, hash, &from, &to);
        for (uint64_t k = from; k < to; k++) {
            struct chv_event e;
            int r = chv_store_event(s, run_get64(run_entry(ref.run, k, 16) + 8), &e, err);
            if (r == -ENOENT || (r == 0 && memcmp(e.hash, hash, 8) != 0))
                return version_misfit(s, run_get64(run_entry(ref.run, k, 16) + 8), err);
            if (r < 0) return r;
            if (memcmp(e.hash, hash, CHV_HASH_BYTES) != 0) continue; /* agrees in 64 bits only */
            r = fn(arg, &e);
            if (r != 0) return r;
            if (++reported == (int64_t)limit) return reported;
        }
    }
    return reported;
}

uint64_t chv_store_sighting_count(const struct chv_store *s, const uint8_t hash[CHV_HASH_BYTES])
{
    uint64_t count = 0;
    snapshot_touch(s);
    prefetch(s, hash);
    for (size_t i = 0; i < snapshot_run_count(s); i++) {
        uint64_t from, to;
        range(snapshot_run(s, RUN_SIGHT, i).run, hash, &from, &to);
        count += to - from;
    }
    return count;
}

void chv_store_sighting_counts(const struct chv_store *s, const uint8_t (*hashes)[CHV_HASH_BYTES], size_t count,
                               uint64_t *counts)
{
    if (count == 0) return; /* the arrays may be NULL then */
    memset(counts, 0, count * sizeof *counts);
    /* Run by run: with sorted hashes each run is walked in its own order. */
    for (size_t i = 0; i < snapshot_run_count(s); i++) {
        const struct run *run = snapshot_run(s, RUN_SIGHT, i).run;
        for (size_t h = 0; h < count; h++) {
            uint64_t from, to;
            snapshot_touch(s);
            if (h + 16 < count) run_prefetch_bucket(run, hashes[h + 16]);
            if (h + 8 < count) run_prefetch_entry(run, hashes[h + 8]);
            range(run, hashes[h], &from, &to);
            counts[h] += to - from;
        }
    }
}

/* Where was this content ever seen? */
#include <errno.h>
#include <string.h>

#include "store/version.h"

enum { HANDFUL = 32 };

/* [from, to): entries of a SIGHT run whose first 8 bytes are the hash's. */
struct range {
    uint64_t from, to;
    uint8_t first[RUN_WIDTH_MAX]; /* the entry at `from` */
    bool by_read;
};

static void find_range(const struct chv_store *s, const struct run *run, const uint8_t *hash, struct range *out)
{
    uint64_t at;
    out->from = out->to = 0;
    out->by_read = run_pages_tight(&s->pages);
    if (!run_find(run, hash, 8, out->by_read, &at, out->first)) return;
    out->from = at;
    for (out->to = out->from + 1; out->to < run->count && run_may_be(run, out->to, hash); out->to++) {
        uint8_t entry[RUN_WIDTH_MAX];
        if (out->to - out->from == HANDFUL) { /* nearly always fewer */
            memcpy(entry, hash, 8);
            memset(entry + 8, 0xff, 8);
            out->to = run_lower_bound(run, entry, 16);
            out->by_read = false; /* one after the other */
            return;
        }
        run_copy(run, out->to, out->by_read, entry);
        if (memcmp(entry, hash, 8) != 0) return;
    }
}

static uint64_t seq_of(const struct run *run, const struct range *range, uint64_t k)
{
    uint8_t entry[RUN_WIDTH_MAX];
    if (k == range->from) return run_get64(range->first + 8);
    run_copy(run, k, range->by_read, entry);
    return run_get64(entry + 8);
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
        struct range range;
        find_range(s, ref.run, hash, &range);
        for (uint64_t k = range.from; k < range.to; k++) {
            struct chv_event e;
            uint64_t seq = seq_of(ref.run, &range, k);
            int r = chv_store_event(s, seq, &e, err);
            if (r == -ENOENT || (r == 0 && memcmp(e.hash, hash, 8) != 0)) return version_misfit(s, seq, err);
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
        struct range range;
        find_range(s, snapshot_run(s, RUN_SIGHT, i).run, hash, &range);
        count += range.to - range.from;
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
            struct range range;
            snapshot_touch_runs(s, 1);
            if (h + 16 < count) run_prefetch_bucket(run, hashes[h + 16]);
            if (h + 8 < count) run_prefetch_entry(run, hashes[h + 8]);
            find_range(s, run, hashes[h], &range);
            counts[h] += range.to - range.from;
        }
    }
}

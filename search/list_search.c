#include "search/list_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "search/internal.h"

#define BATCH 16384
#define NAME_MAX_BYTES 1024
#define MD5_MATCHES 16

struct pending { /* one entry of a batch */
    struct search_block block;
    bool placed;         /* has a place in its file */
    bool absent;         /* an MD5 that the store does not hold */
    uint32_t name;       /* offset into the batch's names */
    uint32_t order;
    uint64_t count;      /* sightings */
};

struct driver {
    const struct chv_store *store;
    const struct search_options *options;
    list_found_fn *fn;
    void *arg;
    search_progress_fn *md5_progress;
    void *progress_arg;
    struct list_report *report;
    struct md5_index *md5;
    uint64_t unit;

    struct pending *batch;
    size_t count;
    char *names;
    size_t names_bytes, names_capacity;
    uint8_t (*hashes)[CHV_HASH_BYTES];
    uint64_t *counts;
    struct search_block *blocks; /* of the open group, not yet looked up */
    size_t block_count;

    struct search *group; /* exists once the open group has a hit */
    char group_name[NAME_MAX_BYTES];
    bool group_open;
    uint64_t group_missing;
};

static int compare_hash(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    return memcmp(x->block.hash, y->block.hash, CHV_HASH_BYTES);
}

static int compare_order(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static int group_flush(struct driver *d, struct chv_err *err)
{
    if (d->block_count == 0) return 0;
    int r = search_batch(d->group, d->blocks, d->block_count, err);
    d->block_count = 0;
    return r;
}

static int group_end(struct driver *d, struct chv_err *err)
{
    int r = 0;
    if (d->group) {
        const struct search_result *result;
        r = group_flush(d, err);
        struct search_result *counts = &d->group->result;
        counts->blocks += d->group_missing;
        counts->kinds[BLOCK_PROBATIVE] += d->group_missing;
        counts->phase_total[0] += d->group_missing;
        if (r == 0) r = search_finish(d->group, &result, err);
        if (r == 0 && result->candidate_count > 0) r = d->fn(d->arg, d->group_name, result);
        search_free(d->group);
    }
    d->group = NULL;
    d->group_open = false;
    d->group_missing = 0;
    d->block_count = 0;
    return r;
}

static int group_add(struct driver *d, const struct pending *p, struct chv_err *err)
{
    if (p->count == 0) {
        d->group_missing++;
        return 0;
    }
    d->report->found++;
    if (!d->group && !(d->group = search_new(d->store, d->options))) return chv_err_set(err, ENOMEM, "out of memory");
    d->blocks[d->block_count++] = p->block;
    return d->block_count == BATCH ? group_flush(d, err) : 0;
}

static int batch_walk(struct driver *d, struct chv_err *err)
{
    int r = 0;
    for (size_t i = 0; i < d->count && r == 0; i++) {
        const struct pending *p = &d->batch[i];
        const char *name = d->names + p->name;
        bool continues = p->placed && d->group_open && strcmp(name, d->group_name) == 0;
        if (!continues && (r = group_end(d, err)) != 0) break;
        if (!continues && !p->placed && p->count == 0) continue;
        if (!continues) {
            char hex[2 * CHV_HASH_BYTES + 1];
            snprintf(d->group_name, sizeof d->group_name, "%s",
                     *name ? name : hex_format(p->block.hash, CHV_HASH_BYTES, hex));
            d->group_open = p->placed;
        }
        r = group_add(d, p, err);
    }
    return r;
}

static int batch_search(struct driver *d, struct chv_err *err)
{
    qsort(d->batch, d->count, sizeof *d->batch, compare_hash);
    for (size_t i = 0; i < d->count; i++) memcpy(d->hashes[i], d->batch[i].block.hash, CHV_HASH_BYTES);
    chv_store_sighting_counts(d->store, d->hashes, d->count, d->counts);
    for (size_t i = 0; i < d->count; i++) d->batch[i].count = d->batch[i].absent ? 0 : d->counts[i];
    qsort(d->batch, d->count, sizeof *d->batch, compare_order);
    int r = batch_walk(d, err);
    d->count = 0;
    d->names_bytes = 0;
    return r;
}

static int keep_name(struct driver *d, const char *name, uint32_t *at, struct chv_err *err)
{
    size_t bytes = strnlen(name, NAME_MAX_BYTES - 1);
    if (d->names_bytes + bytes + 1 > d->names_capacity) {
        size_t capacity = 2 * (d->names_bytes + bytes + 1);
        char *grown = realloc(d->names, capacity);
        if (!grown) return chv_err_set(err, ENOMEM, "out of memory");
        d->names = grown;
        d->names_capacity = capacity;
    }
    *at = (uint32_t)d->names_bytes;
    memcpy(d->names + d->names_bytes, name, bytes);
    d->names[d->names_bytes + bytes] = 0;
    d->names_bytes += bytes + 1;
    return 0;
}

static int batch_add(struct driver *d, const struct hash_entry *e, const uint8_t *sha256, struct chv_err *err)
{
    struct pending *p = &d->batch[d->count];
    *p = (struct pending){.order = (uint32_t)d->count, .absent = !sha256};
    if (sha256) memcpy(p->block.hash, sha256, CHV_HASH_BYTES);
    p->placed = e->has_offset && e->offset % CHV_SECTOR_BYTES == 0;
    p->block.sector = p->placed ? e->offset / CHV_SECTOR_BYTES : 0;
    int r = keep_name(d, e->name, &p->name, err);
    if (r < 0) return r;
    d->count++;
    return d->count == BATCH ? batch_search(d, err) : 0;
}

static int add_md5(struct driver *d, const struct hash_entry *e, struct chv_err *err)
{
    uint8_t found[MD5_MATCHES][CHV_HASH_BYTES];
    if (!d->md5) {
        int r = md5_index_open(d->store, d->md5_progress, d->progress_arg, &d->md5, &d->report->md5, err);
        if (r < 0) return r;
        d->report->used_md5 = true;
    }
    size_t n = md5_index_find(d->md5, e->md5, found, MD5_MATCHES);
    if (n > 1) d->report->md5_ambiguous++;
    if (n == 0) return batch_add(d, e, NULL, err);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) r = batch_add(d, e, found[i], err);
    return r;
}

static int driver_init(struct driver *d, struct chv_err *err)
{
    d->unit = chv_store_block_bytes(d->store) / CHV_SECTOR_BYTES;
    d->batch = malloc(BATCH * sizeof *d->batch);
    d->hashes = malloc(BATCH * sizeof *d->hashes);
    d->counts = malloc(BATCH * sizeof *d->counts);
    d->blocks = malloc(BATCH * sizeof *d->blocks);
    return d->batch && d->hashes && d->counts && d->blocks ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

int search_hash_list(const struct chv_store *store, const struct search_options *options, struct hash_list *list,
                     list_found_fn *fn, void *arg, search_progress_fn *md5_progress, void *progress_arg,
                     struct list_report *report, struct chv_err *err)
{
    *report = (struct list_report){0};
    struct driver d = {
        .store = store,
        .options = options,
        .fn = fn,
        .arg = arg,
        .md5_progress = md5_progress,
        .progress_arg = progress_arg,
        .report = report,
    };
    int r = driver_init(&d, err);
    struct hash_entry e;
    while (r == 0 && (r = hash_list_next(list, &e, err)) == 1) {
        report->entries++;
        r = 0;
        if (e.too_short) report->too_short++;
        else if (e.has_sha256) r = batch_add(&d, &e, e.sha256, err);
        else r = add_md5(&d, &e, err);
    }
    if (r == 0) r = batch_search(&d, err);
    if (r == 0) r = group_end(&d, err);
    search_free(d.group);
    md5_index_close(d.md5);
    free(d.batch);
    free(d.names);
    free(d.hashes);
    free(d.counts);
    free(d.blocks);
    return r;
}

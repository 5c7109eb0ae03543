#include "store/reindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/index.h"
#include "store/segment.h"

#define GROUP_EVENTS (UINT64_C(1) << 20) /* events sorted together: 100 to 250 MiB */
#define READ_EVENTS 16384u
#define MERGE_GROUPS 16u

struct reindex {
    const struct meta *meta;
    const struct io *io;
    struct index *index;
    struct index_entries entries;
    uint64_t first_seq, last_seq, events; /* of the group being gathered */
    uint64_t pack, pack_bytes;            /* packs read up to here */
    uint64_t to_pack, to_bytes;           /* as the last COMMIT says */
};

static int take_loc(void *arg, const struct pack_record *record, pack_loc loc)
{
    return index_entries_add_loc(arg, record->hash, loc);
}

static int take_packs(struct reindex *x, struct chv_err *err)
{
    int r = pack_scan_range(x->meta, x->pack, x->pack_bytes, x->to_pack, x->to_bytes, take_loc, &x->entries, err);
    x->pack = x->to_pack;
    x->pack_bytes = x->to_bytes;
    return r;
}

static int flush_group(struct reindex *x, struct chv_err *err)
{
    if (x->events == 0) return 0;
    struct index *fresh;
    int r = take_packs(x, err);
    if (r < 0) return r;
    index_entries_sort(&x->entries);
    r = index_add(x->meta, x->io, x->index, &x->entries, x->first_seq, x->last_seq, x->to_pack, x->to_bytes, &fresh, err);
    if (r < 0) return r;
    index_unref(x->index);
    x->index = fresh;
    index_entries_fini(&x->entries);
    x->events = 0;
    return 0;
}

static int take_segment(struct reindex *x, const struct segment *seg, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    struct chv_event *events = malloc(READ_EVENTS * sizeof *events);
    meta_segment_path(x->meta, seg->number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = !events ? -ENOMEM : fd < 0 ? -errno : 0;
    for (uint64_t at = 0; r == 0 && at < seg->events;) {
        size_t n = seg->events - at < READ_EVENTS ? (size_t)(seg->events - at) : READ_EVENTS;
        r = io_pread_full(fd, events, n * sizeof *events, segment_event_offset(at));
        if (r == 0) r = index_entries_add_events(&x->entries, events, n, x->meta->block_bytes);
        if (r < 0) break;
        if (x->events == 0) x->first_seq = events[0].seq;
        x->last_seq = events[n - 1].seq;
        x->events += n;
        for (size_t i = n; i-- > 0;)
            if (events[i].op == CHV_OP_COMMIT) {
                x->to_pack = events[i].sectors;
                x->to_bytes = chv_event_lba(&events[i]);
                break;
            }
        at += n;
        /* A group may end only where the packs are known to: behind a COMMIT. */
        if (x->events >= GROUP_EVENTS && events[n - 1].op == CHV_OP_COMMIT) {
            r = flush_group(x, err);
            if (r < 0) goto out;
        }
    }
    if (r < 0) chv_err_set(err, r == -ENODATA ? EBADMSG : -r, "%s: %s", path, r == -ENODATA ? "cut off" : strerror(-r));
    else if (x->events >= GROUP_EVENTS) r = flush_group(x, err); /* sealed segments end with a COMMIT */
out:
    if (fd >= 0) close(fd);
    free(events);
    return r;
}

static int merge_all(struct reindex *x, struct chv_err *err)
{
    /* Pass by pass over neighbours: merging always the oldest would write the first groups again with each of the others. */
    for (size_t first = 0, n; x->index->count > 1; first++) {
        struct index_group *merged;
        struct index *fresh;
        n = first < x->index->count ? x->index->count - first : 0;
        if (n < 2) first = 0, n = x->index->count;
        if (n > MERGE_GROUPS) n = MERGE_GROUPS;
        int r = index_merge_groups(x->meta, x->io, x->index, first, n, x->index->next_id++, &merged, err);
        if (r == 0) r = index_replace(x->meta, x->io, x->index, merged, &fresh, err);
        if (r < 0) return r;
        index_unref(x->index);
        x->index = fresh;
    }
    return 0;
}

static int drop_old(const struct meta *meta, const struct io *io, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    struct index *none;
    meta_path(meta, "index/manifest", path);
    int r = io->unlink(io, path);
    if (r < 0 && r != -ENOENT) return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    r = index_load(meta, false, &none, err);
    if (r < 0) return r;
    index_sweep(meta, io, none);
    index_unref(none);
    return 0;
}

int reindex_locked(const struct meta *meta, const struct io *io, chv_progress_fn *progress, void *arg, struct chv_err *err)
{
    struct reindex x = {.meta = meta, .io = io, .pack = 1};
    uint64_t *numbers, count, start = 0;
    struct segment seg;
    int r = index_make_folder(meta, err);
    if (r == 0) r = drop_old(meta, io, err);
    if (r == 0) r = index_load(meta, false, &x.index, err);
    if (r < 0) return r;
    r = meta_list(meta, "log", ".seg", &numbers, &count, err);
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        r = segment_probe(meta, numbers[i], &seg, err);
        if (r == 0 && seg.carry) start = i; /* what was before it is replaced */
        if (r < 0 && i + 1 == count && segment_is_stillborn(meta, numbers[i])) r = 0; /* never finished: recovery removes it */
    }
    for (uint64_t i = start; r == 0 && i < count; i++) {
        if (progress) progress(arg, "index", i, count);
        if (segment_probe(meta, numbers[i], &seg, err) < 0 || !seg.sealed) break;
        r = take_segment(&x, &seg, err);
    }
    if (r == 0) r = flush_group(&x, err);
    if (r == 0) r = merge_all(&x, err);
    if (progress) progress(arg, "index", count, count);
    free(numbers);
    index_entries_fini(&x.entries);
    index_unref(x.index);
    return r;
}

int chv_store_reindex(const char *dir, chv_progress_fn *progress, void *arg, struct chv_err *err)
{
    struct meta meta;
    int r = meta_load(dir, &meta, err);
    if (r < 0) return r;
    int lock = meta_lock(&meta, err);
    if (lock < 0) return lock;
    r = reindex_locked(&meta, &io_real, progress, arg, err);
    close(lock);
    return r;
}

/* Opening a disk for recording: what does the log know of it, and is it still so? */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/clock.h"
#include "sensor/capture/aio.h"
#include "sensor/capture/compare.h"
#include "sensor/capture/session.h"

enum verdict {
    VERDICT_NEW,    /* never recorded in this store */
    VERDICT_SAME,   /* as recording left it */
    VERDICT_REDO,   /* the recorder was killed */
    VERDICT_FIND,   /* the host went down under the recorder */
    VERDICT_RESYNC, /* changed by others, and the operator says to go on */
};

static const struct chv_space *find_space(const struct chv_store *store, const char *name)
{
    for (size_t i = 0; i < chv_store_space_count(store); i++) {
        const struct chv_space *space = chv_store_space(store, i);
        if (strcmp(space->name, name) == 0) return space;
    }
    return NULL;
}

/* Compare the disk with what is remembered of it, or refuse. *mark gets what was remembered. */
static int judge(const struct session_options *o, const struct session_disk *sd, const struct disk *disk,
                 const struct chv_space *space, struct mark *mark, enum verdict *verdict, struct chv_err *err)
{
    struct disk_stamp now;
    bool crashed = false, same_boot = false;
    int r = disk_stamp(disk, &now);
    if (r < 0) return chv_err_set(err, -r, "disk %s: %s", disk->path, strerror(-r));
    int known = mark_load(o->store_dir, sd->space, mark);
    *verdict = VERDICT_NEW;
    if (!space) return 0;
    const char *why = known ? mark_differs(mark, &now, &crashed, &same_boot)
                            : "the store does not remember how recording it ended";
    if (why && !o->resync)
        return chv_err_set(err, ESTALE,
                           "disk %s is not as %s was left: %s; --resync records a gap and what is there now",
                           disk->path, sd->space, why);
    *verdict = why || o->resync ? VERDICT_RESYNC : !crashed ? VERDICT_SAME : same_boot ? VERDICT_REDO : VERDICT_FIND;
    return 0;
}

int session_check(const struct session_options *o, struct chv_err *err)
{
    struct chv_store *store = NULL;
    int r = chv_store_open(o->store_dir, &store, err);
    if (r == -ENOENT) r = 0; /* will be created */
    if (r == 0 && store && o->block_bytes && chv_store_block_bytes(store) != o->block_bytes)
        r = chv_err_set(err, EINVAL, "store %s has blocks of %u bytes, not %u; leave --block-size out", o->store_dir,
                        chv_store_block_bytes(store), o->block_bytes);
    for (size_t i = 0; r == 0 && i < o->disks; i++) {
        struct disk disk;
        struct mark mark;
        enum verdict verdict;
        r = disk_open(o->disk[i].path, &disk, err);
        if (r < 0) break;
        if (store) r = judge(o, &o->disk[i], &disk, find_space(store, o->disk[i].space), &mark, &verdict, err);
        disk_close(&disk);
    }
    if (store) chv_store_close(store);
    return r == 0 && o->uring ? aio_check(err) : r;
}

/* A disk that is one hole never held anything: its rest is zeros, and nothing has to be copied, ever. */
static bool is_blank(const struct disk *disk)
{
    uint64_t end;
    return disk_hole(disk, 0, disk->size_bytes, &end) && end == disk->size_bytes;
}

static enum chv_rest choose_rest(const struct session_options *o, const struct disk *disk,
                                 const struct chv_space *space)
{
    /* What an existing space says of blocks without version goes on being true: their changes are all recorded. */
    if (space && space->rest != CHV_REST_UNKNOWN) return space->rest;
    if (!space && is_blank(disk)) return CHV_REST_ZERO;
    return o->baseline == SESSION_NONE ? CHV_REST_UNKNOWN : CHV_REST_SOURCE;
}

/* Which blocks have versions, from the log. */
static int load_blocks(struct capture *c, struct chv_store *store, struct chv_err *err)
{
    struct chv_store_info info;
    struct chv_map *map;
    struct chv_extent e;
    chv_store_info(store, &info);
    int r = chv_map_open(store, c->space, 0, c->block_count, info.last_seq, &map, err);
    if (r < 0) return r;
    while ((r = chv_map_next(map, &e, err)) > 0)
        if (e.seq != 0)
            blocks_set(&c->blocks, e.first_block, e.first_block + e.blocks,
                       e.state == CHV_STATE_UNKNOWN ? BLOCK_SUSPECT : BLOCK_KNOWN);
    chv_map_close(map);
    return r;
}

static int reconcile(struct capture *c, struct chv_store *store, enum verdict verdict, const struct mark *mark,
                     struct chv_err *err)
{
    struct compare_counts counts = {0};
    int r = 0;
    if (verdict == VERDICT_REDO) r = compare_redo(c, store, mark->seq, &counts, err);
    if (verdict == VERDICT_FIND) r = compare_find(c, store, 0, &counts, err);
    if (verdict == VERDICT_RESYNC)
        r = compare_find(c, store, mark->time_ns ? mark->time_ns : clock_now_ns(), &counts, err);
    if (r == 0 && verdict != VERDICT_NEW && verdict != VERDICT_SAME)
        fprintf(stderr,
                "chronovisor record: %s: %s; %" PRIu64 " blocks compared with the log, %" PRIu64
                " put back from it, %" PRIu64 " recorded as found\n",
                c->space_name,
                verdict == VERDICT_REDO   ? "the recorder had been killed"
                : verdict == VERDICT_FIND ? "the host had gone down while recording"
                                          : "resynchronised",
                counts.checked, counts.redone, counts.found);
    return r < 0 ? chv_err_prefix(err, "%s", c->space_name) : 0;
}

/* Before the disk or the log is touched: from here on a death is a crash. The mark is such that the next start
 * would find the same verdict; what has to be resynchronised keeps the old one, which does not fit. */
static int mark_before(const struct session_options *o, const struct capture *c, const struct session_disk *sd,
                       enum verdict verdict, uint64_t settled_seq, const struct mark *before, struct mark *mark,
                       struct chv_err *err)
{
    const struct mark *one = mark;
    *mark = (struct mark){.seq = settled_seq, .time_ns = clock_now_ns()};
    snprintf(mark->space, sizeof mark->space, "%s", sd->space);
    disk_stamp(&c->disk, &mark->stamp);
    mark_boot(mark->boot);
    if (verdict == VERDICT_RESYNC) return 0;
    struct mark saved = *mark;
    if (verdict == VERDICT_FIND) memcpy(saved.boot, before->boot, sizeof saved.boot);
    one = &saved;
    return mark_save(o->store_dir, &one, 1, err);
}

int session_attach(struct session *s, const struct session_disk *sd, struct capture *c, struct mark *mark,
                   struct chv_err *err)
{
    const struct session_options *o = &s->options;
    struct chv_store *store = NULL;
    struct mark before;
    enum verdict verdict;
    int r = disk_open(sd->path, &c->disk, err);
    if (r < 0) return r;
    if (flock(c->disk.fd, LOCK_EX | LOCK_NB) < 0) {
        r = chv_err_set(err, EBUSY, "disk %s: another recorder has it", c->disk.path);
        goto err_disk;
    }
    r = chv_store_open(o->store_dir, &store, err);
    if (r < 0) goto err_disk;
    const struct chv_space *space = find_space(store, sd->space);
    r = judge(o, sd, &c->disk, space, &before, &verdict, err);
    if (r < 0) goto err_store;

    enum chv_rest rest = choose_rest(o, &c->disk, space);
    snprintf(c->space_name, sizeof c->space_name, "%s", sd->space);
    c->rec = s->rec;
    c->block_bytes = chv_store_block_bytes(store);
    c->block_count = (c->disk.size_bytes + c->block_bytes - 1) / c->block_bytes;
    c->record_reads = o->record_reads;
    c->copy_first = rest == CHV_REST_SOURCE && o->baseline != SESSION_NONE;

    struct chv_store_info info;
    chv_store_info(store, &info);
    r = mark_before(o, c, sd, verdict, verdict == VERDICT_NEW ? info.last_seq : before.seq, &before, mark, err);
    if (r == 0) {
        disk_probe(&c->disk);
        r = chv_recorder_space(s->rec, sd->space, c->disk.size_bytes, rest, c->disk.path, &c->space, err);
    }
    if (r < 0) goto err_store;

    r = blocks_init(&c->blocks, c->block_count);
    if (r < 0) {
        chv_err_set(err, ENOMEM, "%s: out of memory", sd->space);
        goto err_store;
    }
    if (space) r = load_blocks(c, store, err);
    if (r < 0) goto err_blocks;
    struct chv_recorder_stats stats;
    chv_recorder_stats(s->rec, &stats);
    c->chunk_blocks =
        stats.queue_blocks / 8 < CAPTURE_CHUNK_BLOCKS ? (uint32_t)stats.queue_blocks / 8 : CAPTURE_CHUNK_BLOCKS;
    capture_scratch_init(c);
    ranges_init(&c->ranges);
    epoch_init(&c->epoch, info.last_seq);
    c->uring = o->uring;
    c->defer.ring = NULL;
    if (c->uring && (r = defer_ring_new(c, &c->defer.ring, err)) < 0) goto err_ranges;
    r = writeback_start(&c->writeback, c->disk.fd);
    if (r < 0) defer_ring_free(c->defer.ring);
    if (r == 0 && (r = defer_start(&c->defer, c)) < 0) writeback_stop(&c->writeback);
    if (r < 0) {
        chv_err_set(err, -r, "%s: threads: %s", sd->space, strerror(-r));
        goto err_ranges;
    }
    r = reconcile(c, store, verdict, &before, err);
    if (r == 0) {
        chv_store_close(store);
        mark->seq = info.last_seq; /* all of that is on the disk now */
        return 0;
    }
    defer_stop(&c->defer);
    writeback_stop(&c->writeback);
err_ranges:
    epoch_fini(&c->epoch);
    ranges_fini(&c->ranges);
    capture_scratch_fini(c);
err_blocks:
    blocks_fini(&c->blocks);
err_store:
    chv_store_close(store);
err_disk:
    disk_close(&c->disk);
    return r;
}

void session_detach(struct capture *c)
{
    writeback_stop(&c->writeback);
    epoch_fini(&c->epoch);
    ranges_fini(&c->ranges);
    capture_scratch_fini(c);
    blocks_fini(&c->blocks);
    disk_close(&c->disk);
}

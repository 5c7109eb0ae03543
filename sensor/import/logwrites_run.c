/* Recording a log that import_log_open has accepted. */
#include "sensor/import/logwrites.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define CHUNK_BYTES (UINT32_C(1) << 20)
#define TRIM_SECTORS_MAX (UINT32_C(1) << 31)

struct replay {
    struct import_log *im;
    uint32_t unit;    /* block_bytes */
    uint64_t time_ns; /* of the current entry */
    uint8_t *data;    /* CHUNK_BYTES: whole blocks of the current write */
    uint8_t *old;     /* CHUNK_BYTES: baselines */
    uint8_t *zeros;   /* one block */
};

static int append(struct replay *p, uint8_t op, uint8_t flags, uint64_t offset, uint64_t bytes, const void *data,
                  struct chv_err *err)
{
    struct chv_record record = {
        .space = p->im->target.space,
        .op = op,
        .flags = (uint8_t)(flags | CHV_EVENT_IMPORTED),
        .lba = offset / CHV_SECTOR_BYTES,
        .sectors = (uint32_t)(bytes / CHV_SECTOR_BYTES),
        .time_ns = p->time_ns,
        .data = data,
    };
    return chv_recorder_append(p->im->target.rec, &record, 1, NULL, err);
}

/* --- blocks that are written in part: their current content --------------------------- */

static int open_overlay(struct import_log *im, struct chv_err *err)
{
    im->overlay_fd = open(im->target.options->store_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (im->overlay_fd >= 0) return 0;
    FILE *f = tmpfile(); /* the store's file system cannot do it */
    if (f) im->overlay_fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 3);
    int r = im->overlay_fd < 0 ? chv_err_set(err, errno, "temporary file: %s", strerror(errno)) : 0;
    if (f) fclose(f);
    return r;
}

/* The content of a block as of the entries so far. */
static int current(struct replay *p, uint64_t block, uint8_t *buf, struct chv_err *err)
{
    struct import_log *im = p->im;
    size_t slot = blockset_from(&im->partial, block);
    enum chv_state state;
    if (slot < im->partial.count && im->partial.blocks[slot] == block && im->partial.flags[slot]) {
        int r = io_pread_full(im->overlay_fd, buf, p->unit, (uint64_t)slot * p->unit);
        return r < 0 ? chv_err_set(err, -r, "temporary file: %s", strerror(-r)) : 0;
    }
    int r = import_log_prior(im, block, buf, &state, err);
    if (r == 0 && state == CHV_STATE_UNKNOWN)
        r = chv_err_set(err, EIO, "what block %llu held is not known", (unsigned long long)block);
    return r;
}

/* Blocks [first, end) hold `data` now, or zeros when it is NULL: remember those that matter later. */
static int remember(struct replay *p, uint64_t first, uint64_t end, const uint8_t *data, struct chv_err *err)
{
    struct import_log *im = p->im;
    for (size_t i = blockset_from(&im->partial, first); i < im->partial.count && im->partial.blocks[i] < end; i++) {
        const uint8_t *content = data ? data + (im->partial.blocks[i] - first) * p->unit : p->zeros;
        int r = io_real.pwrite(&io_real, im->overlay_fd, content, p->unit, (uint64_t)i * p->unit);
        if (r < 0) return chv_err_set(err, -r, "temporary file: %s", strerror(-r));
        im->partial.flags[i] = true;
    }
    return 0;
}

/* --- what stood there before, where only a device holds it ------------------------------- */

static int record_baseline(struct replay *p, uint64_t first, size_t n, struct chv_err *err)
{
    uint64_t offset = first * p->unit, bytes = (uint64_t)n * p->unit;
    if (bytes > p->im->size_bytes - offset) bytes = p->im->size_bytes - offset;
    return n ? append(p, CHV_OP_BASELINE, 0, offset, bytes, p->old, err) : 0;
}

static int keep_baselines(struct replay *p, uint64_t first, uint64_t end, struct chv_err *err)
{
    uint64_t *based = p->im->based;
    uint64_t run = first; /* blocks [run, run + n) are in p->old */
    size_t n = 0;
    int r = 0;
    for (uint64_t block = first; based && r == 0 && block < end; block++) {
        enum chv_state state = CHV_STATE_UNKNOWN;
        bool known = based[block / 64] >> block % 64 & 1;
        if (n == CHUNK_BYTES / p->unit || (n > 0 && known)) {
            r = record_baseline(p, run, n, err);
            n = 0;
        }
        if (r == 0 && !known) r = import_log_prior(p->im, block, p->old + n * p->unit, &state, err);
        based[block / 64] |= UINT64_C(1) << block % 64;
        if (state != CHV_STATE_SOURCE) {
            if (r == 0) r = record_baseline(p, run, n, err);
            n = 0;
            continue;
        }
        if (n++ == 0) run = block;
    }
    return r == 0 ? record_baseline(p, run, n, err) : r;
}

/* --- entries -------------------------------------------------------------------------------- */

/* Record that [offset, offset + bytes) of the device, at most a chunk, holds what p->data + offset % unit has.
 * The rest of the first and last block is merged in. */
static int write_chunk(struct replay *p, uint64_t offset, uint64_t bytes, uint8_t flags, bool from_log, uint64_t data_offset,
                       struct chv_err *err)
{
    struct import_log *im = p->im;
    uint64_t end = offset + bytes, first = offset / p->unit, last = (end - 1) / p->unit;
    uint8_t *tail = p->data + (last - first) * p->unit;
    bool head_in_part = offset % p->unit != 0, tail_in_part = end % p->unit != 0;
    int r = 0;
    if (tail_in_part && end == im->size_bytes) { /* the padding of the last block, not content */
        memset(tail, 0, p->unit);
        tail_in_part = false;
    }
    if (head_in_part) r = current(p, first, p->data, err);
    if (r == 0 && tail_in_part && !(head_in_part && last == first)) r = current(p, last, tail, err);
    if (r < 0) return r;
    if (from_log) {
        r = io_pread_full(im->fd, p->data + offset % p->unit, bytes, data_offset);
        if (r < 0) return chv_err_set(err, r == -ENODATA ? EIO : -r, "its data: %s", r == -ENODATA ? "the file became shorter" : strerror(-r));
    } else {
        memset(p->data + offset % p->unit, 0, bytes);
    }
    r = keep_baselines(p, first, last + 1, err);
    if (r == 0) r = append(p, CHV_OP_WRITE, flags, offset, bytes, p->data, err);
    return r == 0 ? remember(p, first, last + 1, p->data, err) : r;
}

static int do_write(struct replay *p, const struct dmlog_entry *e, struct chv_err *err)
{
    uint8_t flags = e->flags & DMLOG_FUA ? CHV_EVENT_FUA : 0;
    int r = 0;
    for (uint64_t done = 0; r == 0 && done < e->bytes;) {
        uint64_t offset = e->offset + done, n = CHUNK_BYTES - offset % p->unit;
        if (n > e->bytes - done) n = e->bytes - done;
        r = write_chunk(p, offset, n, flags, true, e->data_offset + done, err);
        done += n;
    }
    return r;
}

/* Whole blocks are trimmed; the parts at both ends become zeros by a write. */
static int do_discard(struct replay *p, const struct dmlog_entry *e, struct chv_err *err)
{
    uint64_t end = e->offset + e->bytes, size = p->im->size_bytes;
    uint64_t first = e->offset / p->unit + (e->offset % p->unit != 0);
    uint64_t stop = end == size ? end / p->unit + (end % p->unit != 0) : end / p->unit;
    uint64_t head_end = first * p->unit < end ? first * p->unit : end;
    int r = 0;
    if (e->offset < head_end) r = write_chunk(p, e->offset, head_end - e->offset, 0, false, 0, err);
    if (r == 0 && first < stop) {
        uint64_t from = first * p->unit, to = stop * p->unit < size ? stop * p->unit : size;
        r = keep_baselines(p, first, stop, err);
        while (r == 0 && from < to) {
            uint64_t n = to - from, most = (uint64_t)TRIM_SECTORS_MAX * CHV_SECTOR_BYTES;
            r = append(p, CHV_OP_TRIM, 0, from, n < most ? n : most, NULL, err);
            from += n < most ? n : most;
        }
        if (r == 0) r = remember(p, first, stop, NULL, err);
    }
    if (r == 0 && stop >= first && stop * p->unit < end && head_end < end)
        r = write_chunk(p, stop * p->unit, end - stop * p->unit, 0, false, 0, err);
    return r;
}

static int do_entry(struct replay *p, const struct dmlog_entry *e, struct chv_err *err)
{
    int r = 0;
    p->time_ns = import_log_time(p->im, e->index);
    if (e->offset + e->bytes > p->im->size_bytes && e->bytes > 0) return chv_err_set(err, EIO, "the log changed while it was read");
    if (e->flags & DMLOG_FLUSH) r = append(p, CHV_OP_FLUSH, 0, 0, 0, NULL, err);
    if (r == 0 && e->bytes > 0) r = e->flags & DMLOG_DISCARD ? do_discard(p, e, err) : do_write(p, e, err);
    return r < 0 ? chv_err_prefix(err, "%s: entry %llu, after what came before it was recorded", p->im->log.name,
                                  (unsigned long long)e->index)
                 : 0;
}

int import_log_run(struct import_log *im, struct import_log_result *result, struct chv_err *err)
{
    struct replay p = {.im = im, .unit = im->target.block_bytes};
    struct import_target *t = &im->target;
    const struct chv_space *before = t->before;
    struct dmlog_entry e;
    char *source = NULL;
    *result = (struct import_log_result){.first_time_ns = im->start_ns};
    int r = 0;
    p.data = malloc(CHUNK_BYTES);
    p.old = malloc(CHUNK_BYTES);
    p.zeros = calloc(1, p.unit);
    if (!p.data || !p.old || !p.zeros) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0 && im->partial.count > 0) r = open_overlay(im, err);
    if (r == 0 && im->options.base && !(source = realpath(im->options.base, NULL)))
        r = chv_err_set(err, errno, "%s: %s", im->options.base, strerror(errno));
    if (r == 0) r = import_target_space(t, im->size_bytes, im->rest, before ? before->source : source, err);
    dmlog_rewind(&im->log);
    while (r == 0 && (r = dmlog_next(&im->log, &e, err)) > 0) {
        r = do_entry(&p, &e, err);
        import_progress(t, "importing", e.index + 1, im->log.entries);
    }
    result->last_time_ns = p.time_ns ? p.time_ns : im->start_ns;
    free(source);
    free(p.data);
    free(p.old);
    free(p.zeros);
    return r < 0 ? r : import_target_close(t, &result->store, err);
}

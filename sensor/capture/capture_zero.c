/* Zeroing and discarding, and copying old content in bulk: ranges of any length in bounded memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/capture/capture.h"

#define PIECE_BLOCKS 256u /* copied by one append */
#define RECORDS_MAX 64u   /* ranges zeroed by one append */

/* Record what [at, end), all in `state` and locked, holds now. CHV_APPEND_GAP when some of it was lost. */
static int copy_run(struct capture *c, uint64_t at, uint64_t end, enum block_state state, bool skip_holes, void *buf,
                    uint64_t *copied, struct chv_err *err)
{
    int gap = 0;
    while (at < end) {
        uint64_t run_end, start = at * c->block_bytes;
        uint64_t n = end - at < PIECE_BLOCKS ? end - at : PIECE_BLOCKS;
        if (skip_holes && disk_hole(&c->disk, start, end * c->block_bytes, &run_end)) {
            uint64_t whole = run_end == end * c->block_bytes ? end : run_end / c->block_bytes;
            if (whole > at) {
                at = whole;
                continue;
            }
            n = 1; /* a block that is a hole only in part */
        }
        int r = disk_pread(&c->disk, buf, n * c->block_bytes, start);
        if (r < 0) return chv_err_set(err, -r, "%s: reading %s: %s", c->space_name, c->disk.path, strerror(-r));
        struct chv_record record = {
            .space = c->space,
            .op = state == BLOCK_NONE ? CHV_OP_BASELINE : CHV_OP_FOUND,
            .lba = capture_sectors(c, at),
            .sectors = (uint32_t)capture_sectors(c, n),
            .data = buf,
        };
        r = capture_append(c, &record, 1, at, at + n, NULL, err);
        if (r < 0) return r;
        if (r == CHV_APPEND_GAP) gap = r;
        *copied += n;
        at += n;
    }
    return gap;
}

int capture_copy(struct capture *c, uint64_t first, uint64_t end, enum block_state state, bool skip_holes,
                 uint64_t *copied, struct chv_err *err)
{
    struct range range;
    void *buf = malloc((size_t)PIECE_BLOCKS * c->block_bytes);
    if (!buf) return chv_err_set(err, ENOMEM, "out of memory");
    int r = 0;
    while (r == 0 && first < end) {
        /* short locks, so that the guest is not held up */
        uint64_t piece_end = end - first < PIECE_BLOCKS ? end : first + PIECE_BLOCKS, next;
        ranges_lock(&c->ranges, &range, first, piece_end);
        enum block_state now;
        for (uint64_t at = first; r == 0 && at < piece_end; at = next) {
            next = blocks_run(&c->blocks, at, piece_end, &now);
            if (now == state) r = copy_run(c, at, next, state, skip_holes && state == BLOCK_NONE, buf, copied, err);
        }
        ranges_unlock(&c->ranges, &range);
        first = piece_end;
    }
    free(buf);
    return r;
}

/* Copy what stands in the job's range and must not get lost. */
static int copy_before(struct capture *c, struct job *job, uint64_t *copied, struct chv_err *err)
{
    void *buf = NULL;
    int r = 0;
    enum block_state state;
    uint64_t end = job->range.end;
    for (uint64_t at = job->range.first, next; r >= 0 && at < end; at = next) {
        next = blocks_run(&c->blocks, at, end, &state);
        if (!capture_must_copy(c, state)) continue;
        if (!buf && !(buf = malloc((size_t)PIECE_BLOCKS * c->block_bytes)))
            return chv_err_set(err, ENOMEM, "out of memory");
        r = copy_run(c, at, next, state, state == BLOCK_NONE, buf, copied, err);
        job->gap |= r == CHV_APPEND_GAP;
    }
    free(buf);
    return r < 0 ? r : 0;
}

/* Record that a locked range becomes zeros, but for holes without version: nothing changes there, and saying so
 * would cost a baseline a block. */
static int record_zeros(struct capture *c, struct job *job, uint8_t op, uint8_t flags, struct chv_err *err)
{
    struct chv_record records[RECORDS_MAX];
    uint64_t spans[RECORDS_MAX][2];
    size_t count = 0;
    enum block_state state;
    uint64_t end = job->range.end;
    for (uint64_t at = job->range.first, next; at < end; at = next) {
        next = blocks_run(&c->blocks, at, end, &state);
        bool skipped = state == BLOCK_NONE && c->copy_first;
        if (!skipped && count > 0 && spans[count - 1][1] == at) {
            spans[count - 1][1] = next;
        } else if (!skipped) {
            spans[count][0] = at;
            spans[count++][1] = next;
        }
        if (count == 0 || (count < RECORDS_MAX && next < end)) continue;
        for (size_t i = 0; i < count; i++)
            records[i] = (struct chv_record){
                .space = c->space,
                .op = op,
                .flags = flags,
                .lba = capture_sectors(c, spans[i][0]),
                .sectors = (uint32_t)capture_sectors(c, spans[i][1] - spans[i][0]),
            };
        int r = chv_recorder_append(c->rec, records, count, &job->ticket, err);
        if (r < 0) return r;
        job->gap |= r == CHV_APPEND_GAP;
        for (size_t i = 0; i < count; i++)
            blocks_set(&c->blocks, spans[i][0], spans[i][1], r == CHV_APPEND_GAP ? BLOCK_SUSPECT : BLOCK_KNOWN);
        count = 0;
    }
    return 0;
}

static int zero_blocks(struct capture *c, uint8_t op, uint64_t bytes, uint64_t offset, bool may_punch, bool fua,
                       struct chv_err *err)
{
    uint64_t copied = 0, first = offset / c->block_bytes, end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    struct job *job = calloc(1, sizeof *job);
    if (!job) return chv_err_set(err, ENOMEM, "out of memory");
    job->bytes = bytes;
    job->offset = offset;
    job->may_punch = may_punch;
    ranges_lock(&c->ranges, &job->range, first, end);
    job->epoch = epoch_enter(&c->epoch);
    int r = copy_before(c, job, &copied, err);
    if (r == 0) {
        r = record_zeros(c, job, op, fua ? CHV_EVENT_FUA : 0, err);
        if (r == 0 && fua) r = chv_recorder_wait(c->rec, job->ticket, err);
        if (r < 0) blocks_set(&c->blocks, first, end, BLOCK_SUSPECT); /* perhaps recorded, not done */
    }
    if (r == 0) return capture_apply(c, job, copied > 0 && !fua, fua, NULL, err);
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);
    free(job);
    return r;
}

int capture_zero(struct capture *c, uint8_t op, uint64_t bytes, uint64_t offset, bool may_punch, bool fua,
                 struct chv_err *err)
{
    static const uint8_t zeros[4096];
    uint64_t end = offset + bytes, mask = c->block_bytes - 1;
    int r = 0;
    /* ragged edges are writes of zeros; the end of the disk is no edge */
    uint64_t head = (c->block_bytes - (offset & mask)) & mask;
    if (head > bytes) head = bytes;
    if (head) r = capture_write(c, zeros, (uint32_t)head, offset, fua, err);
    offset += head;
    uint64_t tail = end > offset && end != c->disk.size_bytes ? end & mask : 0;
    if (r == 0 && end - tail > offset) r = zero_blocks(c, op, end - tail - offset, offset, may_punch, fua, err);
    if (r == 0 && tail) r = capture_write(c, zeros, (uint32_t)tail, end - tail, fua, err);
    return r;
}

#include "sensor/capture/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool capture_must_copy(const struct capture *c, enum block_state state)
{
    return state == BLOCK_SUSPECT || (state == BLOCK_NONE && c->copy_first);
}

int capture_append(struct capture *c, const struct chv_record *records, size_t count, uint64_t first, uint64_t end,
                   uint64_t *ticket, struct chv_err *err)
{
    int r = chv_recorder_append(c->rec, records, count, ticket, err);
    if (r < 0) return r;
    blocks_set(&c->blocks, first, end, r == CHV_APPEND_GAP ? BLOCK_SUSPECT : BLOCK_KNOWN);
    return r;
}

static int disk_error(struct capture *c, int r, const char *what, struct chv_err *err)
{
    return chv_err_set(err, -r, "%s: %s %s: %s", c->space_name, what, c->disk.path, strerror(-r));
}

/* A recorded change was made, or failed. */
static int finish(struct capture *c, struct job *job, int r, uint64_t written, struct chv_err *err)
{
    /* recorded, but the disk holds something else: look before its next change */
    if (r < 0) blocks_set(&c->blocks, job->range.first, job->range.end, BLOCK_SUSPECT);
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);
    writeback_note(&c->writeback, written);
    free(job);
    return r < 0 ? disk_error(c, r, "writing", err) : 0;
}

int capture_apply(struct capture *c, struct job *job, bool deferred, bool fua, const void *data, struct chv_err *err)
{
    if (deferred) {
        defer_push(&c->defer, job);
        return 0;
    }
    int r = data ? disk_pwrite(&c->disk, data, job->bytes, job->offset)
                 : disk_zero(&c->disk, job->bytes, job->offset, job->may_punch);
    r = finish(c, job, r, data ? job->bytes : 0, err);
    if (r == 0 && fua && (r = disk_sync(&c->disk)) < 0) disk_error(c, r, "writing", err);
    return r;
}

void capture_scratch_init(struct capture *c)
{
    pthread_mutex_init(&c->scratch_mutex, NULL);
    c->scratch = NULL;
}

void capture_scratch_fini(struct capture *c)
{
    while (c->scratch) {
        struct scratch *s = c->scratch;
        c->scratch = s->next;
        free(s);
    }
    pthread_mutex_destroy(&c->scratch_mutex);
}

static struct scratch *scratch_take(struct capture *c)
{
    pthread_mutex_lock(&c->scratch_mutex);
    struct scratch *s = c->scratch;
    if (s) c->scratch = s->next;
    pthread_mutex_unlock(&c->scratch_mutex);
    size_t bytes = (size_t)c->chunk_blocks * c->block_bytes;
    if (s || !(s = malloc(sizeof *s + 2 * bytes))) return s;
    s->old = (uint8_t *)(s + 1);
    s->merged = s->old + bytes;
    return s;
}

static void scratch_give(struct capture *c, struct scratch *s)
{
    pthread_mutex_lock(&c->scratch_mutex);
    s->next = c->scratch;
    c->scratch = s;
    pthread_mutex_unlock(&c->scratch_mutex);
}

/* Read the old content of the runs that must be copied, and make a record of each. */
static int copy_old(struct capture *c, uint64_t first, uint64_t end, struct scratch *s, size_t *count)
{
    enum block_state state;
    for (uint64_t at = first, next; at < end; at = next) {
        next = blocks_run(&c->blocks, at, end, &state);
        if (!capture_must_copy(c, state)) continue;
        uint8_t *to = s->old + (at - first) * c->block_bytes;
        int r = disk_pread(&c->disk, to, (next - at) * c->block_bytes, at * c->block_bytes);
        if (r < 0) return r;
        s->records[(*count)++] = (struct chv_record){
            .space = c->space,
            .op = state == BLOCK_NONE ? CHV_OP_BASELINE : CHV_OP_FOUND,
            .lba = capture_sectors(c, at),
            .sectors = (uint32_t)capture_sectors(c, next - at),
            .data = to,
        };
    }
    return 0;
}

/* Whole blocks as they are for the guest: on the disk, or on their way to it. */
static int read_blocks(struct capture *c, uint8_t *buf, uint64_t first, uint64_t end)
{
    const uint32_t unit = c->block_bytes;
    for (uint64_t at = first, next; at < end; at = next) {
        next = (at / RANGE_REGION_BLOCKS + 1) * RANGE_REGION_BLOCKS;
        if (next > end) next = end;
        uint64_t copied = ranges_copy_layered(&c->ranges, at, next, unit, buf + (at - first) * unit);
        for (uint64_t run = at, stop; run < next; run = stop) {
            bool here = copied >> (run - at) & 1;
            for (stop = run + 1; stop < next && (copied >> (stop - at) & 1) == here; stop++) {}
            int r = here ? 0 : disk_pread(&c->disk, buf + (run - first) * unit, (stop - run) * unit, run * unit);
            if (r < 0) return r;
        }
    }
    return 0;
}

/* The whole blocks as they will be: `data`, or made in `merged` when the request covers its first or last in part. */
static int merge(struct capture *c, const struct job *job, const void *data, uint8_t *merged, const void **whole)
{
    uint64_t start = job->range.first * c->block_bytes, total = (job->range.end - job->range.first) * c->block_bytes;
    uint64_t head = job->offset - start, tail = total - head - job->bytes;
    *whole = data;
    if (head == 0 && tail == 0) return 0;
    int r = head ? read_blocks(c, merged, job->range.first, job->range.first + 1) : 0;
    if (r == 0 && tail && !(head && total == c->block_bytes))
        r = read_blocks(c, merged + total - c->block_bytes, job->range.end - 1, job->range.end);
    memcpy(merged + head, data, job->bytes);
    *whole = merged;
    return r;
}

/* Record a write of locked blocks, and what must be kept of them first. *deferred: it must wait, for its evidence or
 * for a write that it goes over. */
static int record_write(struct capture *c, struct job *job, const void *data, bool fua, bool *deferred,
                        struct chv_err *err)
{
    struct scratch *s = scratch_take(c);
    if (!s) return chv_err_set(err, ENOMEM, "out of memory");
    const void *whole;
    size_t count = 0;
    uint64_t first = job->range.first, end = job->range.end;
    int r = copy_old(c, first, end, s, &count);
    if (r == 0) r = merge(c, job, data, s->merged, &whole);
    if (r < 0) {
        disk_error(c, r, "reading", err);
        goto out;
    }
    *deferred |= count > 0 && !fua;
    uint64_t lba = job->offset / CHV_SECTOR_BYTES;
    s->records[count++] = (struct chv_record){
        .space = c->space,
        .op = CHV_OP_WRITE,
        .flags = fua ? CHV_EVENT_FUA : 0,
        .lba = lba,
        .sectors = (uint32_t)((job->offset + job->bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES - lba),
        .data = whole,
        .hold = *deferred ? job->block : NULL,
    };
    r = capture_append(c, s->records, count, first, end, &job->ticket, err);
    if (r == 0 && *deferred) job->held = (uint32_t)(end - first);
    if (r == CHV_APPEND_GAP) {
        job->gap = true;
        r = 0;
        if (*deferred && !(job->copy = malloc(job->bytes))) r = chv_err_set(err, ENOMEM, "out of memory");
        if (job->copy) memcpy(job->copy, data, job->bytes);
    }
out:
    scratch_give(c, s);
    return r;
}

static struct job *job_new(const struct capture *c, uint32_t bytes, uint64_t offset, uint64_t *first, uint64_t *end)
{
    *first = offset / c->block_bytes;
    *end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    struct job *job = malloc(sizeof *job + (*end - *first) * sizeof job->block[0]);
    if (job) *job = (struct job){.bytes = bytes, .offset = offset};
    return job;
}

static void give_up(struct capture *c, struct job *job)
{
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);
    free(job);
}

int capture_write_begin(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool wait,
                        struct job **out, struct chv_err *err)
{
    uint64_t first, end;
    struct job *job = job_new(c, bytes, offset, &first, &end);
    *out = NULL;
    if (!job) return chv_err_set(err, ENOMEM, "out of memory");
    int over = wait ? ranges_lock_over(&c->ranges, &job->range, first, end)
                    : ranges_try_over(&c->ranges, &job->range, first, end);
    if (over < 0) {
        free(job);
        return over;
    }
    bool deferred = over > 0;
    job->epoch = epoch_enter(&c->epoch);
    int r = record_write(c, job, data, false, &deferred, err);
    if (r < 0) give_up(c, job);
    else if (deferred) defer_push(&c->defer, job);
    else *out = job;
    return r < 0 ? r : *out != NULL;
}

int capture_write_end(struct capture *c, struct job *job, int error, struct chv_err *err)
{
    return finish(c, job, error, job->bytes, err);
}

/* The evidence first, then the disk, both on stable storage. */
static int write_durable(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    uint64_t first, end;
    struct job *job = job_new(c, bytes, offset, &first, &end);
    if (!job) return chv_err_set(err, ENOMEM, "out of memory");
    bool deferred = false;
    ranges_lock(&c->ranges, &job->range, first, end);
    job->epoch = epoch_enter(&c->epoch);
    int r = record_write(c, job, data, true, &deferred, err);
    if (r == 0 && (r = chv_recorder_wait(c->rec, job->ticket, err)) < 0)
        blocks_set(&c->blocks, first, end, BLOCK_SUSPECT); /* recorded, not done */
    if (r == 0) return capture_apply(c, job, false, true, data, err);
    give_up(c, job);
    return r;
}

static int write_chunk(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool fua,
                       struct chv_err *err)
{
    struct job *job;
    if (fua) return write_durable(c, data, bytes, offset, err);
    int r = capture_write_begin(c, data, bytes, offset, true, &job, err);
    return r > 0 ? capture_apply(c, job, false, false, data, err) : r;
}

int capture_write(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool fua, struct chv_err *err)
{
    const uint8_t *p = data;
    int r = 0;
    const uint32_t chunk_bytes = c->chunk_blocks * c->block_bytes;
    while (r == 0 && bytes > 0) {
        uint32_t n = chunk_bytes - (uint32_t)(offset % chunk_bytes);
        if (n > bytes) n = bytes;
        r = write_chunk(c, p, n, offset, fua, err);
        p += n;
        offset += n;
        bytes -= n;
    }
    return r;
}

/* Some changes are not on the disk yet. */
static int read_with_deferred(struct capture *c, void *buf, uint32_t bytes, uint64_t offset)
{
    uint64_t first = offset / c->block_bytes, end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    if (offset % c->block_bytes == 0 && bytes % c->block_bytes == 0) return read_blocks(c, buf, first, end);
    uint8_t *whole = malloc((end - first) * c->block_bytes);
    if (!whole) return -ENOMEM;
    int r = read_blocks(c, whole, first, end);
    memcpy(buf, whole + offset % c->block_bytes, bytes);
    free(whole);
    return r;
}

/* After reading: was it what the guest last wrote? A change says that it failed before it stops being deferred. */
static int check_stale(const struct capture *c, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    if (!__atomic_load_n(&c->stale, __ATOMIC_ACQUIRE)) return 0;
    uint64_t first = offset / c->block_bytes, end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    for (uint64_t at = first; at < end; at++)
        if (blocks_get(&c->blocks, at) == BLOCK_SUSPECT)
            return chv_err_set(err, EIO, "%s: block %llu was written, but is only in the log: restart recording",
                               c->space_name, (unsigned long long)at);
    return 0;
}

static int note_read(struct capture *c, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    if (!c->record_reads) return 0;
    uint64_t lba = offset / CHV_SECTOR_BYTES;
    struct chv_record record = {
        .space = c->space,
        .op = CHV_OP_READ,
        .lba = lba,
        .sectors = (uint32_t)((offset + bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES - lba),
    };
    int r = chv_recorder_append(c->rec, &record, 1, NULL, err);
    return r < 0 ? r : 0;
}

int capture_read(struct capture *c, void *buf, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    if (bytes == 0) return 0;
    int r = note_read(c, bytes, offset, err);
    if (r < 0) return r;
    r = ranges_deferred(&c->ranges) ? read_with_deferred(c, buf, bytes, offset)
                                    : disk_pread(&c->disk, buf, bytes, offset);
    return capture_read_end(c, r, bytes, offset, err);
}

int capture_read_begin(struct capture *c, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    uint64_t first = offset / c->block_bytes, end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    return ranges_deferred_in(&c->ranges, first, end) ? -EAGAIN : note_read(c, bytes, offset, err);
}

int capture_read_end(struct capture *c, int error, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    if (error < 0) return disk_error(c, error, "reading", err);
    return check_stale(c, bytes, offset, err);
}

int capture_flush(struct capture *c, struct chv_err *err)
{
    struct chv_record record = {.space = c->space, .op = CHV_OP_FLUSH};
    uint64_t ticket;
    int r = chv_recorder_append(c->rec, &record, 1, &ticket, err);
    if (r >= 0) r = chv_recorder_wait(c->rec, ticket, err);
    if (r < 0) return r;
    r = defer_drain(&c->defer);
    if (r == 0) r = disk_sync(&c->disk);
    return r < 0 ? disk_error(c, r, "flushing", err) : 0;
}

bool capture_hole(struct capture *c, uint64_t offset, uint64_t end, uint64_t *run_end)
{
    ranges_wait_deferred(&c->ranges, offset / c->block_bytes, (end + c->block_bytes - 1) / c->block_bytes);
    return disk_hole(&c->disk, offset, end, run_end);
}

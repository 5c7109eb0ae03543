#include "sensor/nbd/capture.h"

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

int capture_apply(struct capture *c, struct job *job, bool deferred, bool fua, const void *data, struct chv_err *err)
{
    if (deferred) {
        defer_reserve(&c->defer, job->data ? job->bytes : 0);
        defer_push(&c->defer, job);
        return 0;
    }
    int r = data ? disk_pwrite(&c->disk, data, job->bytes, job->offset)
                 : disk_zero(&c->disk, job->bytes, job->offset, job->may_punch);
    /* recorded, but the disk holds something else: look before its next change */
    if (r < 0) blocks_set(&c->blocks, job->range.first, job->range.end, BLOCK_SUSPECT);
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);
    free(job->data);
    free(job);
    if (r == 0 && fua) r = disk_sync(&c->disk);
    return r < 0 ? disk_error(c, r, "writing", err) : 0;
}

/* What a chunk of a write needs besides the guest's own bytes. */
struct chunk {
    uint64_t first, end;          /* blocks */
    uint8_t *old;                 /* what they hold now, as far as it is needed, or NULL */
    uint8_t *merged;              /* what they will hold, when the request does not say it all, or NULL */
    struct chv_record *records;   /* copies, then the write */
    size_t count;
};

static void chunk_fini(struct chunk *k)
{
    free(k->old);
    free(k->merged);
    free(k->records);
}

/* Read the old content of the runs that must be copied, and make a record of each. */
static int copy_old(struct capture *c, struct chunk *k)
{
    enum block_state state;
    for (uint64_t at = k->first, next; at < k->end; at = next) {
        next = blocks_run(&c->blocks, at, k->end, &state);
        if (!capture_must_copy(c, state)) continue;
        if (!k->old) {
            /* one more record than runs, and a run is at least a block */
            k->records = malloc((k->end - k->first + 1) * sizeof *k->records);
            k->old = malloc((k->end - k->first) * c->block_bytes);
            if (!k->old || !k->records) return -ENOMEM;
        }
        uint8_t *to = k->old + (at - k->first) * c->block_bytes;
        int r = disk_pread(&c->disk, to, (next - at) * c->block_bytes, at * c->block_bytes);
        if (r < 0) return r;
        k->records[k->count++] = (struct chv_record){
            .space = c->space,
            .op = state == BLOCK_NONE ? CHV_OP_BASELINE : CHV_OP_FOUND,
            .lba = capture_sectors(c, at),
            .sectors = (uint32_t)capture_sectors(c, next - at),
            .data = to,
        };
    }
    return 0;
}

/* The whole blocks as they will be, when the request covers its first or last block in part. */
static int merge(struct capture *c, struct chunk *k, const void *data, uint32_t bytes, uint64_t offset)
{
    uint64_t start = k->first * c->block_bytes, total = (k->end - k->first) * c->block_bytes;
    uint64_t head = offset - start, tail = total - head - bytes;
    if (head == 0 && tail == 0) return 0;
    k->merged = malloc(total);
    if (!k->merged) return -ENOMEM;
    int r = head ? disk_pread(&c->disk, k->merged, c->block_bytes, start) : 0;
    if (r == 0 && tail && !(head && k->end - k->first == 1))
        r = disk_pread(&c->disk, k->merged + total - c->block_bytes, c->block_bytes, start + total - c->block_bytes);
    memcpy(k->merged + head, data, bytes);
    return r;
}

static int write_chunk(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool fua,
                       struct chv_err *err)
{
    struct chunk k = {.first = offset / c->block_bytes, .end = (offset + bytes + c->block_bytes - 1) / c->block_bytes};
    struct chv_record plain;
    struct job *job = calloc(1, sizeof *job);
    if (!job) return chv_err_set(err, ENOMEM, "out of memory");
    job->bytes = bytes;
    job->offset = offset;
    ranges_lock(&c->ranges, &job->range, k.first, k.end);
    job->epoch = epoch_enter(&c->epoch);

    int r = copy_old(c, &k);
    if (r == 0) r = merge(c, &k, data, bytes, offset);
    bool copies = k.count > 0, deferred = copies && !fua;
    if (r == 0 && deferred && !(job->data = malloc(bytes))) r = -ENOMEM;
    if (r < 0) {
        disk_error(c, r, "reading", err);
        goto err_unlock;
    }
    struct chv_record *records = k.records ? k.records : &plain;
    uint64_t lba = offset / CHV_SECTOR_BYTES;
    records[k.count++] = (struct chv_record){
        .space = c->space,
        .op = CHV_OP_WRITE,
        .flags = fua ? CHV_EVENT_FUA : 0,
        .lba = lba,
        .sectors = (uint32_t)((offset + bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES - lba),
        .data = k.merged ? k.merged : data,
    };
    if (deferred) memcpy(job->data, data, bytes);
    r = capture_append(c, records, k.count, k.first, k.end, &job->ticket, err);
    if (r == CHV_APPEND_GAP) {
        job->gap = true;
        r = 0;
    }
    chunk_fini(&k);
    k = (struct chunk){0};
    /* FUA: the evidence first, and nothing to defer then */
    if (r == 0 && fua && (r = chv_recorder_wait(c->rec, job->ticket, err)) < 0)
        blocks_set(&c->blocks, job->range.first, job->range.end, BLOCK_SUSPECT); /* recorded, not done */
    if (r == 0) return capture_apply(c, job, deferred, fua, data, err);
err_unlock:
    chunk_fini(&k);
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);
    free(job->data);
    free(job);
    return r;
}

int capture_write(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool fua, struct chv_err *err)
{
    const uint8_t *p = data;
    int r = 0;
    while (r == 0 && bytes > 0) {
        uint32_t n = CAPTURE_CHUNK_BYTES - (uint32_t)(offset % CAPTURE_CHUNK_BYTES);
        if (n > bytes) n = bytes;
        r = write_chunk(c, p, n, offset, fua, err);
        p += n;
        offset += n;
        bytes -= n;
    }
    return r;
}

int capture_read(struct capture *c, void *buf, uint32_t bytes, uint64_t offset, struct chv_err *err)
{
    if (bytes == 0) return 0;
    if (c->record_reads) {
        uint64_t lba = offset / CHV_SECTOR_BYTES;
        struct chv_record record = {
            .space = c->space,
            .op = CHV_OP_READ,
            .lba = lba,
            .sectors = (uint32_t)((offset + bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES - lba),
        };
        int r = chv_recorder_append(c->rec, &record, 1, NULL, err);
        if (r < 0) return r;
    }
    uint64_t first = offset / c->block_bytes, end = (offset + bytes + c->block_bytes - 1) / c->block_bytes;
    ranges_wait_deferred(&c->ranges, first, end);
    if (__atomic_load_n(&c->stale, __ATOMIC_ACQUIRE)) {
        enum block_state state;
        for (uint64_t at = first; at < end; at = blocks_run(&c->blocks, at, end, &state))
            if (blocks_get(&c->blocks, at) == BLOCK_SUSPECT)
                return chv_err_set(err, EIO, "%s: block %llu was written, but is only in the log: restart recording",
                                   c->space_name, (unsigned long long)at);
    }
    int r = disk_pread(&c->disk, buf, bytes, offset);
    return r < 0 ? disk_error(c, r, "reading", err) : 0;
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

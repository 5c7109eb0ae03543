/* One disk being recorded: what happens to a request.
 *
 * Order: lock the blocks, record (evidence first), change the disk, unlock. So the log has
 * overlapping changes in the order in which they hit the disk. Offsets and lengths are in bytes. */
#ifndef CHV_SENSOR_CAPTURE_H
#define CHV_SENSOR_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/recorder.h"
#include "sensor/capture/blocks.h"
#include "sensor/capture/defer.h"
#include "sensor/capture/disk.h"
#include "sensor/capture/epoch.h"
#include "sensor/capture/ranges.h"
#include "sensor/capture/writeback.h"

#define CAPTURE_CHUNK_BLOCKS 256u /* most of one append; larger requests take several */

/* What a chunk of a write needs besides the guest's bytes. Kept for the next one: memory in use is memory in cache. */
struct scratch {
    struct scratch *next;
    struct chv_record records[CAPTURE_CHUNK_BLOCKS + 1];
    uint8_t *old;    /* CAPTURE_CHUNK_BLOCKS each */
    uint8_t *merged;
};

struct capture {
    struct chv_recorder *rec; /* shared by all disks of a session */
    struct disk disk;
    char space_name[CHV_SPACE_NAME_BYTES + 1]; /* "disk:vda" */
    uint16_t space;
    uint32_t block_bytes;
    uint64_t block_count;
    bool record_reads;
    bool copy_first; /* a block without version is copied before it is overwritten */
    bool uring;      /* the disk is read and written through io_uring where that can be */
    bool stale;      /* the log holds acknowledged writes that the disk never got: SUSPECT blocks cannot be read */
    struct blocks blocks;
    struct ranges ranges;
    struct epoch epoch;
    struct defer defer;
    struct writeback writeback;
    uint32_t chunk_blocks; /* most of one append: at most CAPTURE_CHUNK_BLOCKS, and little of the queue */
    pthread_mutex_t scratch_mutex;
    struct scratch *scratch;
};

void capture_scratch_init(struct capture *c);
void capture_scratch_fini(struct capture *c);

/* Each returns 0 or -errno for the guest. Any thread, any number at a time. */
int capture_read(struct capture *c, void *buf, uint32_t bytes, uint64_t offset, struct chv_err *err);
int capture_write(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool fua, struct chv_err *err);
/* Reading in two halves, for who reads the disk without waiting: begin, read, end. -EAGAIN from the beginning: some of
 * it is not on the disk yet, capture_read() has it (nothing has happened). */
int capture_read_begin(struct capture *c, uint32_t bytes, uint64_t offset, struct chv_err *err);
int capture_read_end(struct capture *c, int error, uint32_t bytes, uint64_t offset, struct chv_err *err);
/* A write of one chunk at most (capture_one_chunk) in two halves: 1: it is recorded, and `data` is to be put on the
 * disk, whatever happens; then end with how that went. 0: done. -EAGAIN, without `wait`: somebody holds its blocks.
 * Between the halves nobody may be waited for whom these blocks could keep. */
int capture_write_begin(struct capture *c, const void *data, uint32_t bytes, uint64_t offset, bool wait,
                        struct job **job, struct chv_err *err);
int capture_write_end(struct capture *c, struct job *job, int error, struct chv_err *err);
/* ZERO or TRIM (`op`): both read back as zeros. */
int capture_zero(struct capture *c, uint8_t op, uint64_t bytes, uint64_t offset, bool may_punch, bool fua,
                 struct chv_err *err);
/* Returns when the evidence of everything acknowledged before, and the disk, are on stable storage. */
int capture_flush(struct capture *c, struct chv_err *err);
/* Is [offset, end) a hole? For block status; sees acknowledged writes. */
bool capture_hole(struct capture *c, uint64_t offset, uint64_t end, uint64_t *run_end);

/* Copy every block of [first, end) whose state is `state` into the log, as BASELINE (NONE) or FOUND (SUSPECT).
 * Holes without version are skipped with `skip_holes`: the log needs no copy of nothing.
 * *copied grows by the blocks recorded. The caller does not hold the range. CHV_APPEND_GAP: ended early, some were
 * lost to a gap. */
int capture_copy(struct capture *c, uint64_t first, uint64_t end, enum block_state state, bool skip_holes,
                 uint64_t *copied, struct chv_err *err);

/* --- inside --- */

/* One append over blocks [first, end) that are locked; sets their state to KNOWN, or SUSPECT when it was lost to a
 * gap (CHV_APPEND_GAP). */
int capture_append(struct capture *c, const struct chv_record *records, size_t count, uint64_t first, uint64_t end,
                   uint64_t *ticket, struct chv_err *err);
/* Does this run have to be copied before it changes? */
bool capture_must_copy(const struct capture *c, enum block_state state);
/* Apply a recorded change whose range is locked: now, or when its evidence is durable (`deferred`; takes the job). */
int capture_apply(struct capture *c, struct job *job, bool deferred, bool fua, const void *data, struct chv_err *err);

/* Is a write of so many bytes, at least one, one append? */
static inline bool capture_one_chunk(const struct capture *c, uint64_t bytes, uint64_t offset)
{
    const uint64_t chunk_bytes = (uint64_t)c->chunk_blocks * c->block_bytes;
    return offset / chunk_bytes == (offset + bytes - 1) / chunk_bytes;
}

static inline uint64_t capture_sectors(const struct capture *c, uint64_t blocks)
{
    return blocks * (c->block_bytes / CHV_SECTOR_BYTES);
}

#endif

/* A dm-log-writes log (the kernel's target, QEMU's blklogwrites) as the history of a space.
 *
 * The log has an order and no clock: entry i is recorded at start + i steps of one microsecond.
 */
#ifndef CHV_SENSOR_IMPORT_LOGWRITES_H
#define CHV_SENSOR_IMPORT_LOGWRITES_H

#include "sensor/import/blockset.h"
#include "sensor/import/dmlog.h"
#include "sensor/import/image.h"
#include "sensor/import/target.h"

#define IMPORT_STEP_NS UINT64_C(1000)

struct import_log_options {
    const char *path;
    const char *base;    /* raw image of the device before the log began, or NULL: zeros. New spaces only. */
    uint64_t size_bytes; /* of the device; 0: of the base or the space, else up to the last byte written */
    uint64_t start_ns;   /* 0: so that the last entry has the file's modification time */
};

struct import_log {
    struct import_target target;
    struct import_log_options options; /* strings borrowed */
    struct dmlog log;
    int fd, overlay_fd;          /* -1: none */
    struct image *base;          /* what the blocks that nobody wrote hold, or NULL */
    uint64_t writes, discards, flushes, marks;
    uint64_t end_bytes, end_entry; /* how far the log writes, and which entry does */
    uint64_t log_bytes;            /* of the file up to the end of the last entry */
    uint64_t size_bytes, start_ns;
    enum chv_rest rest;
    uint8_t sha256[32];      /* of those bytes */
    struct blockset partial; /* blocks that some entry touches in part; flag: content is in the overlay */
    uint64_t *based;         /* bitmap: old content is recorded. NULL: there is no device underneath */
};

struct import_log_result {
    struct import_result store;
    uint64_t first_time_ns, last_time_ns;
};

/* Read the whole structure of the log and refuse here what can be refused; nothing is changed yet. */
int import_log_open(struct import_log *im, const struct import_options *options, const struct import_log_options *log,
                    struct chv_err *err);
/* Make the store if need be and take its lock. */
int import_log_begin(struct import_log *im, struct chv_err *err);
/* Record it all. On failure what came before the entry that `err` names is recorded. */
int import_log_run(struct import_log *im, struct import_log_result *result, struct chv_err *err);
void import_log_close(struct import_log *im);

/* What a block held before the log began; *state says what the content in buf[block_bytes] is worth. */
int import_log_prior(struct import_log *im, uint64_t block, uint8_t *buf, enum chv_state *state, struct chv_err *err);

static inline uint64_t import_log_time(const struct import_log *im, uint64_t entry)
{
    return im->start_ns + entry * IMPORT_STEP_NS;
}

#endif

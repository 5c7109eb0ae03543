/* Writing a store: the one door through which evidence comes in.
 *
 * A recorder holds the store's writer lock. Appending copies into a bounded queue that
 * outlives the process (kill -9 loses nothing that was appended); worker threads hash,
 * measure and compress; one committer gives sequence numbers and writes packs and log.
 *
 *   append ──► queue (mapped file) ──► workers: hash, entropy, dedup, compress ──► committer
 *
 * All functions but open and close may be called from many threads.
 */
#ifndef CHRONOVISOR_RECORDER_H
#define CHRONOVISOR_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"
#include "chronovisor/err.h"

struct chv_recorder;
struct io;

struct chv_store_config {
    uint32_t block_bytes;        /* 4096 (0 means that) or 512 */
    const char *signing_key;     /* path of an Ed25519 private key (PEM) or NULL */
};

/* Make an empty store. EEXIST when dir already is one, ENOTEMPTY when it holds something else. */
int chv_store_create(const char *dir, const struct chv_store_config *config, struct chv_err *err);

#define CHV_QUEUE_BLOCKS_MIN 64u
#define CHV_QUEUE_BLOCKS_MAX (1u << 20)

struct chv_recorder_options {
    uint32_t queue_blocks;  /* 0: 16384 (64 MiB of 4 KiB blocks) */
    uint32_t workers;       /* 0: as many as cores, at most 8 */
    bool gap_when_behind;   /* a full queue records a GAP instead of making the caller wait */
    const char *signing_key;/* overrides the store's; NULL: as configured */
    const struct io *io;    /* NULL: the real file system (tests inject faults) */
    uint32_t segment_events;/* 0: 65536, at most that; at least 64 (tests: short segments) */
    uint64_t pack_bytes;    /* 0: 256 MiB, at most that (tests: short packs) */
    uint64_t clock_ns;      /* 0: the clock. Else an import: the recorder's own events (SPACE, COMMIT, MARK) carry this
                             * time, or that of the event before them if later, so that they never push the log's
                             * time ahead of the records that are still to come. */
};

/* Take the writer lock, recover whatever a crash left, and be ready to append.
 * EBUSY: another recorder has it. */
int chv_recorder_open(const char *dir, const struct chv_recorder_options *options,
                      struct chv_recorder **out, struct chv_err *err);
/* Drain, commit, release. Returns the first error that lost anything, if any. */
int chv_recorder_close(struct chv_recorder *rec, struct chv_err *err);

/* Find or define a space. A new size or rest is recorded as a new SPACE event.
 * `source`: absolute path of the device or NULL. Returns its id through *id. */
int chv_recorder_space(struct chv_recorder *rec, const char *name, uint64_t size_bytes, enum chv_rest rest,
                       const char *source, uint16_t *id, struct chv_err *err);

/* One request. For ops with content `data` holds the whole aligned blocks that cover
 * [lba, lba + sectors) after the request; the recorder splits it into one event a block.
 * ZERO, TRIM and GAP ranges must be block-aligned (the end of the space counts as aligned). */
struct chv_record {
    uint16_t space;
    uint8_t op;
    uint8_t flags;          /* enum chv_event_flag: FUA, REWIND, IMPORTED are the caller's */
    uint32_t sectors;
    uint64_t lba;
    uint64_t time_ns;       /* 0: now. Earlier than the last one: recorded as the last one. */
    const void *data;       /* content, or NULL */
    const uint8_t (*unless)[CHV_HASH_BYTES]; /* NULL, or one hash a block: no event where it is the same content */
    const void **hold;      /* NULL, or room for a pointer a block: where the queue's copies are, to be read until
                             * chv_recorder_release */
    struct chv_gap_detail gap; /* op GAP only */
};

/* Append `count` requests, adjacent and in order. *ticket (may be NULL) names the position
 * for chv_recorder_wait. Waits while the queue is full (or records a gap, as configured, if there is a WRITE, ZERO,
 * TRIM or READ among them: what was found by looking can wait).
 * Returns 0, or CHV_APPEND_GAP when (some of) it was lost and a gap will be recorded instead, or -errno once the
 * store cannot take evidence any more (sticky: ENOSPC, EIO). */
#define CHV_APPEND_GAP 1
int chv_recorder_append(struct chv_recorder *rec, const struct chv_record *records, size_t count,
                        uint64_t *ticket, struct chv_err *err);

/* Copies that an append of `hold` kept; they take up room in the queue until then. After CHV_APPEND_GAP or an error
 * nothing is held. A request with `hold` and all that is appended with it must fit half of the queue (EINVAL). */
void chv_recorder_release(struct chv_recorder *rec, const void *const *held, size_t count);

/* Return when everything up to `ticket` is on stable storage (group commit). */
int chv_recorder_wait(struct chv_recorder *rec, uint64_t ticket, struct chv_err *err);

struct chv_recorder_stats {
    uint64_t requests, events, blocks, bytes;      /* taken in */
    uint64_t new_blocks, duplicate_blocks, zero_blocks, stored_bytes;
    uint64_t commits, gaps, waits;                 /* waits: appends that met a full queue */
    uint64_t queue_used, queue_blocks;
    uint64_t last_seq;                             /* durable */
};
void chv_recorder_stats(struct chv_recorder *rec, struct chv_recorder_stats *out);

#endif

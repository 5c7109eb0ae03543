/* The bounded queue between sensors and committer: a ring of blocks in a mapped file (STORE/queue), so that
 * what was appended outlives the process. It does not outlive the machine: after a reboot its content is
 * void (pages may be of different ages), which the boot id tells.
 *
 * Positions count up for ever; position p is in slot p % slots. Order of life of a position:
 *   reserved (under the recorder's lock) → READY (filled) → DONE (hashed) → logged (seq set) → freed (EMPTY).
 *
 * The content of a position is in a buffer, the last one given back first: a queue that is seldom full keeps to
 * few pages, which are in the caches. Whoever still writes a buffer to the disk holds it beyond its position.
 */
#ifndef CHV_STORE_QUEUE_H
#define CHV_STORE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/event.h"
#include "store/meta.h"

#define QUEUE_VERSION 2u

enum { SLOT_EMPTY, SLOT_READY, SLOT_DONE };

struct slot {
    _Atomic uint32_t state;
    uint32_t sectors;
    uint64_t position, time_ns, lba;
    _Atomic uint64_t seq;        /* given by the committer; 0: not logged */
    uint16_t space, entropy;
    uint8_t op, flags;
    uint8_t has_data, has_unless;
    uint8_t drop, known, codec;  /* the worker's findings: same as `unless`; content already stored; how packed */
    uint8_t indexed;             /* recorder's `indexed` when the worker looked whether the content is stored */
    uint32_t buffer;             /* of its content; only with has_data */
    uint8_t hash[32];
    uint8_t extra[32];           /* the hash to compare with, or what the event's hash field carries */
    uint32_t stored_bytes;
    uint32_t packed;             /* the buffer of its compressed content; only with CODEC_ZSTD */
};
_Static_assert(sizeof(struct slot) == 128, "two cache lines");

/* Requests lost to a full queue or a broken store, until a GAP event can say so. */
#define QUEUE_GAPS 64
struct queue_gap {
    uint64_t first_block, end_block, events, first_time_ns;
    uint16_t space;
    uint8_t reason, reserved[5];
};

struct queue_file {
    char magic[8];
    uint32_t version, slots, block_bytes, gap_count;
    uint8_t uuid[16];
    char boot_id[40];
    _Atomic uint64_t head, tail;
    struct queue_gap gaps[QUEUE_GAPS];
};

#define QUEUE_PACKED 2048u /* when all are in use, blocks are stored as they are */

struct queue {
    struct queue_file *file;
    struct slot *slots;
    uint8_t *data;    /* slots * block_bytes */
    uint8_t *packed;  /* not in the file: QUEUE_PACKED blocks, compressed content until it is written */
    uint32_t count, block_bytes;
    size_t map_bytes;
    bool discarded;   /* found with content of an earlier boot, which was dropped */

    /* under the recorder's lock */
    uint32_t *unused; /* a stack of buffers */
    uint32_t unused_count;
    uint8_t *holds;   /* of each buffer: 0 unused; 1 its position, or who held it beyond; 2 both */
    uint32_t packed_unused[QUEUE_PACKED], packed_unused_count;
};

/* Open STORE/queue, making it if needed. When an old one holds content, `slots` is ignored: it keeps its size. */
int queue_open(struct queue *q, const struct meta *meta, uint32_t slots, struct chv_err *err);
void queue_close(struct queue *q);

static inline struct slot *queue_slot(const struct queue *q, uint64_t position)
{
    return &q->slots[position % q->count];
}
static inline uint8_t *queue_data(const struct queue *q, const struct slot *slot)
{
    return q->data + (size_t)slot->buffer * q->block_bytes;
}
static inline uint8_t *queue_packed(const struct queue *q, const struct slot *slot)
{
    return q->packed + (size_t)slot->packed * q->block_bytes;
}

/* Take an unused buffer, for one or two holders. There is one. */
static inline uint32_t queue_take(struct queue *q, uint8_t holders)
{
    uint32_t buffer = q->unused[--q->unused_count];
    q->holds[buffer] = holders;
    return buffer;
}
static inline void queue_give(struct queue *q, uint32_t buffer)
{
    if (--q->holds[buffer] == 0) q->unused[q->unused_count++] = buffer;
}

/* Account for a request that is not recorded; never fails: ranges are joined when there are too many. */
void queue_add_gap(struct queue *q, uint16_t space, uint64_t first_block, uint64_t end_block, uint64_t events,
                   uint64_t time_ns, uint8_t reason);

#endif

/* The virtio block device (virtio 1.2, 5.2): what a request means, and what the guest may know of the disk. */
#ifndef CHV_SENSOR_VHOST_BLK_H
#define CHV_SENSOR_VHOST_BLK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sensor/capture/capture.h"
#include "sensor/vhost_user/vring.h"

#define BLK_QUEUES_MAX 16u
#define BLK_SEGMENTS 126u              /* data pieces of a request that fit a ring of 128 */
#define BLK_BOUNCE_BYTES (1u << 20)    /* one piece of work for the recorder */
#define BLK_RANGES_MAX 16u             /* of a DISCARD or WRITE_ZEROES */
#define BLK_RANGE_SECTORS_MAX (1u << 22) /* of each: 2 GiB */
#define BLK_CONFIG_BYTES 60u
#define BLK_ID_BYTES 20u

enum blk_kind { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZERO, BLK_ID, BLK_UNKNOWN, BLK_BAD };

/* A request, its header copied. */
struct blk_request {
    enum blk_kind kind;
    uint64_t sector;
    uint64_t bytes; /* of data */
};

/* Bits of the device's features that this disk has. */
uint64_t blk_features(const struct capture *c);
/* The configuration space. */
void blk_config(const struct capture *c, uint8_t out[BLK_CONFIG_BYTES]);

/* Read the header. -EPROTO: there is no place for an answer, so the ring is no ring of a block device. */
int blk_parse(const struct chain *chain, struct blk_request *request, struct chv_err *err);
/* Do it and set the status; `bounce` holds BLK_BOUNCE_BYTES. `durable`: a write is answered when it is on stable
 * storage. Returns how many bytes were written to the chain. A failure is one line in `err` with its code, or err->code
 * is 0. */
uint32_t blk_execute(struct capture *c, const struct chain *chain, const struct blk_request *request, bool durable,
                     uint8_t *bounce, struct chv_err *err);
/* Answer without doing it. */
uint32_t blk_fail(const struct chain *chain);

/* The pieces, for who moves the data otherwise (async.c). */
bool blk_within(const struct capture *c, uint64_t sector, uint64_t bytes);
/* Where a read's data goes: `count` places at most. Returns how many they are, 0: more. */
unsigned blk_places(const struct chain *chain, const struct blk_request *request, struct iovec *places, unsigned count);
/* A write's data, copied out. */
void blk_gather(const struct chain *chain, const struct blk_request *request, uint8_t *to);
/* Set the status of a read or a write. Returns how many bytes were written to the chain. */
uint32_t blk_done(const struct chain *chain, const struct blk_request *request, bool good);
/* Does it change the disk? */
static inline bool blk_changes(const struct blk_request *r)
{
    return r->kind == BLK_WRITE || r->kind == BLK_DISCARD || r->kind == BLK_ZERO;
}

#endif

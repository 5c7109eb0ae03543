/* Which requests of a ring are under way, in memory that outlives this process: the front-end keeps it, and whoever
 * serves the ring next does them again. The layout is that of QEMU's docs/interop/vhost-user.rst: for split rings in
 * inflight.c, for packed ones in inflight_packed.c. It is read when a ring starts, checked, and only written from then
 * on. */
#ifndef CHV_SENSOR_VHOST_INFLIGHT_H
#define CHV_SENSOR_VHOST_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/vhost_user/guard.h"
#include "sensor/vhost_user/vring.h"

/* The shared memory of all queues. */
struct inflight_map {
    uint8_t *map;
    uint64_t bytes;
    uint16_t queues, queue_size;
    struct guard guard;
};

/* What one queue has of it. */
struct inflight {
    uint8_t *area; /* NULL: not tracked */
    const struct guard *guard;
    uint16_t size; /* descriptors, or entries */
    uint64_t counter;
    uint16_t again[VRING_SIZE_MAX]; /* heads (split) or entries (packed) to be done again, the oldest first */
    unsigned agains, next_again;
    /* packed: our own of what the memory says */
    uint16_t free_head;
    uint16_t next[VRING_SIZE_MAX], last[VRING_SIZE_MAX];
    struct vring_desc_copy taken[VRING_SIZE_MAX]; /* the request that was taken last, or is taken again */
};

/* Of one queue; a ring of either kind has room. */
uint64_t inflight_queue_bytes(uint16_t queue_size, bool packed);
/* New memory, all zeros, for the front-end to keep. The descriptor is the caller's. */
int inflight_create(uint16_t queues, uint16_t queue_size, int *fd, uint64_t *bytes, struct chv_err *err);
int inflight_open(struct inflight_map *m, int fd, const struct vu_inflight *what, struct chv_err *err);
void inflight_close(struct inflight_map *m);

/* A ring starts: take up what is written there. Sets where the ring goes on. EINVAL: it makes no sense. */
int inflight_start(struct inflight *f, const struct inflight_map *m, unsigned queue, struct vring *ring,
                   struct chv_err *err);
/* The next request that is to be done again: 1, 0 when there is none, or -EPROTO. */
int inflight_again(struct inflight *f, struct vring *ring, struct chain *chain, struct chv_err *err);
void inflight_took(struct inflight *f, const struct vring *ring, struct chain *chain);
/* Around vring_push: before it, and after it. */
void inflight_giving(struct inflight *f, const struct vring *ring, const struct chain *chain);
void inflight_gave(struct inflight *f, const struct vring *ring, const struct chain *chain);

/* --- inside: inflight_packed.c --- */
struct inflight_old {
    uint64_t counter;
    uint16_t at;
};
/* Sorts what was under way into f->again. */
void inflight_order(struct inflight *f, struct inflight_old *old, unsigned count);
int packed_inflight_start(struct inflight *f, uint16_t entries, struct vring *ring, struct chv_err *err);
int packed_inflight_again(struct inflight *f, uint16_t entry, struct vring *ring, struct chain *chain,
                          struct chv_err *err);
void packed_inflight_took(struct inflight *f, struct chain *chain);
void packed_inflight_giving(struct inflight *f, const struct vring *ring, const struct chain *chain);
void packed_inflight_gave(struct inflight *f, const struct vring *ring, const struct chain *chain);

#endif

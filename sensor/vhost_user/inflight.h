/* Which requests of a ring are under way, in memory that outlives this process: the front-end keeps it, and whoever serves
 * the ring next does them again. Split rings only; the layout is that of QEMU's docs/interop/vhost-user.rst. */
#ifndef CHV_SENSOR_VHOST_INFLIGHT_H
#define CHV_SENSOR_VHOST_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/vhost_user/vring.h"

/* The shared memory of all queues. */
struct inflight_map {
    uint8_t *map;
    uint64_t bytes;
    uint16_t queues, queue_size;
};

/* What one queue has of it. */
struct inflight {
    uint8_t *area; /* NULL: not tracked */
    uint16_t size; /* descriptors */
    uint64_t counter;
    uint16_t again[VRING_SIZE_MAX]; /* heads to be done again, the oldest first */
    unsigned agains, next_again;
};

uint64_t inflight_queue_bytes(uint16_t queue_size);
/* New memory, all zeros, for the front-end to keep. The descriptor is the caller's. */
int inflight_create(uint16_t queues, uint16_t queue_size, int *fd, uint64_t *bytes, struct chv_err *err);
int inflight_open(struct inflight_map *m, int fd, const struct vu_inflight *what, struct chv_err *err);
void inflight_close(struct inflight_map *m);

/* A ring starts: take up what is written there. Sets where the ring goes on. */
int inflight_start(struct inflight *f, const struct inflight_map *m, unsigned queue, struct vring *ring, struct chv_err *err);
void inflight_took(struct inflight *f, uint16_t head);
/* Around vring_push: before it, and after it. */
void inflight_giving(struct inflight *f, uint16_t head);
void inflight_gave(struct inflight *f, uint16_t head, uint16_t used_index);

#endif

/* A driver for an NVMe controller behind a mediator, the same for the fake device and for QEMU's. */
#ifndef CHV_TESTS_VISOR_NVME_DRIVER_H
#define CHV_TESTS_VISOR_NVME_DRIVER_H

#include "rig.h"
#include "visor/storage/nvme.h"

#define DRIVER_QUEUES 8u

struct driver_queue {
    uint64_t sq, cq;
    uint32_t entries, tail, head, phase;
};

struct nvme_driver {
    struct rig *rig;
    struct driver_queue q[DRIVER_QUEUES]; /* 0: admin */
    uint64_t page;                        /* for admin data */
    uint16_t id;                          /* of the next command */
};

/* Reset the controller and enable it with admin queues of so many entries. */
void driver_start(struct nvme_driver *d, struct rig *rig, uint32_t entries);
void driver_stop(struct nvme_driver *d);
/* Put a command into a queue, without ringing; its id is chosen. */
uint16_t driver_put(struct nvme_driver *d, unsigned q, struct nvme_command *c);
void driver_ring(struct nvme_driver *d, unsigned q);
/* Take one completion, wait for it; the doorbell is rung when the queue is seen empty, or at once. */
struct nvme_completion driver_take(struct nvme_driver *d, unsigned q, bool ring);
/* Put, ring, wait; the status. */
uint16_t driver_do(struct nvme_driver *d, unsigned q, struct nvme_command *c);
/* Create queues `id` of so many entries; the status of the first command that fails. */
uint16_t driver_queue(struct nvme_driver *d, unsigned id, uint32_t entries);
uint16_t driver_delete(struct nvme_driver *d, unsigned id);
/* Identify into d->page. */
uint16_t driver_identify(struct nvme_driver *d, uint32_t cns, uint32_t nsid);

enum driver_shape { DRIVER_PRP, DRIVER_SGL_BLOCK, DRIVER_SGL_SEGMENTS };
/* Guest memory for a transfer of `bytes`, in scattered pages, described in the command; *at gets where its bytes are: one address
 * for each of `bytes` / 512 pieces of 512 (pieces never straddle), the last of which may be shorter. */
void driver_buffer(struct nvme_driver *d, struct nvme_command *c, uint64_t bytes, enum driver_shape shape, uint64_t *at);

#endif

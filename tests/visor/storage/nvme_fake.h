/* An NVMe controller in a few pages: executes what the queues hold, in random order, and fails some of it. Written against the
 * specification, not against the mediator: it reads queues and lists by itself. */
#ifndef CHV_TESTS_VISOR_NVME_FAKE_H
#define CHV_TESTS_VISOR_NVME_FAKE_H

#include "nvme_workload.h"

#define FAKE_QUEUES 16u
struct fake_queue {
    uint64_t base;
    uint32_t entries, head, tail, cq, phase;
};

struct nvme_fake {
    struct rig *rig;
    uint32_t cc, csts, aqa;
    uint64_t asq, acq;
    struct fake_queue sq[FAKE_QUEUES], cq[FAKE_QUEUES];
    struct workload_namespace ns[WORKLOAD_NAMESPACES]; /* nsid - 1 */
    unsigned fail_percent;                     /* of changes, after some of it was done */
    uint64_t refused;                          /* commands with opcodes that it does not have */
    bool lazy;                                 /* does nothing until it is settled */
};

void fake_init(struct nvme_fake *f, struct rig *rig); /* sets the rig's device */
void fake_fini(struct nvme_fake *f);

#endif

/* Random commands for a controller with a few namespaces, and the comparison of its disks with what the mediator told. */
#ifndef CHV_TESTS_VISOR_NVME_WORKLOAD_H
#define CHV_TESTS_VISOR_NVME_WORKLOAD_H

#include "nvme_driver.h"

#define WORKLOAD_NAMESPACES 3u

struct workload_namespace { /* nsid - 1 */
    uint64_t bytes;
    unsigned lba_bits, metadata;
    bool extended;
    uint8_t *disk;
};

struct nvme_workload {
    struct rig rig; /* its device is set up by whoever has one */
    struct nvme_driver driver;
    struct nvme *mediator;
    struct workload_namespace *ns;
    unsigned namespaces, queues;
    bool failures;                        /* are to be expected */
    uint8_t *failed[WORKLOAD_NAMESPACES]; /* a byte a block: a command that touched it has failed */
    uint64_t commands;
};

/* With rig and ns set: the mediator, and a driver with a random number of queues. */
void nvme_workload_init(struct nvme_workload *m);
void nvme_workload_start(struct nvme_workload *m); /* a reset, and all of it anew */
void nvme_workload_batch(struct nvme_workload *m);
/* Any number of batches, with resets, and queues deleted and made again; compares now and then, and at the end. */
void nvme_workload_run(struct nvme_workload *m, unsigned rounds);
void nvme_workload_compare(struct nvme_workload *m);
void nvme_workload_fini(struct nvme_workload *m); /* prints a line */

#endif

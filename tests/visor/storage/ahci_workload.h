/* Random commands for a controller with a disk at each of its first ports, and the comparison with what the mediator told. */
#ifndef CHV_TESTS_VISOR_AHCI_WORKLOAD_H
#define CHV_TESTS_VISOR_AHCI_WORKLOAD_H

#include "ahci_driver.h"

#define WORKLOAD_DISKS 2u

struct workload_disk {
    uint64_t bytes;
    uint32_t lba_bytes;
    uint8_t *content;
    bool plain; /* has no queued TRIM, and no writes with FUA but the queued one */
};

struct ahci_workload {
    struct rig rig; /* its device is set up by whoever has one */
    struct ahci_driver driver[WORKLOAD_DISKS];
    struct ahci *mediator;
    struct workload_disk *disk;
    unsigned disks, depth; /* depth: most commands at once */
    bool failures;                   /* are to be expected */
    uint8_t *failed[WORKLOAD_DISKS]; /* a byte a block: a command that touched it may have failed */
    uint64_t commands;
};

/* With rig and disk set: the mediator, and a driver. */
void ahci_workload_init(struct ahci_workload *m);
void ahci_workload_start(struct ahci_workload *m); /* a reset, and all of it anew */
void ahci_workload_batch(struct ahci_workload *m);
void ahci_workload_run(struct ahci_workload *m, unsigned rounds);
void ahci_workload_compare(struct ahci_workload *m);
void ahci_workload_fini(struct ahci_workload *m); /* prints a line */

#endif

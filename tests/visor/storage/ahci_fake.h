/* An AHCI controller with two disks, in a few pages: executes what the slots hold, queued commands in random order, and fails some.
 * Written against the specification, not against the mediator. */
#ifndef CHV_TESTS_VISOR_AHCI_FAKE_H
#define CHV_TESTS_VISOR_AHCI_FAKE_H

#include "ahci_workload.h"

#define FAKE_PORTS WORKLOAD_DISKS

struct fake_port {
    uint32_t clb[2], fb[2], is, cmd, tfd, sact, ci;
    bool halted; /* an error, until ST is cleared */
    struct workload_disk *disk;
};

struct ahci_fake {
    struct rig *rig;
    uint32_t ghc;
    struct fake_port port[FAKE_PORTS];
    struct workload_disk disk[WORKLOAD_DISKS];
    unsigned fail_percent; /* of changes, after some of it was done */
    bool lazy;             /* does nothing until it is settled */
};

void ahci_fake_init(struct ahci_fake *f, struct rig *rig); /* sets the rig's device */
void ahci_fake_fini(struct ahci_fake *f);

#endif

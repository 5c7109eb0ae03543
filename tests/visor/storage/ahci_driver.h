/* A driver for one port of an AHCI controller behind a mediator, the same for the fake device and for QEMU's. */
#ifndef CHV_TESTS_VISOR_AHCI_DRIVER_H
#define CHV_TESTS_VISOR_AHCI_DRIVER_H

#include "rig.h"
#include "visor/storage/ahci.h"

/* A command in ATA's words. */
struct ata {
    uint8_t opcode;
    uint64_t lba;
    uint32_t count;    /* as in the registers: 0 is the most */
    uint16_t features; /* of commands that are not of a kind below */
    bool fua, write;
    uint32_t bytes;    /* of data */
    uint32_t auxiliary;
};

struct ahci_driver {
    struct rig *rig;
    unsigned port;
    uint64_t list, fis, table[AHCI_SLOTS], page;
    uint32_t busy; /* slots */
};

/* Reset the controller. */
void ahci_driver_reset(struct rig *rig);
/* Start a port. */
void ahci_driver_start(struct ahci_driver *d, struct rig *rig, unsigned port);
/* ST 0, wait, and 1 again: what is under way is gone. */
void ahci_driver_restart(struct ahci_driver *d);
bool ata_is_ncq(uint8_t opcode);
/* Fill a slot; data in memory in scattered pieces, even as the specification wants them; *at gets where each 512 bytes of it are. */
void ahci_driver_put(struct ahci_driver *d, unsigned slot, const struct ata *command, uint64_t *at);
void ahci_driver_issue(struct ahci_driver *d, uint32_t slots, bool ncq);
/* Wait until some of the slots under way have ended, or there is an error (*failed, all slots of which nothing is known are given back
 * after a restart). Returns those that have ended well. */
uint32_t ahci_driver_wait(struct ahci_driver *d, uint32_t *failed);
/* Put, issue, wait: did it work? */
bool ahci_driver_do(struct ahci_driver *d, const struct ata *command, uint64_t *at);

#endif

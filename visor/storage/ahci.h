/* The AHCI mediator (AHCI 1.3.1, ATA ACS-4): sees what a guest tells a SATA controller, before the controller does.
 *
 * Whoever traps the controller's registers (ABAR) calls ahci_write before the device gets a write; reads need no trap. One caller at
 * a time. Nothing is allocated: all state is in struct ahci, whose size is asserted. */
#ifndef VISOR_STORAGE_AHCI_H
#define VISOR_STORAGE_AHCI_H

#include "visor/storage/blocks.h"

#define AHCI_PORTS 32u
#define AHCI_SLOTS 32u
#define AHCI_TRIM_BLOCKS_MAX 64u /* of 64 ranges; a DATA SET MANAGEMENT with more is a gap */

enum ahci_register { /* 3.1, 3.3 */
    AHCI_GHC = 0x04,
    AHCI_PI = 0x0c,
    AHCI_PORT = 0x100, /* and 0x80 a port */
    AHCI_CLB = 0x00,
    AHCI_CLBU = 0x04,
    AHCI_FB = 0x08,
    AHCI_FBU = 0x0c,
    AHCI_IS = 0x10,
    AHCI_CMD = 0x18,
    AHCI_TFD = 0x20,
    AHCI_SCTL = 0x2c,
    AHCI_SACT = 0x34,
    AHCI_CI = 0x38,
};
#define AHCI_GHC_RESET 1u
#define AHCI_CMD_ST 1u
#define AHCI_CMD_FRE (1u << 4)
#define AHCI_CMD_FR (1u << 14)
#define AHCI_CMD_CR (1u << 15)
#define AHCI_IS_TFES (1u << 30)
#define AHCI_TFD_ERR 1u
#define AHCI_NO_LIST (UINT64_MAX & ~UINT64_C(0x3ff)) /* where there is no memory */

enum ahci_kind { AHCI_OTHER, AHCI_CHANGE, AHCI_IDENTIFY };

struct ahci_slot {
    uint64_t command;
    uint64_t lba, sectors; /* CHANGE */
    uint64_t table;        /* IDENTIFY: of PRDs */
    uint16_t prds;
    uint8_t kind;
};

struct ahci_port {
    uint32_t issued, queued; /* slots under way: until PxCI clears, and until PxSACT does (NCQ) */
    uint64_t list;           /* of command headers, while the port runs */
    uint32_t lba_bytes;      /* 0: not known */
    bool identified, trim_zeroes;
    uint64_t sectors;
    char serial[20];
    struct ahci_slot slot[AHCI_SLOTS];
};

struct ahci {
    struct storage storage;
    bool trust_trim; /* the operator knows that trimmed sectors read as zeros */
    struct ahci_port port[AHCI_PORTS];
};
_Static_assert(sizeof(struct ahci) < 64u << 10, "the state of a controller stays under 64 KiB");

/* Begin with a controller in whatever state it is. `a` is the caller's, and the port is copied. */
void ahci_init(struct ahci *a, const struct storage_port *port, uint16_t device);
/* The guest writes `width` bytes at `offset` of the registers. On STORAGE_PASS *value is what the device is to get. */
enum storage_verdict ahci_write(struct ahci *a, uint64_t offset, unsigned width, uint64_t *value);
/* The registers were moved: where they were, something else may have answered. No command passes until the guest has started the port anew. */
void ahci_moved(struct ahci *a);
/* Every port stops, by a reset, or for the recording ends: commands under way may or may not have been done. */
void ahci_stop(struct ahci *a);

/* ---- between the mediator's own files ---- */

/* ahci_command.c: the command in a slot is about to be told to the device. False: it must not be. Sets *ncq. */
bool ahci_command(struct ahci *a, unsigned port, unsigned slot, bool *ncq);
/* ahci_identify.c: what a device said of itself, 512 bytes. */
void ahci_identify(struct ahci *a, unsigned port, const uint8_t *data);

#endif

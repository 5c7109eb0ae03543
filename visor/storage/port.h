/* What a storage mediator is given, and what it hands out: the same in the hypervisor and in hosted tests. */
#ifndef VISOR_STORAGE_PORT_H
#define VISOR_STORAGE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

#define VISOR_BLOCK_BYTES 4096u
#define VISOR_BLOCK_SECTORS (VISOR_BLOCK_BYTES / CHV_SECTOR_BYTES)
#define VISOR_UNIT_ALL 0u /* of a controller: whatever hangs on it */

/* One thing that a guest's command does to a disk, told before the device hears of the command. */
struct visor_block {
    uint64_t command;    /* numbers this controller's commands; the gap of a failure has the number of what failed */
    uint64_t lba;        /* 512-byte sectors; SPACE: the unit's size */
    uint64_t sectors;    /* WRITE: 1 to 8, within one aligned block of 8; ZERO, TRIM, GAP: whole aligned blocks; GAP 0: all of the unit */
    const uint8_t *data; /* WRITE: sectors * 512 bytes; SPACE: a name, CHV_SPACE_NAME_BYTES;
                          * GAP: NULL, or a struct chv_gap_detail. Borrowed until emit returns */
    uint32_t unit;       /* NVMe: namespace; AHCI: port + 1; or VISOR_UNIT_ALL (FLUSH, GAP) */
    uint16_t device;     /* the controller, as whoever made the mediator numbers them */
    uint8_t op;          /* enum chv_op: SPACE WRITE READ ZERO TRIM FLUSH GAP */
    uint8_t flags;       /* enum chv_event_flag: FUA, PARTIAL, CONTINUED */
    uint8_t reason;      /* GAP: enum chv_gap_reason; SPACE: not 0 if other controllers may change it as well */
    uint16_t place;      /* the controller's PCI function, which whoever made the mediator knows */
};

/* The machine around a mediator. All of it is called from within the mediator's own functions, on their caller's stack. */
struct storage_port {
    void *arg;
    /* Guest-physical memory to ours; false, unless all of it is RAM of the guest's: not a device's, not the hypervisor's. */
    bool (*copy)(void *arg, void *dst, uint64_t gpa, size_t n);
    /* Ours to the guest's, under the same rule. */
    bool (*store)(void *arg, uint64_t gpa, const void *src, size_t n);
    /* Is some of this the hypervisor's own? No device is told to read or write that. */
    bool (*owned)(void *arg, uint64_t gpa, uint64_t n);
    /* The device's own register, 32 bits. */
    uint32_t (*reg)(void *arg, uint64_t offset);
    /* Takes the block in, or waits until it can. */
    void (*emit)(void *arg, const struct visor_block *block);
};

/* What happens to an access that was trapped. */
enum storage_verdict {
    STORAGE_PASS, /* the device gets it, with the value as it is now */
    STORAGE_DROP, /* the device does not get it */
};

/* What a mediator counts: for tests and for the line at the end. */
struct storage_count {
    uint64_t commands, blocks, gaps;
    uint64_t failed;    /* commands that changed something and that the device said it could not do */
    uint64_t refused;   /* commands kept from the device */
    uint64_t malformed; /* accesses that no driver makes: not passed on */
};

/* What both mediators have. */
struct storage {
    struct storage_port port;
    uint64_t command; /* the present one */
    struct storage_count count;
    uint64_t gap_lba, gap_sectors; /* the last event, if it was a gap: the same again says nothing new */
    uint32_t gap_unit;
    bool gap_last;
    uint16_t device;
    uint8_t block[VISOR_BLOCK_BYTES]; /* the content on its way out */
};

/* No driver does that, and the device does not get it. */
static inline enum storage_verdict storage_malformed(struct storage *s)
{
    s->count.malformed++;
    return STORAGE_DROP;
}

#endif

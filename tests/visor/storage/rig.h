/* A machine for the mediators: guest memory, a device (fake, or QEMU's), and disks rebuilt from what the mediator tells. */
#ifndef CHV_TESTS_VISOR_RIG_H
#define CHV_TESTS_VISOR_RIG_H

#include "tests/unit.h"
#include "visor/storage/port.h"

#define RIG_UNITS 8u

/* A disk as the events say it is. */
struct rig_unit {
    uint32_t id;
    uint64_t sectors;
    char name[33];
    uint8_t *content, *unknown; /* unknown: a byte a block of 4096 */
};

struct rig {
    uint8_t *ram; /* from guest-physical 0 */
    uint64_t ram_bytes;
    uint64_t own, own_bytes;   /* the hypervisor's part of it */
    uint64_t own_touched;      /* how often the device was told of that (fakes count) */
    struct rig_unit unit[RIG_UNITS];
    unsigned units;
    uint64_t events[16];       /* by op */
    struct visor_block last;
    uint8_t last_data[VISOR_BLOCK_BYTES];
    /* the mediator, and the device behind it */
    void *mediator, *device;
    enum storage_verdict (*mediate)(void *mediator, uint64_t offset, unsigned width, uint64_t *value);
    uint32_t (*read)(struct rig *rig, uint64_t offset);
    void (*write)(struct rig *rig, uint64_t offset, unsigned width, uint64_t value);
    void (*settle)(struct rig *rig); /* let the device work */
    uint64_t seed, next;             /* next: of rig_alloc */
};

void rig_init(struct rig *rig, uint8_t *ram, uint64_t ram_bytes, uint64_t seed);
void rig_fini(struct rig *rig); /* not the ram */
struct storage_port rig_port(struct rig *rig);

/* What every event must be like; ends the test when one is not. */
void rig_check(const struct visor_block *block);

/* As the guest does it: through the mediator to the device. */
void guest_write(struct rig *rig, uint64_t offset, uint32_t value);
void guest_write64(struct rig *rig, uint64_t offset, uint64_t value);
uint64_t rig_alloc(struct rig *rig, uint64_t bytes, uint64_t align); /* guest memory, zeroed, for good */
uint64_t rig_random(struct rig *rig, uint64_t below);

struct rig_unit *rig_unit(struct rig *rig, uint32_t id); /* NULL: never announced */
/* Compares a unit with what is on its disk. Returns how many blocks are unknown; a known block that differs ends the test. */
uint64_t rig_compare(struct rig *rig, uint32_t id, const uint8_t *disk, uint64_t bytes);

static inline void *rig_at(struct rig *rig, uint64_t gpa)
{
    return rig->ram + gpa;
}

#endif

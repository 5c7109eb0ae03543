/* Where a guest's RAM is: guest-physical ranges and the pieces of the backing files that hold them; and its processors. */
#ifndef CHV_SENSOR_MEMORY_LAYOUT_H
#define CHV_SENSOR_MEMORY_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

#define LAYOUT_PAGE_BYTES 4096u
#define LAYOUT_RANGES_MAX 256u
#define LAYOUT_NAME_BYTES 64u
#define LAYOUT_ADDRESS_BITS 47 /* of a space: 2^48 sectors hold more, a processor addresses 2^52 */
#define LAYOUT_VCPUS_MAX 512u

/* Consecutive bytes of guest-physical memory in consecutive bytes of one memory region of QEMU. */
struct ram_range {
    uint64_t gpa, bytes;            /* both multiples of LAYOUT_PAGE_BYTES, bytes > 0 */
    uint64_t offset;                /* in the region */
    char region[LAYOUT_NAME_BYTES]; /* QEMU's name of it: the backend's id */
};

/* Ascending and disjoint, once normalised. */
struct ram_layout {
    size_t count;
    struct ram_range ranges[LAYOUT_RANGES_MAX];
};

/* Sort by address and join what is consecutive in both; EPROTO: unaligned, empty, too high or overlapping. */
int layout_normalise(struct ram_layout *layout, struct chv_err *err);
/* One byte past the last; 0 when empty. */
uint64_t layout_end(const struct ram_layout *layout);
uint64_t layout_bytes(const struct ram_layout *layout);
/* The range around `gpa`, or NULL. */
const struct ram_range *layout_find(const struct ram_layout *layout, uint64_t gpa);

/* What a virtual processor was doing. All zero where the monitor did not say. */
struct vcpu {
    uint64_t cr0, cr3, cr4, efer, rip, gs_base, idt_base;
    uint8_t cpl;
    bool halted;
};

#endif

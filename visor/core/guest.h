/* The guest's memory, as the hypervisor may touch it: everything here is hostile and changes while it is looked at, so
 * it is copied once, and only the copy is judged. */
#ifndef VISOR_CORE_GUEST_H
#define VISOR_CORE_GUEST_H

#include "visor/core/lib.h"

/* Copies n bytes from guest-physical memory. False, with nothing copied, unless the whole range is RAM of the guest's:
 * not a device's registers, not the hypervisor's own memory. The fake of a hosted test decides for itself what RAM is.
 */
bool guest_copy(void *dst, uint64_t gpa, size_t n);

/* Writes n bytes to guest-physical memory, under the same rule. For answers that the guest asked for. */
bool guest_store(uint64_t gpa, const void *src, size_t n);

/* True if the whole range is the guest's RAM. */
bool guest_is_ram(uint64_t gpa, uint64_t n);

/* The lowest stretch of the guest's RAM, without holes, that ends behind `at`. False: there is none. */
bool guest_ram_next(uint64_t at, uint64_t *base, uint64_t *end);
/* True if some of the range is RAM, the guest's or the hypervisor's. */
bool guest_meets_ram(uint64_t gpa, uint64_t n);

/* True if some of the range is the hypervisor's memory. */
bool guest_is_own(uint64_t gpa, uint64_t n);

/* At boot: a range of RAM according to the firmware; adjoining ones become one. False when the table is full. */
bool guest_ram_add(uint64_t gpa, uint64_t n);
/* At boot: a range that is the hypervisor's, whatever the firmware says about it. */
void guest_ram_own(uint64_t gpa, uint64_t n);

/* The guest's paging at one instant. */
struct guest_paging {
    uint64_t cr0, cr3, cr4, efer;
};

/* Guest-virtual to guest-physical by the guest's own page tables (none, 32-bit, PAE, 4 and 5 levels; access rights are
 * not judged: the processor did that). False when it is not mapped or a table is not in RAM. */
bool guest_walk(const struct guest_paging *paging, uint64_t gva, uint64_t *gpa);

/* Where a walk of PAE, 4-level or 5-level tables ended. */
struct guest_leaf {
    uint64_t gpa;
    uint64_t bytes; /* of addresses that its last entry stands for, also where that is not present */
    uint64_t flags; /* LEAF_…, of all levels together; accessed and dirty of the last */
};
#define LEAF_WRITE (UINT64_C(1) << 1)
#define LEAF_USER (UINT64_C(1) << 2)
#define LEAF_ACCESSED (UINT64_C(1) << 5)
#define LEAF_DIRTY (UINT64_C(1) << 6)
#define LEAF_NO_EXECUTE (UINT64_C(1) << 63)
/* The same walk, with more to say. */
bool guest_leaf(const struct guest_paging *paging, uint64_t gva, struct guest_leaf *leaf);

/* Copies n bytes from guest-virtual memory; returns how many there are before the first byte that is not RAM. */
size_t guest_copy_virtual(void *dst, const struct guest_paging *paging, uint64_t gva, size_t n);

#endif

/* Identity page tables in the format of x86-64: nested paging (SVM) and the hypervisor's own; and at the same time in
 * that of AMD's IOMMU, whose bits are ignored by processors and the other way round. Large pages everywhere, split
 * where a page must differ. No table is ever freed; they come from a pool made at boot. */
#ifndef VISOR_CORE_PAGING_H
#define VISOR_CORE_PAGING_H

#include "visor/core/lib.h"

#define PAGING_PRESENT (UINT64_C(1) << 0)
#define PAGING_WRITE (UINT64_C(1) << 1)
#define PAGING_USER (UINT64_C(1) << 2) /* nested: all guest accesses count as user accesses */
#define PAGING_LARGE (UINT64_C(1) << 7)
#define PAGING_DEVICE_READ (UINT64_C(1) << 61) /* of the IOMMU: processors go by the others */
#define PAGING_DEVICE_WRITE (UINT64_C(1) << 62)
#define PAGING_NO_EXECUTE (UINT64_C(1) << 63)
#define PAGING_ADDRESS UINT64_C(0x000ffffffffff000)
#define PAGING_LARGE_BYTES (UINT64_C(2) << 20)

struct paging {
    uint64_t *root;
    unsigned levels;       /* 4 or 5 */
    unsigned address_bits; /* of what is mapped: at most 48 */
    uint64_t flags;        /* of everything that is not set otherwise */
    uint64_t *pool;        /* tables not used yet: pool_left × 512 entries */
    unsigned pool_left;
};

/* How many tables an identity map of so many address bits takes, before any is split. */
unsigned paging_tables(unsigned levels, unsigned address_bits);

/* Maps [0, 2^address_bits) with pages of 1 GiB. pool: `tables` zeroed pages, page-aligned, address = physical address.
 * False if they are not enough. */
bool paging_init(struct paging *p, unsigned levels, unsigned address_bits, uint64_t flags, void *pool, unsigned tables);

/* The entry of the 4 KiB page that holds `address`, after splitting what is larger; NULL beyond the map or if the pool
 * is empty. The tables are valid at every moment for processors that walk them meanwhile. */
uint64_t *paging_entry(struct paging *p, uint64_t address);

/* Maps the page at `address` to `target` with these flags (0: not mapped). The caller flushes TLBs. */
bool paging_set(struct paging *p, uint64_t address, uint64_t target, uint64_t flags);

/* Ends the mapping of the 2 MiB at `address`, of which no page was set before. False beyond the map or if the pool is
 * empty. */
bool paging_clear_large(struct paging *p, uint64_t address);

#endif

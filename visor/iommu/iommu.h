/* AMD's IOMMU, taken before the guest starts and never given to it: devices reach all memory at its own address, as
 * without one, except the hypervisor's and the registers that it watches or hides; its own card reaches its rings and
 * nothing else. Interrupts are not remapped. Once the guest runs, the machine's lock is held when these are called. */
#ifndef VISOR_IOMMU_IOMMU_H
#define VISOR_IOMMU_IOMMU_H

#include "visor/core/lib.h"

/* At boot, before any page is protected: finds IOMMUs and makes their tables for a machine of so many address bits,
 * with [own, own + own_bytes), multiples of 2 MiB, out of reach. Takes 2304 KiB, 4 for each 512 GiB, 8 and a little for
 * each IOMMU, and 32 for the card. Without IOMMUs (a line says why, if there are some) all below does nothing. */
void iommu_init(uint64_t rsdp, unsigned address_bits, uint64_t own, uint64_t own_bytes);

/* At boot, once: the function may do with [base, base + bytes), own memory, what it wants, and nothing else with
 * anything. Multiples of 4096. */
void iommu_give(uint16_t bdf, uint64_t base, uint64_t bytes);

/* At boot, when nothing can fail any more: hides them from the guest and switches them on. */
void iommu_start(uint64_t rsdp);

/* What devices may do with the page at gpa; holds on return of the next iommu_flush. */
void iommu_protect(uint64_t gpa, bool reads, bool writes);
void iommu_flush(void);

/* Says on COM1 what was refused; looks ten times a second and says little, however much there is. */
void iommu_poll(uint64_t now_ns);

#endif

/* The firmware's table of IOMMUs: AMD I/O Virtualization Technology (IOMMU) Specification (48882), 5.2. */
#ifndef VISOR_IOMMU_IVRS_H
#define VISOR_IOMMU_IVRS_H

#include "visor/core/lib.h"

enum { IVRS_UNITS_MAX = 8, IVRS_BYTES_MAX = 65536 };

struct ivrs_unit {
    uint64_t base; /* of its registers */
    uint16_t bdf;  /* the PCI function that it is */
    uint8_t flags; /* of the IVHD */
};

/* The IOMMUs that the table, of which `bytes` may be looked at, speaks of. 0 if it is not well-formed, has more of
 * them, or speaks of PCI segment groups other than the first. */
unsigned ivrs_read(const uint8_t *table, size_t bytes, struct ivrs_unit units[IVRS_UNITS_MAX]);

#endif

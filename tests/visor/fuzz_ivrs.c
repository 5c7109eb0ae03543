/* Any bytes as the firmware's table of IOMMUs: what is found has a place of its own, and nothing behind the table is looked at. */
#include "visor/iommu/ivrs.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ivrs_unit units[IVRS_UNITS_MAX];
    uint8_t *table = malloc(size ? size : 1);
    memcpy(table, data, size);
    unsigned n = ivrs_read(table, size, units);
    if (n > IVRS_UNITS_MAX) abort();
    for (unsigned i = 0; i < n; i++) {
        if (!units[i].base || units[i].base % PAGE_BYTES) abort();
        for (unsigned k = 0; k < i; k++)
            if (units[k].base == units[i].base) abort();
    }
    free(table);
    return 0;
}

/* Any bytes as a DSDT, with a length that is its own: a type of sleep is one of eight, or there is none; taking a name out keeps the sum. */
#include "visor/platform/acpi.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"_S1_", "_S3_", "_S4_", "_S5_"};
    uint32_t bytes = (uint32_t)size;
    uint8_t before = 0, after = 0;
    if (size < 36) return 0;
    uint8_t *dsdt = malloc(size);
    memcpy(dsdt, data, size);
    memcpy(dsdt + 4, &bytes, 4);
    for (size_t i = 0; i < size; i++) before = (uint8_t)(before + dsdt[i]);
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++) {
        int type = acpi_sleep_type(dsdt, names[i]);
        if (type < -1 || type > 7) abort();
        for (unsigned again = 0; again < 4; again++) acpi_rename(dsdt, names[i]);
    }
    for (size_t i = 0; i < size; i++) after = (uint8_t)(after + dsdt[i]);
    if (before != after) abort();
    free(dsdt);
    return 0;
}

#include "visor/iommu/ivrs.h"

enum { HEADER = 48, IVHD = 0x10, IVHD_MORE = 0x11, IVHD_NAMES = 0x40, IVHD_BYTES = 24 };

static unsigned word(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* An IOMMU has a block of each kind that it is described by. */
static bool add(struct ivrs_unit *units, unsigned *count, const uint8_t *block)
{
    struct ivrs_unit unit = {0, (uint16_t)word(block + 4), block[1]};
    memcpy(&unit.base, block + 8, 8);
    for (unsigned i = 0; i < *count; i++)
        if (units[i].base == unit.base) return true;
    if (*count == IVRS_UNITS_MAX || !unit.base || unit.base & (PAGE_BYTES - 1) || unit.base >> 52) return false;
    units[(*count)++] = unit;
    return true;
}

unsigned ivrs_read(const uint8_t *table, size_t bytes, struct ivrs_unit units[IVRS_UNITS_MAX])
{
    uint32_t length;
    unsigned count = 0;
    if (bytes < HEADER || memcmp(table, "IVRS", 4) != 0) return 0;
    memcpy(&length, table + 4, 4);
    if (length < HEADER || length > bytes || length > IVRS_BYTES_MAX) return 0;
    for (size_t at = HEADER, n; at < length; at += n) {
        const uint8_t *block = table + at;
        if (length - at < 4 || (n = word(block + 2)) < 4 || n > length - at) return 0;
        /* other blocks are of memory that the firmware wants mapped: all is, or of devices: all are treated alike */
        if (block[0] != IVHD && block[0] != IVHD_MORE && block[0] != IVHD_NAMES) continue;
        if (n < IVHD_BYTES || word(block + 16) || !add(units, &count, block)) return 0;
    }
    return count;
}

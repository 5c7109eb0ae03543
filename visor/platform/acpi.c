#include "visor/platform/acpi.h"

enum { HEADER = 36, ROOT_MAX = 4096, DSDT_MAX = 1 << 20, AML_NAME = 8, AML_BYTE = 0x0a, AML_PACKAGE = 0x12 };

static uint32_t bytes_of(const uint8_t *table)
{
    uint32_t bytes;
    memcpy(&bytes, table + 4, 4);
    return bytes;
}

const uint8_t *acpi_table(uint64_t rsdp, const char *signature)
{
    const uint8_t *root = (const uint8_t *)(uintptr_t)rsdp;
    uint64_t xsdt;
    if (!rsdp || memcmp(root, "RSD PTR ", 8) != 0) return NULL;
    memcpy(&xsdt, root + 24, 8);
    const uint8_t *table = (const uint8_t *)(uintptr_t)xsdt;
    if (!xsdt) return NULL;
    for (uint32_t at = HEADER; at + 8 <= bytes_of(table) && at < ROOT_MAX; at += 8) {
        uint64_t entry;
        memcpy(&entry, table + at, 8);
        if (entry && !memcmp((const void *)(uintptr_t)entry, signature, 4)) return (const uint8_t *)(uintptr_t)entry;
    }
    return NULL;
}

void acpi_erase(uint64_t rsdp, const char *signature)
{
    uint8_t *table = (uint8_t *)(uintptr_t)acpi_table(rsdp, signature), sum = 0;
    if (!table) return;
    memcpy(table, "OEM0", 4);
    memset(table + 36, 0, bytes_of(table) - 36);
    table[9] = 0;
    for (uint32_t i = 0; i < 36; i++) sum = (uint8_t)(sum + table[i]);
    table[9] = (uint8_t)(0 - sum);
}

uint8_t *acpi_dsdt(const uint8_t *fadt)
{
    uint64_t at = 0, wide = 0;
    if (!fadt || bytes_of(fadt) < 44) return NULL;
    memcpy(&at, fadt + 40, 4);
    if (bytes_of(fadt) >= 148) memcpy(&wide, fadt + 140, 8);
    if (wide) at = wide;
    return at && !memcmp((const void *)(uintptr_t)at, "DSDT", 4) ? (uint8_t *)(uintptr_t)at : NULL;
}

/* Where a Name(\xxxx, or Name(xxxx, is; 0: nowhere. */
static uint32_t find_name(const uint8_t *dsdt, const char *name)
{
    for (uint32_t at = HEADER + 2; at + 4 < bytes_of(dsdt) && at < DSDT_MAX; at++)
        if (!memcmp(dsdt + at, name, 4) && (dsdt[at - 1] == AML_NAME || (dsdt[at - 1] == '\\' && dsdt[at - 2] == AML_NAME)))
            return at;
    return 0;
}

int acpi_sleep_type(const uint8_t *dsdt, const char *name)
{
    uint32_t at = find_name(dsdt, name), end = bytes_of(dsdt);
    if (!at || end - at < 12 || dsdt[at + 4] != AML_PACKAGE) return -1;
    at += 5;
    at += 2u + (dsdt[at] >> 6); /* 20.2.4: its length, then how many elements */
    if (end - at < 2) return -1;
    int value = dsdt[at] == AML_BYTE ? dsdt[at + 1] : dsdt[at];
    return (dsdt[at] == AML_BYTE || value <= 1) && value < 8 ? value : -1;
}

void acpi_rename(uint8_t *dsdt, const char *name)
{
    uint32_t at = find_name(dsdt, name);
    if (!at) return;
    dsdt[9] = (uint8_t)(dsdt[9] + dsdt[at] - 'X'); /* the checksum */
    dsdt[at] = 'X';
}

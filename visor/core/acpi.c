#include "visor/core/acpi.h"

const uint8_t *acpi_table(uint64_t rsdp, const char *signature)
{
    const uint8_t *root = (const uint8_t *)(uintptr_t)rsdp;
    uint64_t xsdt;
    if (!rsdp || memcmp(root, "RSD PTR ", 8) != 0) return NULL;
    memcpy(&xsdt, root + 24, 8);
    const uint8_t *table = (const uint8_t *)(uintptr_t)xsdt;
    uint32_t bytes;
    if (!xsdt) return NULL;
    memcpy(&bytes, table + 4, 4);
    for (uint32_t at = 36; at + 8 <= bytes && at < 4096; at += 8) {
        uint64_t entry;
        memcpy(&entry, table + at, 8);
        if (entry && !memcmp((const void *)(uintptr_t)entry, signature, 4)) return (const uint8_t *)(uintptr_t)entry;
    }
    return NULL;
}

void acpi_erase(uint64_t rsdp, const char *signature)
{
    uint8_t *table = (uint8_t *)(uintptr_t)acpi_table(rsdp, signature), sum = 0;
    uint32_t bytes;
    if (!table) return;
    memcpy(&bytes, table + 4, 4);
    memcpy(table, "OEM0", 4);
    memset(table + 36, 0, bytes - 36);
    table[9] = 0;
    for (uint32_t i = 0; i < 36; i++) sum = (uint8_t)(sum + table[i]);
    table[9] = (uint8_t)(0 - sum);
}

#include "tests/visor/intruder/intruder.h"

static uint32_t address(unsigned bdf, unsigned reg)
{
    return 1u << 31 | bdf << 8 | (reg & 0xfc);
}

uint32_t config_read(unsigned bdf, unsigned reg)
{
    out32(0xcf8, address(bdf, reg));
    return in32(0xcfc);
}

void config_write(unsigned bdf, unsigned reg, uint32_t value)
{
    out32(0xcf8, address(bdf, reg));
    out32(0xcfc, value);
}

uint64_t ecam(void)
{
    uint64_t at = 0;
    const uint8_t *mcfg = acpi("MCFG");
    if (mcfg) memcpy(&at, mcfg + 44, 8);
    return at;
}

uint64_t bar_of(unsigned bdf, unsigned bar)
{
    uint32_t low = config_read(bdf, 0x10 + 4 * bar);
    uint64_t high = (low & 7) == 4 ? config_read(bdf, 0x14 + 4 * bar) : 0;
    return high << 32 | (low & ~15u);
}

void bar_set(unsigned bdf, unsigned bar, uint64_t to)
{
    uint32_t low = config_read(bdf, 0x10 + 4 * bar);
    if ((low & 7) == 4) config_write(bdf, 0x14 + 4 * bar, (uint32_t)(to >> 32));
    config_write(bdf, 0x10 + 4 * bar, (uint32_t)to);
}

bool decodes(unsigned bdf)
{
    return config_read(bdf, 4) >> 1 & 1;
}

void decode(unsigned bdf)
{
    config_write(bdf, 4, (config_read(bdf, 4) & 0xffff) | 6);
}

#include "tests/visor/intruder/intruder.h"

static uint64_t reg(const struct ahci_disk *d, unsigned offset)
{
    return d->base + 0x100 + 0x80 * d->port + offset;
}

bool ahci_start(struct ahci_disk *d)
{
    decode(d->bdf);
    d->base = bar_of(d->bdf, 5);
    if (!d->list) d->list = (uint64_t)(uintptr_t)page_alloc(2), d->table = d->list + PAGE;
    write32(d->base + 4, 1u << 31);
    write32(reg(d, 0x18), 0);
    for (unsigned i = 0; i < 1000 && read32(reg(d, 0x18)) & 0xc000; i++) pause_us(100);
    write32(reg(d, 0), (uint32_t)d->list);
    write32(reg(d, 4), 0);
    write32(reg(d, 8), (uint32_t)d->list + 2048);
    write32(reg(d, 12), 0);
    write32(reg(d, 0x30), ~0u);
    write32(reg(d, 0x10), ~0u);
    write32(reg(d, 0x18), 0x16);
    write32(reg(d, 0x18), 0x17);
    for (unsigned i = 0; i < 1000 && read32(reg(d, 0x20)) & 0x88; i++) pause_us(100);
    /* IDENTIFY DEVICE: what the disk is */
    uint32_t *header = (uint32_t *)d->list, *table = (uint32_t *)d->table;
    memset(table, 0, PAGE);
    memset(header, 0, 1024);
    header[0] = 1 << 16 | 5, header[2] = (uint32_t)d->table;
    table[0] = 0x00ec8027;
    table[32] = (uint32_t)d->table + 2048, table[35] = 511;
    write32(reg(d, 0x38), 1);
    for (unsigned i = 0; i < 20000 && read32(reg(d, 0x38)) & 1; i++) pause_us(50);
    write32(reg(d, 0x10), ~0u);
    return !(read32(reg(d, 0x38)) & 1) && !(read32(reg(d, 0x20)) & 1);
}

bool ahci_rw(struct ahci_disk *d, bool write, uint64_t lba, uint32_t sectors, uint64_t address)
{
    uint32_t *header = (uint32_t *)d->list, *table = (uint32_t *)d->table;
    memset(table, 0, 256);
    memset(header, 0, 32);
    header[0] = 1 << 16 | (write ? 1 << 6 : 0) | 5, header[2] = (uint32_t)d->table;
    table[0] = (write ? 0x00350000u : 0x00250000u) | 0x8027;
    table[1] = 0x40u << 24 | (uint32_t)lba;
    table[3] = sectors;
    table[32] = (uint32_t)address, table[33] = (uint32_t)(address >> 32), table[35] = sectors * 512 - 1;
    write32(reg(d, 0x10), ~0u);
    write32(reg(d, 0x38), 1);
    for (unsigned i = 0; i < 20000 && read32(reg(d, 0x38)) & 1; i++) pause_us(50);
    /* the FIS that says so has come: without it the command was not done */
    bool done = !(read32(reg(d, 0x38)) & 1) && read32(reg(d, 0x10)) & 1 && !(read32(reg(d, 0x20)) & 1);
    write32(reg(d, 0x10), ~0u);
    return done;
}

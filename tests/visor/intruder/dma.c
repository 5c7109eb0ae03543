/* The disks' own way to memory: addresses in commands, lists and registers. */
#include "tests/visor/intruder/intruder.h"

static unsigned passed;
static void nvme_read(uint64_t prp1, uint64_t prp2, uint32_t blocks)
{
    passed += nvme_rw(&nvme, false, 0, blocks, prp1, prp2) == 0;
}

static void commands(const char *name, uint64_t target)
{
    uint64_t page = (uint64_t)(uintptr_t)page_alloc(2), list = page + PAGE;
    *(uint64_t *)list = page;
    ((uint64_t *)list)[1] = target & ~UINT64_C(0xfff);
    attempt(name);
    passed = 0;
    nvme_read(target, 0, 8);
    nvme_read(page, target & ~UINT64_C(0xfff), 16);
    nvme_read(page, list, 24);
    nvme_read(page, target & ~UINT64_C(0xfff), 32); /* as a list */
    uint32_t sgl[16] = {2 | 1 << 14, 1, [6] = (uint32_t)target, (uint32_t)(target >> 32), 4096, 0, 0, 0, 7};
    passed += nvme_do(&nvme, true, sgl) == 0;
    uint32_t identify[16] = {6, 0, [6] = (uint32_t)target, (uint32_t)(target >> 32), [10] = 1};
    passed += nvme_do(&nvme, false, identify) == 0;
    uint32_t log[16] = {2, ~0u, [6] = (uint32_t)target, (uint32_t)(target >> 32), [10] = 127u << 16 | 2};
    passed += nvme_do(&nvme, false, log) == 0;
    uint32_t cq[16] = {5, 0, [6] = (uint32_t)target, (uint32_t)(target >> 32), [10] = 31 << 16 | 3, 1};
    passed += nvme_do(&nvme, false, cq) == 0;
    uint32_t sq[16] = {1, 0, [6] = (uint32_t)target, (uint32_t)(target >> 32), [10] = 31 << 16 | 3, 1 << 16 | 1};
    passed += nvme_do(&nvme, false, sq) == 0;
    passed += nvme_rw(&nvme_abused, true, 64, 8, target, 0) == 0; /* from there to a disk: a gap, so to the one that may have some */
    passed += ahci_rw(&ahci, false, 0, 8, target);
    bool works = ahci_start(&ahci);
    result("%u passed, works: %u", passed, (unsigned)works);
}

static void queues(void)
{
    attempt("queues-in-own");
    write32(nvme.base + 0x14, 0);
    for (unsigned i = 0; i < 1000 && read32(nvme.base + 0x1c) & 1; i++) pause_us(100);
    unsigned enabled = 0;
    for (unsigned which = 0; which < 2; which++) {
        write32(nvme.base + 0x28, (uint32_t)(which ? nvme.queue[0] : own));
        write32(nvme.base + 0x30, (uint32_t)(which ? own + own_bytes - PAGE : nvme.queue[1]));
        write32(nvme.base + 0x14, 6u << 16 | 4u << 20 | 1);
        enabled += read32(nvme.base + 0x14) & 1;
    }
    uint64_t port = ahci.base + 0x100 + 0x80 * ahci.port;
    write32(port + 0x18, 0);
    for (unsigned i = 0; i < 1000 && read32(port + 0x18) & 0xc000; i++) pause_us(100);
    write32(port, (uint32_t)own);
    write32(port + 0x18, 0x17);
    enabled += read32(port + 0x18) & 1;
    write32(port, (uint32_t)ahci.list);
    write32(port + 8, (uint32_t)own);
    write32(port + 0x18, 0x16);
    enabled += read32(port + 0x18) >> 4 & 1;
    bool works = nvme_start(&nvme) && ahci_start(&ahci);
    result("%u enabled, works again: %u", enabled, (unsigned)works);
}

void against_dma(void)
{
    commands("dma-own", own + 0x200000);
    commands("dma-own-end", own + own_bytes - 512);
    commands("dma-doorbells", nvme.base + 0x1000);
    commands("dma-ahci", ahci.base);
    commands("dma-card-config", ecam() + (1 << 20));
    commands("dma-apic", 0xfee00000);
    commands("dma-messages", 0xfee01000);
    queues();
}

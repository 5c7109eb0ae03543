/* Commands and rings that no driver makes. What may leave a gap goes to the disks whose record may have some. */
#include "tests/visor/intruder/intruder.h"

static uint32_t seed = 0x2545f491;
static uint32_t any(void)
{
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    return seed;
}

static void doorbells(void)
{
    attempt("nvme-doorbells");
    for (uint64_t at = 0x1000; at < 0x2000; at += 4)
        if (at > 0x100c) write32(nvme.base + at, any());
    write32(nvme.base + 0x1008, 32);
    write32(nvme.base + 0x1008, 0xffff0001);
    *(volatile uint8_t *)(nvme.base + 0x1008) = 9;
    *(volatile uint16_t *)(nvme.base + 0x1008) = 9;
    *(volatile uint64_t *)(nvme.base + 0x1008) = 9;
    *(volatile uint32_t *)(nvme.base + 0x1009) = 9;
    result("the status is %x", read32(nvme.base + 0x1c) & 3);
    attempt("nvme-subsystem-reset");
    write32(nvme.base + 0x20, 0x4e564d65);
    result("the status is %x", read32(nvme.base + 0x1c) & 3);
}

static void resets(void)
{
    attempt("nvme-resets");
    for (unsigned i = 0; i < 100; i++) {
        write32(nvme.base + 0x14, 0);
        write32(nvme.base + 0x14, 6u << 16 | 4u << 20 | 1);
        write32(nvme.base + 0x14, any() & ~1u);
    }
    bool works = nvme_start(&nvme);
    result("works: %u", (unsigned)works);
}

static void garbage(void)
{
    attempt("nvme-garbage");
    unsigned done = 0;
    for (unsigned i = 0; i < 80; i++) {
        uint32_t c[16];
        for (unsigned k = 0; k < 16; k++) c[k] = any();
        c[0] &= 0xffff, c[1] = any() % 3;
        if (any() & 1) c[0] = any() % 12, c[6] = (uint32_t)own + (any() & 0xfff000), c[7] = 0, c[8] = any() & 1 ? (uint32_t)own : 0, c[9] = 0;
        int status = nvme_do(&nvme_abused, any() & 1, c);
        done += status == 0;
        if (status < 0 && !nvme_start(&nvme_abused)) break;
    }
    bool works = nvme_start(&nvme_abused);
    result("works: %u", (unsigned)works);
    (void)done;
    attempt("nvme-delete-busy");
    for (unsigned round = 0; round < 4; round++) {
        uint32_t w[16] = {1, 1, [6] = (uint32_t)nvme.queue[0], [10] = 8 * round, 0, 7}, gone[16] = {0, [10] = 1};
        for (unsigned i = 0; i < 20; i++) {
            memcpy((void *)(nvme_abused.queue[2] + 64 * nvme_abused.tail[1]), w, 64);
            nvme_abused.tail[1] = (nvme_abused.tail[1] + 1) % 32;
        }
        write32(nvme_abused.base + 0x1008, nvme_abused.tail[1]);
        nvme_do(&nvme_abused, false, gone);
        write32(nvme_abused.base + 0x1008, 3); /* a queue that is gone */
        works = nvme_start(&nvme_abused);
    }
    result("works: %u", (unsigned)works);
    attempt("nvme-made-twice");
    uint32_t sq[16] = {1, [6] = (uint32_t)nvme_abused.queue[0], [10] = 31 << 16 | 1, 1 << 16 | 1};
    int twice = nvme_do(&nvme_abused, false, sq);
    uint32_t leak[16] = {1, 1, [6] = (uint32_t)own, [10] = 0, 0, 7}; /* the hypervisor's memory to the disk */
    int status = nvme_do(&nvme_abused, true, leak);
    works = nvme_start(&nvme_abused);
    result("made again: %u, then: %x, works: %u", (unsigned)(twice == 0), (unsigned)status, (unsigned)works);
}

static void ahci_garbage(void)
{
    uint64_t port = ahci_abused.base + 0x100 + 0x80 * ahci_abused.port;
    attempt("ahci-garbage");
    bool works = true;
    for (unsigned i = 0; i < 12 && works; i++) {
        uint32_t *header = (uint32_t *)ahci_abused.list, *table = (uint32_t *)ahci_abused.table;
        for (unsigned k = 0; k < 256; k++) header[k] = any();
        for (unsigned k = 0; k < 1024; k++) table[k] = any();
        if (i & 1)
            for (unsigned slot = 0; slot < 32; slot++) { /* nearly right ones */
                header[8 * slot] = (any() & 0x00070040) | 5, header[8 * slot + 2] = (uint32_t)ahci_abused.table, header[8 * slot + 3] = 0;
                table[0] = (table[0] & 0x00ff0000) | 0x8027;
            }
        write32(port + 0x34, any());
        write32(port + 0x38, any());
        write32(port + 4 * (any() % 32), any() & ~(i & 3 ? 0u : 1u));
        pause_us(2000);
        works = ahci_start(&ahci_abused);
    }
    works = ahci_start(&ahci_abused) && ahci_start(&ahci);
    result("works: %u", (unsigned)works);
}

void against_controllers(void)
{
    doorbells();
    resets();
    garbage();
    ahci_garbage();
}

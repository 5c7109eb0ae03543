/* The disks' registers: moved, switched off, put where something else is; while nobody, or another processor, uses them. */
#include "tests/visor/intruder/intruder.h"

static void one(const char *name, uint64_t to)
{
    uint64_t home = nvme.base;
    attempt(name);
    bar_set(nvme.bdf, 0, to);
    bool on = decodes(nvme.bdf);
    if (on) { /* what would do harm if nobody saw it: the next command, rung there */
        nvme.base = to;
        write32(nvme.base + 0x1008, (nvme.tail[1] + 1) % 32);
    }
    bar_set(nvme.bdf, 0, home);
    bool works = nvme_start(&nvme);
    result("decoded %u, works again: %u", (unsigned)on, (unsigned)works);
}

static uint64_t rung;
static void ring(void) /* rings wherever the registers might be */
{
    write32(rung + 0x1010, 1); /* a queue that there is not: whether it is heard does not matter, that it is seen does */
}

static void in_use(void)
{
    uint64_t home = nvme.base;
    bool works = true;
    attempt("bar-in-use");
    rung = home + 0x800000;
    other_does(ring);
    for (unsigned i = 0; i < 8 && works; i++) {
        bar_set(nvme.bdf, 0, i & 1 ? home : rung);
        works = nvme_start(&nvme) && !nvme_rw(&nvme, true, 4096 + 8 * i, 8, nvme.queue[2], 0);
    }
    other_does(NULL);
    result("works: %u", (unsigned)works);
    attempt("decode-off");
    config_write(nvme.bdf, 4, 4);
    uint32_t gone = read32(nvme.base);
    write32(nvme.base + 0x1008, 5);
    works = nvme_start(&nvme);
    result("nothing answers: %u, works again: %u", (unsigned)(gone == 0 || gone == ~0u), (unsigned)works);
}

static void many(void)
{
    uint64_t home = nvme.base;
    unsigned off = 0;
    attempt("bar-many");
    for (uint64_t i = 0; i < 64; i++) {
        bar_set(nvme.bdf, 0, (UINT64_C(0x40) << 32) + (i << 30));
        if (!decodes(nvme.bdf)) off++;
        decode(nvme.bdf);
    }
    bar_set(nvme.bdf, 0, home);
    bool works = nvme_start(&nvme);
    result("%s, works again: %u", off ? "off where it cannot be watched" : "watched everywhere", (unsigned)works);
}

static void stale(void)
{
    /* Registers where RAM is: what the mediator read there would be ours to write. */
    uint64_t home = nvme.base, ram = (uint64_t)(uintptr_t)page_alloc(8);
    attempt("bar-over-ram");
    ram = (ram + 0x3fff) & ~UINT64_C(0x3fff);
    bar_set(nvme.bdf, 0, ram);
    bool on = decodes(nvme.bdf);
    bar_set(nvme.bdf, 0, home);
    decode(nvme.bdf);
    nvme.base = bar_of(nvme.bdf, 0);
    /* without a reset of the controller nothing passes: what it has, and what we know, may be two things */
    uint32_t c[16] = {2, 1, [6] = (uint32_t)ram, [10] = 0};
    memcpy((void *)(nvme.queue[2] + 64 * nvme.tail[1]), c, 64);
    write32(nvme.base + 0x1008, (nvme.tail[1] + 1) % 32);
    pause_us(20000);
    bool works = nvme_start(&nvme);
    result("decoded %u, works again: %u", (unsigned)on, (unsigned)works);
}

void against_registers(void)
{
    one("bar-over-own", own);
    one("bar-over-apic", 0xfee00000);
    one("bar-over-ahci", ahci.base & ~UINT64_C(0x3fff));
    one("bar-over-config", ecam());
    one("bar-at-zero", 0);
    stale();
    in_use();
    many();
}

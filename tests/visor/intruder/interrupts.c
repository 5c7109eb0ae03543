/* Interrupts between processors: NMI, SMI, INIT, SIPI, in every way that the local APIC has; then the other processor is started anew. */
#include "tests/visor/intruder/intruder.h"

#define APIC UINT64_C(0xfee00000)
enum { ICR = 0x300, ICR_HIGH = 0x310, NMI = 0x4400, SMI = 0x4200, INIT = 0x4500, SIPI = 0x4600, LOGICAL = 1 << 11, SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18 };

static void send(uint32_t to, uint32_t what)
{
    write32(APIC + ICR_HIGH, to << 24);
    write32(APIC + ICR, what);
    for (unsigned i = 0; i < 1000 && read32(APIC + ICR) & 0x1000; i++) pause_cpu();
}

static bool other_lives(void)
{
    uint64_t before = other_rounds;
    pause_us(20000);
    for (unsigned i = 0; i < 20000 && other_rounds < before + 2; i++) pause_us(100); /* it may be a slow machine */
    return other_rounds != before;
}

static void flood(void)
{
    for (unsigned i = 0; i < 200; i++) send(0, NMI);
}

static void simple(void)
{
    uint64_t base = 0;
    attempt("nmi-self");
    uint32_t before = nmis;
    send(0, SELF | NMI);
    send(0, NMI);
    for (unsigned i = 0; i < 20000 && nmis == before; i++) pause_us(100);
    result("%s", nmis > before ? "arrived" : "lost");
    attempt("nmi-flood");
    before = nmis;
    other_does(flood);
    for (unsigned i = 0; i < 4; i++) nvme_rw(&nvme, true, 5000 + 8 * i, 8, nvme.queue[2], 0);
    other_does(NULL);
    send(0, OTHERS | NMI);
    bool lives = other_lives();
    result("%s, the other goes on: %u", nmis > before ? "arrived" : "lost", (unsigned)lives);
    attempt("smi");
    for (unsigned i = 0; i < 4; i++) send(1, i << 18 | SMI);
    lives = other_lives();
    result("the other goes on: %u", (unsigned)lives);
    attempt("apic-moved");
    try_read(0x1b, &base);
    unsigned moved = try_write(0x1b, base ^ 0x100000), x2 = try_write(0x1b, base | 1 << 10), off = try_write(0x1b, base & ~UINT64_C(0x800));
    uint64_t after = 0;
    try_read(0x1b, &after);
    uint32_t id = read32(APIC + 0x20);
    write32(APIC + 0x20, 5u << 24);
    result("moved %u, x2APIC %u, off %u, %s, number %s", moved, x2, off, after == base ? "stays" : "changed", read32(APIC + 0x20) == id ? "stays" : "changed");
    attempt("apic-aliases"); /* beside the register, and where devices' messages go: INIT for the other one */
    write32(APIC + ICR_HIGH, 1u << 24);
    write32(APIC + ICR + 4, INIT);
    write32(APIC + ICR + 8, INIT);
    *(volatile uint64_t *)(APIC + ICR - 4) = (uint64_t)INIT << 32;
    write32(APIC, INIT);
    write32(APIC + 0x1000, INIT);
    write32(APIC + 0x1004, INIT);
    write32(APIC + 0xff000, INIT);
    lives = other_lives();
    result("the other goes on: %u", (unsigned)lives);
    attempt("sipi-alone");
    send(1, SIPI | 0x11);
    send(0, SELF | INIT);
    send(0, SELF | SIPI | 0x12);
    lives = other_lives();
    result("the other goes on: %u", (unsigned)lives);
}

/* lock incw %cs:0x80; cli; hlt: in real mode, where SIPI leaves a processor */
static void inits(void)
{
    static const uint8_t code[] = {0x2e, 0xf0, 0xff, 0x06, 0x80, 0x00, 0xfa, 0xf4, 0xeb, 0xfd};
    static const struct {
        const char *name;
        uint32_t to, how;
    } all[] = {{"init-physical", 1, 0}, {"init-flat", 2, LOGICAL}, {"init-flat-many", 0x12, LOGICAL}, {"init-everybody", 0xff, 0}, {"init-others", 0, OTHERS}, {"init-all", 0, ALL}};
    uint64_t at = low_page();
    volatile uint16_t *count = (volatile uint16_t *)(at + 0x80);
    memcpy((void *)at, code, sizeof code);
    *count = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        attempt(all[i].name);
        uint16_t before = *count;
        send(all[i].to, all[i].how | INIT);
        pause_us(10000);
        send(all[i].to, all[i].how | SIPI | (uint32_t)(at >> 12));
        for (unsigned k = 0; k < 20000 && *count == before; k++) pause_us(100);
        pause_us(5000);
        result("started %u", (unsigned)(uint16_t)(*count - before));
    }
}

static void logical_ids(void) /* on the other processor, as an operating system sets them */
{
    write32(APIC + 0xe0, ~0u);
    write32(APIC + 0xd0, 2u << 24);
}

void against_interrupts(void)
{
    other_does(logical_ids);
    other_does(NULL);
    simple();
    inits();
}

/* Interrupts between processors: NMI, SMI, INIT, SIPI, in every way that the local APIC has; then the other processor is started anew, at last
 * by x2APIC's register, where the processor has x2APIC. */
#include "tests/visor/intruder/intruder.h"

#define APIC UINT64_C(0xfee00000)
enum { ICR = 0x300, ICR_HIGH = 0x310, NMI = 0x4400, SMI = 0x4200, INIT = 0x4500, SIPI = 0x4600, LOGICAL = 1 << 11, SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18 };
enum { X2APIC_ICR = 0x830, APIC_BASE = 0x1b, X2APIC_ON = 1 << 10 };
static bool x2apic; /* this processor's is on */

static bool x2apic_there(void)
{
    return cpuid(1, 0).c >> 21 & 1;
}

static void send(uint32_t to, uint32_t what)
{
    if (x2apic) {
        wrmsr(X2APIC_ICR, (uint64_t)to << 32 | what);
        return;
    }
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
    try_read(APIC_BASE, &base);
    unsigned moved = try_write(APIC_BASE, base ^ 0x100000), off = try_write(APIC_BASE, base & ~UINT64_C(0x800));
    unsigned x2 = x2apic_there() ? GP : try_write(APIC_BASE, base | X2APIC_ON);
    uint64_t after = 0;
    try_read(APIC_BASE, &after);
    uint32_t id = read32(APIC + 0x20);
    write32(APIC + 0x20, 5u << 24);
    result("moved %u, x2APIC %u, off %u, %s, number %s", moved, x2, off, after == base ? "stays" : "changed", read32(APIC + 0x20) == id ? "stays" : "changed");
    attempt("x2apic-closed"); /* its register while x2APIC is off, whatever it says */
    unsigned closed = 0;
    for (unsigned mode = 0; mode < 8; mode++) closed += try_write(X2APIC_ICR, UINT64_C(1) << 32 | mode << 8 | 0x4031) == GP;
    lives = other_lives();
    result("%u of 8 are #GP, the other goes on: %u", closed, (unsigned)lives);
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

struct way {
    const char *name;
    uint32_t to, how;
};

/* lock incw %cs:0x80; cli; hlt: in real mode, where SIPI leaves a processor */
static void inits(const struct way *ways, unsigned n)
{
    static const uint8_t code[] = {0x2e, 0xf0, 0xff, 0x06, 0x80, 0x00, 0xfa, 0xf4, 0xeb, 0xfd};
    static volatile uint16_t *count;
    static uint64_t at;
    if (!at) {
        at = low_page();
        memcpy((void *)at, code, sizeof code);
        count = (volatile uint16_t *)(at + 0x80);
        *count = 0;
    }
    for (const struct way *w = ways; w < ways + n; w++) {
        attempt(w->name);
        uint16_t before = *count;
        send(w->to, w->how | INIT);
        pause_us(10000);
        send(w->to, w->how | SIPI | (uint32_t)(at >> 12));
        for (unsigned k = 0; k < 20000 && *count == before; k++) pause_us(100);
        pause_us(5000);
        result("started %u", (unsigned)(uint16_t)(*count - before));
    }
}

static void by_page(void)
{
    static const struct way ways[] = {{"init-physical", 1, 0},      {"init-flat", 2, LOGICAL}, {"init-flat-many", 0x12, LOGICAL},
                                      {"init-everybody", 0xff, 0}, {"init-others", 0, OTHERS}, {"init-all", 0, ALL}};
    inits(ways, ARRAY_LENGTH(ways));
}

static void by_register(void)
{
    static const struct way ways[] = {{"x2-physical", 1, 0},   {"x2-logical", 2, LOGICAL}, {"x2-everybody", ~0u, 0},
                                      {"x2-others", 0, OTHERS}, {"x2-all", 0, ALL}};
    uint64_t base = 0;
    attempt("x2-bits"); /* those that it has not: #GP, and nobody else's; messages that there are not: nothing */
    try_read(APIC_BASE, &base);
    unsigned on = try_write(APIC_BASE, base | X2APIC_ON), refused = 0, taken = 0;
    x2apic = true;
    for (unsigned bit = 12; bit < 32; bit++)
        if (0xfff33000u >> bit & 1) refused += try_write(X2APIC_ICR, SELF | NMI | 1u << bit) == GP;
    for (unsigned mode = 1; mode < 4; mode++) taken += !try_write(X2APIC_ICR, UINT64_C(7) << 32 | 0x4000 | mode << 8);
    taken += !try_write(X2APIC_ICR, SELF | 0x4700);
    result("on %u, %u of 16 are #GP, %u of 4 not", on, refused, taken);
    attempt("x2-nmi");
    uint32_t before = nmis;
    send(0, SELF | NMI);
    for (unsigned i = 0; i < 20000 && nmis == before; i++) pause_us(100);
    result("%s", nmis > before ? "arrived" : "lost");
    inits(ways, ARRAY_LENGTH(ways));
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
    by_page();
    if (x2apic_there()) by_register();
}

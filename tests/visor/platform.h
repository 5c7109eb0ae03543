/* The PC around visor/core/pci.c, ports.c and power.c, for hosted tests: ports, configuration space of a few functions, mapped too. The three sources are
 * compiled into the test itself, with these instructions in place of the processor's. Include once. */
#ifndef CHV_TESTS_VISOR_PLATFORM_H
#define CHV_TESTS_VISOR_PLATFORM_H

#define VISOR_ARCH_X86_CPU_H
#include "tests/visor/fake.h"
#include "visor/core/mmio.h"
#include "visor/core/vcpu.h"

#define ECAM UINT64_C(0xb0000000)
enum { HOST = 0, DISK = 5 << 3, OTHER = 7 << 3, BRIDGE = 6 << 3, LPC = 0x1f << 3, CARD = 1 << 8, BUSES_HERE = 2, PM = 0x600 };

static uint8_t space[BUSES_HERE << 8][4096]; /* by function */
static uint32_t address;                     /* CF8h */
static uint8_t ports[65536];                 /* what was written last */
static unsigned finished, stops;

static bool there(unsigned bdf)
{
    return bdf < BUSES_HERE << 8 && (space[bdf][0] | space[bdf][1]);
}

static unsigned bar_bits(unsigned bdf) /* of every BAR */
{
    return bdf == CARD ? 17 : bdf == OTHER ? 16 : 14;
}

static uint32_t config_in(unsigned bdf, unsigned reg, unsigned size)
{
    uint32_t value = 0;
    if (!there(bdf)) return UINT32_MAX;
    memcpy(&value, space[bdf] + reg, size);
    return value;
}

static void config_out(unsigned bdf, unsigned reg, unsigned size, uint32_t value)
{
    if (!there(bdf)) return;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = reg + i;
        bool bridge = space[bdf][14] & 1;
        if (at < 4 || (at >= 8 && at < 16)) continue; /* what it is */
        uint8_t byte = (uint8_t)(value >> 8 * i);
        unsigned bar = (at - 0x10) / 4;
        if (at >= 0x10 && at < (bridge ? 0x18u : 0x28u)) { /* 32 bits, memory; only the first two are there */
            uint32_t mask = bar < (bdf == OTHER ? 2u : 1u) ? ~((1u << bar_bits(bdf)) - 1) : 0;
            byte &= (uint8_t)(mask >> 8 * (at & 3));
        }
        space[bdf][at] = byte;
    }
}

static uint32_t in_port(uint16_t port, unsigned size)
{
    if (port >= 0xcfc && port < 0xd00) return config_in(address >> 8 & 0xffff, (address & 0xfc) + (port & 3u), size);
    uint32_t value = 0;
    memcpy(&value, ports + port, port + size > 65536 ? 1 : size);
    return value;
}

static void out_port(uint16_t port, unsigned size, uint32_t value)
{
    if (port == 0xcf8 && size == 4) {
        address = value;
        return;
    }
    if (port >= 0xcfc && port + size <= 0xd00) {
        config_out(address >> 8 & 0xffff, (address & 0xfc) + (port & 3u), size, value);
        return;
    }
    CHECK(!(port < 0xd00 && port + size > 0xcfc)); /* a data port in part: with whose address? */
    for (unsigned i = 0; i < size && port + i < 65536; i++) ports[port + i] = (uint8_t)(value >> 8 * i);
}

static inline void out8(uint16_t port, uint8_t value)
{
    out_port(port, 1, value);
}

static inline void out32(uint16_t port, uint32_t value)
{
    out_port(port, 4, value);
}

static inline uint32_t in32(uint16_t port)
{
    return in_port(port, 4);
}

uint64_t mmio_real_read(uint64_t gpa, unsigned width)
{
    if (gpa - ECAM < sizeof space) return config_in((unsigned)((gpa - ECAM) >> 12), gpa & 0xfff, width < 4 ? width : 4);
    return 0;
}

void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value)
{
    if (gpa - ECAM < sizeof space) config_out((unsigned)((gpa - ECAM) >> 12), gpa & 0xfff, width < 4 ? width : 4, (uint32_t)value);
}

/* nested paging takes whatever it is given */
bool machine_protect(uint64_t gpa, bool reads, bool writes);
bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    return true;
}

void machine_flush(void);
void machine_flush(void)
{
}

void vcpu_watch_ports(uint16_t first, unsigned count)
{
}

void evidence_finish(void);
void evidence_finish(void)
{
    finished++;
}

bool evidence_poll(void);

void smp_stop(void);
void smp_stop(void)
{
    stops++;
}

void smp_go(void);
void smp_go(void)
{
    stops--;
}

#include "visor/core/pci.c"
#include "visor/platform/ports.c"
#include "visor/platform/power.c"

/* IN or OUT; returns what EAX is then, whose upper part the processor leaves alone. */
static uint32_t guest_port(uint16_t port, unsigned size, bool in, uint32_t value)
{
    struct vcpu v = {.regs[VCPU_RAX] = value};
    exit_port(&v, port, size, in);
    return (uint32_t)v.regs[VCPU_RAX];
}

static void put32(unsigned bdf, unsigned reg, uint32_t value)
{
    memcpy(space[bdf] + reg, &value, 4);
}

static uint8_t tables[3][256]; /* RSDP, XSDT, MCFG; then FADT and DSDT */
static uint8_t fadt[256], dsdt[128];

static void put64(uint8_t *at, const void *p)
{
    uint64_t value = (uint64_t)(uintptr_t)p;
    memcpy(at, &value, 8);
}

static void table(uint8_t *at, const char *name, uint32_t bytes)
{
    memcpy(at, name, 4);
    memcpy(at + 4, &bytes, 4);
}

static void platform_functions(void)
{
    put32(HOST, 0, 0x29c08086), put32(HOST, 8, 0x06000000), put32(HOST, 0x60, (uint32_t)ECAM | 1);
    put32(LPC, 0, 0x29188086), put32(LPC, 8, 0x06010000), put32(LPC, 0x40, PM | 1);
    put32(DISK, 0, 0x00101b36), put32(DISK, 8, 0x01080200), put32(DISK, 4, 6), put32(DISK, 0x10, 0xc0100000);
    put32(OTHER, 0, 0x10011af4), put32(OTHER, 8, 0x03000000), put32(OTHER, 4, 6), put32(OTHER, 0x10, 0xc0800000);
    put32(BRIDGE, 0, 0x000c1b36), put32(BRIDGE, 8, 0x06040000), put32(BRIDGE, 12, 1 << 16), put32(BRIDGE, 0x18, 0x00010100), put32(BRIDGE, 4, 6);
    put32(CARD, 0, 0x10d38086), put32(CARD, 8, 0x02000000), put32(CARD, 4, 6), put32(CARD, 0x10, 0xc0200000);
}

/* A host bridge, a bridge with the card behind it, a disk, another function, the LPC bridge; and ACPI's tables of it. */
static void platform_begin(void)
{
    static const uint8_t sleep[] = {8,   '_', 'S', '3', '_', 0x12, 6, 4, 0x0a, 1, 0x0a, 1, 0,   0,   8,   '_', 'S',
                                    '4', '_', 0x12, 6, 4, 0x0a, 2, 0x0a, 2, 0, 0, 8, '_', 'S', '5', '_', 0x12, 6, 4, 0, 0, 0, 0};
    static const struct config config = {.hide = {CARD}, .hidden = 1};
    uint64_t ecam = ECAM;
    platform_functions();
    memcpy(tables[0], "RSD PTR ", 8);
    put64(tables[0] + 24, tables[1]);
    table(tables[1], "XSDT", 36 + 16);
    put64(tables[1] + 36, tables[2]);
    put64(tables[1] + 44, fadt);
    table(tables[2], "MCFG", 60);
    memcpy(tables[2] + 44, &ecam, 8);
    tables[2][55] = 255;
    table(fadt, "FACP", 244);
    fadt[64] = PM & 0xff, fadt[65] = PM >> 8;
    put64(fadt + 140, dsdt);
    table(dsdt, "DSDT", 36 + 2 + sizeof sleep + 2);
    memcpy(dsdt + 38, sleep, sizeof sleep);
    CHECK(!pci_init((uintptr_t)tables[0], &config));
    power_init((uintptr_t)tables[0]);
}

#endif

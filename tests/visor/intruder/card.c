/* The hypervisor's network card: configuration space both ways, what it decodes, the bridge above it; where the map of it all is. */
#include "tests/visor/intruder/intruder.h"

enum { CARD = 1 << 8, ABOVE = 6 << 3, OTHER_BRIDGE = 8 << 3, HOST = 0, LPC = 0x1f << 3, SCRATCH_DISK = 9 << 3 };
static uint64_t found[64];
static unsigned found_count;

static void look(void)
{
    unsigned seen = 0;
    attempt("card-ports");
    for (unsigned reg = 0; reg < 256; reg += 4) {
        config_write(CARD, reg, 0x12345678);
        out32(0xcf8, 1u << 31 | CARD << 8 | reg);
        for (unsigned i = 0; i < 4; i++) seen += in8((uint16_t)(0xcfc + i)) != 0xff;
        seen += in16(0xcfc) != 0xffff || in16(0xcfd) != 0xffff || in16(0xcfe) != 0xffff || in32(0xcfc) != ~0u;
        seen += config_read(ABOVE, reg) != ~0u;
    }
    for (unsigned p = 0xcf5; p < 0xd00; p++) { /* accesses that reach into the data port, or are not whole */
        if (p == 0xcf8 || p == 0xcfc) continue;
        uint32_t v = in32((uint16_t)p);
        for (unsigned i = 0; i < 4; i++) seen += p + i >= 0xcf8 && p + i < 0xd00 && p + i != 0xcf9 && (v >> 8 * i & 0xff) != 0xff;
    }
    result("%u answers", seen);
    attempt("card-mapped");
    seen = 0;
    for (unsigned at = 0; at < PAGE; at += 4) {
        write32(ecam() + (CARD << 12) + at, ~0u);
        seen += read32(ecam() + (CARD << 12) + at) != ~0u || read32(ecam() + ((uint64_t)ABOVE << 12) + at) != ~0u;
    }
    result("%u answers", seen);
    attempt("card-scan");
    seen = 0;
    for (unsigned bdf = 0; bdf < 0x10000; bdf += bdf < 0x300 ? 1 : 0x40) seen += config_read(bdf, 0) != ~0u && config_read(bdf, 8) >> 24 == 2;
    result("%u network cards", seen);
}

/* Where memory that nobody decodes reads as zeros and something hidden as ones, the difference is seen: these pages are used below. */
static void scan(void)
{
    unsigned others = 0;
    uint64_t disk = bar_of(nvme.bdf, 0), base = ecam();
    attempt("card-memory");
    for (uint64_t at = 0x80000000; at < 0xfec00000; at += PAGE) {
        if (at >= base && at < base + (256 << 20)) continue;
        uint32_t v = read32(at + 8);
        if (v == ~0u && found_count < ARRAY_LENGTH(found)) found[found_count++] = at;
        if (!v || v == ~0u || (at >= disk && at < disk + 0x4000) || at == ahci.base) continue;
        bool known = false;
        for (unsigned bdf = 0; bdf < 256; bdf++)
            for (unsigned bar = 0; bar < 6 && config_read(bdf, 0) != ~0u; bar++)
                known |= bar_of(bdf, bar) && at >= bar_of(bdf, bar) && at - bar_of(bdf, bar) < 0x100000;
        others += !known;
    }
    unsigned changed = 0;
    for (unsigned i = 0; i < found_count; i++)
        for (unsigned reg = 0; reg < PAGE; reg += 4) {
            write32(found[i] + reg, reg == 0 ? 1u << 26 /* e1000's CTRL: reset */ : 0);
            changed += read32(found[i] + reg) != ~0u;
        }
    result("%u pages that nobody has, hidden ones %s, %u registers", others, found_count ? "read ones" : "not found", changed);
}

static void maps(void)
{
    uint64_t value = 0;
    attempt("config-moved"); /* the window of configuration space, by both mechanisms and by AMD's MSR */
    config_write(HOST, 0x60, 0xd0000001);
    write32(ecam() + 0x60, 0xd0000001);
    unsigned got = try_write(0xc0010058, 0xd0000021);
    result("register %s, MSR exception %u, there %x", config_read(HOST, 0x60) == (uint32_t)(ecam() | 1) ? "stays" : "moved", got,
           read32(0xd0000000 + (CARD << 12)));
    attempt("buses-renumbered");
    uint32_t before = config_read(OTHER_BRIDGE, 0x18);
    config_write(ABOVE, 0x18, 0x00202000);
    config_write(OTHER_BRIDGE, 0x18, 0x00010100);
    write32(ecam() + ((uint64_t)OTHER_BRIDGE << 12) + 0x18, 0x00303000);
    result("%s, card %x", config_read(OTHER_BRIDGE, 0x18) == before ? "stays" : "renumbered", config_read(0x20 << 8, 0));
    attempt("window-over-card");
    uint32_t window = config_read(OTHER_BRIDGE, 0x20);
    uint32_t page = found_count ? (uint32_t)found[0] : 0x80000000;
    decode(OTHER_BRIDGE);
    config_write(OTHER_BRIDGE, 0x20, (page >> 16 & 0xfff0) | (page & 0xfff00000));
    bool on = decodes(OTHER_BRIDGE);
    config_write(OTHER_BRIDGE, 0x20, window);
    result("the bridge decodes: %u", (unsigned)on);
    attempt("smram");
    config_write(HOST, 0x9c, config_read(HOST, 0x9c) | 0x4000); /* D_OPEN, bit 6 of 9Dh */
    result("open %u", config_read(HOST, 0x9c) >> 14 & 1);
    attempt("extended");
    value = ecam() + ((uint64_t)nvme.bdf << 12) + 0x100;
    before = read32(value + 8);
    write32(value + 8, ~before);
    result("%s", read32(value + 8) == before ? "stays" : "changed");
}

/* A disk's registers right below the card's, and away again; another function's, and the disks' own, over the card's. */
static void beside(void)
{
    uint64_t home = ahci.base, card = found_count ? found[0] : 0;
    attempt("bar-beside");
    bar_set(ahci.bdf, 5, card - PAGE);
    bar_set(ahci.bdf, 5, home);
    decode(ahci.bdf);
    bool hidden = true;
    for (unsigned i = 0; i < found_count; i++) hidden &= read32(found[i] + 8) == ~0u;
    bool works = ahci_start(&ahci);
    result("the card is hidden: %u, the disk works: %u", (unsigned)hidden, (unsigned)works);
    attempt("bar-over-card");
    bar_set(ahci.bdf, 5, card);
    bool first = decodes(ahci.bdf);
    decode(ahci.bdf);
    bool second = decodes(ahci.bdf);
    bar_set(ahci.bdf, 5, home);
    bool scratch = false;
    for (unsigned bar = 0; bar < 6; bar++) { /* a device of nobody's interest */
        uint64_t was = bar_of(SCRATCH_DISK, bar);
        if (config_read(SCRATCH_DISK, 0x10 + 4 * bar) & 1 || !was) continue;
        decode(SCRATCH_DISK);
        bar_set(SCRATCH_DISK, bar, card & ~UINT64_C(0x3fff));
        scratch |= decodes(SCRATCH_DISK);
        bool wide = (config_read(SCRATCH_DISK, 0x10 + 4 * bar) & 7) == 4;
        if (wide) bar_set(SCRATCH_DISK, bar, nvme.base & ~UINT64_C(0x3fff));
        decode(SCRATCH_DISK);
        scratch |= wide && decodes(SCRATCH_DISK);
        bar_set(SCRATCH_DISK, bar, was);
        bar += wide;
    }
    works = ahci_start(&ahci);
    result("decoded %u %u, another's %u, the disk works: %u", (unsigned)first, (unsigned)second, (unsigned)scratch, (unsigned)works);
}

void against_card(void)
{
    look();
    scan();
    maps();
    beside();
}

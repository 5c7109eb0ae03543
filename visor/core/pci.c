/* Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2), shared with the guest: its address register is kept apart from ours,
 * and a function that is the hypervisor's answers as an empty slot does. */
#include "visor/core/pci.h"
#include "visor/arch/x86/cpu.h"
#include "visor/platform/acpi.h"
#include "visor/core/machine.h"
#include "visor/core/mmio.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"
#include "visor/core/vcpu.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, HIDDEN_MAX = 16, WATCHED_MAX = 16, BUSES = 256 };
enum { MEMORY_DECODED = 1 << 1, BUS_NUMBERS = 0x18, HOST_BRIDGE = 0x0600 };
#define ADDRESS_ENABLE (1u << 31)

static pci_bdf hidden[HIDDEN_MAX];
static unsigned hidden_count;
static struct watched {
    pci_bdf bdf;
    void (*written)(void *arg);
    void *arg;
} watched[WATCHED_MAX];
static unsigned watched_count;
static uint32_t guest_address;
static uint64_t ecam_base; /* of the first bus that is mapped; 0: none */
static unsigned ecam_first;

static uint32_t address_of(pci_bdf bdf, unsigned reg)
{
    return ADDRESS_ENABLE | (uint32_t)bdf << 8 | (reg & 0xfc);
}

uint32_t pci_read(pci_bdf bdf, unsigned reg)
{
    out32(ADDRESS, address_of(bdf, reg));
    return in32(DATA);
}

void pci_write(pci_bdf bdf, unsigned reg, uint32_t value)
{
    out32(ADDRESS, address_of(bdf, reg));
    out32(DATA, value);
}

bool pci_find(uint32_t class_code, uint32_t mask, unsigned index, pci_bdf *bdf)
{
    for (unsigned slot = 0; slot < BUSES * 32; slot++) {
        for (unsigned function = 0; function < 8; function++) {
            pci_bdf at = (pci_bdf)(slot << 3 | function);
            if (pci_read(at, 0) == UINT32_MAX) {
                if (!function) break;
                continue;
            }
            if ((pci_read(at, 8) >> 8 & mask) == class_code && !index--) {
                *bdf = at;
                return true;
            }
            if (!function && !(pci_read(at, 12) >> 23 & 1)) break; /* one function */
        }
    }
    return false;
}

static bool is_bridge(pci_bdf bdf)
{
    return pci_read(bdf, 0) != UINT32_MAX && (pci_read(bdf, 12) >> 16 & 0x7f) == 1;
}

uint64_t pci_bar(pci_bdf bdf, unsigned bar, uint64_t *bytes)
{
    unsigned reg = 0x10 + 4 * bar;
    uint32_t low = pci_read(bdf, reg), command = pci_read(bdf, 4);
    bool wide = (low >> 1 & 3) == 2 && bar < 5;
    uint32_t high = wide ? pci_read(bdf, reg + 4) : 0;
    if (bar > (is_bridge(bdf) ? 1 : 5) || low & 1) return 0;
    pci_write(bdf, 4, command & 0xfffd); /* no memory decoding meanwhile; status bits are left alone */
    pci_write(bdf, reg, UINT32_MAX);
    uint64_t mask = pci_read(bdf, reg) & ~15u;
    pci_write(bdf, reg, low);
    if (wide) {
        pci_write(bdf, reg + 4, UINT32_MAX);
        mask |= (uint64_t)pci_read(bdf, reg + 4) << 32;
        pci_write(bdf, reg + 4, high);
    } else if (mask) {
        mask |= UINT64_C(0xffffffff) << 32;
    }
    pci_write(bdf, 4, command & 0xffff);
    *bytes = mask ? ~mask + 1 : 0;
    return mask ? (uint64_t)high << 32 | (low & ~15u) : 0;
}

bool pci_is_hidden(pci_bdf bdf)
{
    for (unsigned i = 0; i < hidden_count; i++)
        if (hidden[i] == bdf) return true;
    return false;
}

bool pci_hide(pci_bdf bdf)
{
    if (hidden_count == HIDDEN_MAX) return false;
    hidden[hidden_count++] = bdf;
    for (unsigned bar = 0; bar < 6; bar++) {
        uint64_t bytes, base = pci_bar(bdf, bar, &bytes);
        if (base && !mmio_hide(align_down(base, PAGE_BYTES), bytes < PAGE_BYTES ? PAGE_BYTES : bytes)) return false;
        if (base && (pci_read(bdf, 0x10 + 4 * bar) >> 1 & 3) == 2) bar++;
    }
    for (unsigned at = 0; at < (bdf & 0xff00u); at++) { /* bridges above it, too: they could be closed, or renumbered */
        uint32_t buses = pci_read((pci_bdf)at, BUS_NUMBERS);
        if (is_bridge((pci_bdf)at) && !pci_is_hidden((pci_bdf)at) && (buses >> 8 & 0xff) <= bdf >> 8 &&
            (buses >> 16 & 0xff) >= bdf >> 8 && !pci_hide((pci_bdf)at))
            return false;
    }
    return true;
}

bool pci_watch(pci_bdf bdf, void (*written)(void *arg), void *arg)
{
    if (watched_count == WATCHED_MAX) return false;
    watched[watched_count++] = (struct watched){bdf, written, arg};
    return true;
}

/* --- the guest's side */

static const struct watched *watched_at(pci_bdf bdf)
{
    for (unsigned i = 0; i < watched_count; i++)
        if (watched[i].bdf == bdf) return &watched[i];
    return NULL;
}

/* Registers that stay as the firmware left them: where configuration space is mapped, SMM's memory, where ACPI's ports are (the Q35's host bridge,
 * and ICH9); the numbers of buses, by which functions are known here; a disk's extended capabilities (SR-IOV makes more of them). */
static bool is_pinned(pci_bdf bdf, unsigned reg, unsigned size)
{
    static const struct {
        uint32_t id;
        uint8_t first, last;
    } pins[] = {{0x29c08086, 0x60, 0x67}, {0x29c08086, 0x9c, 0xa3}, {0x29188086, 0x40, 0x44}, {0x29188086, 0xf0, 0xf3}};
    uint32_t id = pci_read(bdf, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(pins); i++)
        if (id == pins[i].id && reg <= pins[i].last && reg + size > pins[i].first) return true;
    if (reg >= 0x100 && watched_at(bdf)) return true;
    return is_bridge(bdf) && reg < BUS_NUMBERS + 3 && reg + size > BUS_NUMBERS;
}

/* Does the function answer, by a BAR or by a bridge's window, where the hypervisor watches or hides another one's registers? */
static bool collides(pci_bdf bdf)
{
    bool bridge = is_bridge(bdf), disk = watched_at(bdf);
    unsigned registers = pci_read(bdf, 8) >> 8 == PCI_CLASS_AHCI ? 5 : 0;
    for (unsigned bar = 0; bar < 6; bar++) {
        uint64_t bytes, base = pci_bar(bdf, bar, &bytes);
        bool wide = base && (pci_read(bdf, 0x10 + 4 * bar) >> 1 & 3) == 2;
        if (base && !(disk && bar == registers) && mmio_meets(base, bytes, false)) return true;
        bar += wide;
    }
    for (unsigned reg = 0x20; bridge && reg <= 0x24; reg += 4) { /* PCI-to-PCI Bridge 1.2, 3.2.5.8 to 3.2.5.10 */
        uint32_t v = pci_read(bdf, reg), wide = reg == 0x24 && (v & 15) == 1;
        uint64_t base = (uint64_t)(wide ? pci_read(bdf, 0x28) : 0) << 32 | (v & 0xfff0) << 16;
        uint64_t end = ((uint64_t)(wide ? pci_read(bdf, 0x2c) : 0) << 32 | (v & 0xfff00000)) + 0x100000;
        if (base < end && mmio_meets(base, end - base, true)) return true;
    }
    return false;
}

/* After a write of the guest's, with its other processors standing still. Two cannot have one address: who comes later loses it. */
static void written(pci_bdf bdf, unsigned reg)
{
    const struct watched *w = watched_at(bdf);
    uint32_t command = pci_read(bdf, 4) & 0xffff;
    if (reg < 0x34 && command & MEMORY_DECODED && pci_read(bdf, 8) >> 16 != HOST_BRIDGE && collides(bdf)) {
        pci_write(bdf, 4, command & ~(uint32_t)MEMORY_DECODED);
        print("%02x:%02x.%u: the guest puts it where others are: it is off", bdf >> 8, bdf >> 3 & 31, bdf & 7);
    }
    if (w) w->written(w->arg);
}

static bool mapped_read(void *arg, uint64_t offset, unsigned width, uint64_t *value)
{
    bool blind = pci_is_hidden((pci_bdf)((offset >> 12) + (ecam_first << 8)));
    *value = blind ? UINT64_MAX : mmio_real_read(ecam_base + offset, width);
    return true;
}

static bool mapped_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    pci_bdf bdf = (pci_bdf)((offset >> 12) + (ecam_first << 8));
    if (pci_is_hidden(bdf) || is_pinned(bdf, offset & 0xfff, width)) return true;
    smp_stop();
    mmio_real_write(ecam_base + offset, width, value);
    written(bdf, offset & 0xfff);
    smp_go();
    return true;
}

static const struct mmio_ops mapped = {mapped_read, mapped_write};

/* The data port, by the address that the guest set. */
static uint32_t data_port(uint16_t port, unsigned size, bool in, uint32_t value)
{
    pci_bdf bdf = (pci_bdf)(guest_address >> 8);
    unsigned reg = (guest_address & 0xfc) + (port & 3u);
    if (!(guest_address & ADDRESS_ENABLE) || pci_is_hidden(bdf) || (!in && is_pinned(bdf, reg, size))) return UINT32_MAX;
    if (!in) smp_stop();
    out32(ADDRESS, guest_address);
    if (in) return in_port(port, size);
    out_port(port, size, value);
    written(bdf, reg);
    smp_go();
    return 0;
}

unsigned pci_port_width(uint16_t port, unsigned size)
{
    bool whole = (port == ADDRESS && size == 4) || (port >= DATA && port + size <= DATA + 4u);
    return whole || !ranges_meet(port, size, ADDRESS, 8) ? size : 1;
}

bool pci_port(uint16_t port, unsigned size, bool in, uint32_t *value)
{
    if (port < ADDRESS || port + size > DATA + 4u || (size == 1 && port == ADDRESS + 1)) return false;
    if (port >= DATA)
        *value = data_port(port, size, in, *value);
    else if (port != ADDRESS || size != 4) /* the address counts as a whole only, and ours is kept to us */
        return size == 1 && (*value = UINT32_MAX);
    else if (in)
        *value = guest_address;
    else
        guest_address = *value;
    return true;
}

/* The last bus that there is, or that a bridge is for. */
static unsigned buses(void)
{
    unsigned last = 0;
    for (unsigned at = 0; at < BUSES * 256; at++) {
        if (at & 7 && pci_read((pci_bdf)(at & ~7u), 0) == UINT32_MAX) continue;
        if (pci_read((pci_bdf)at, 0) != UINT32_MAX && at >> 8 > last) last = at >> 8;
        unsigned below = is_bridge((pci_bdf)at) ? pci_read((pci_bdf)at, BUS_NUMBERS) >> 16 & 0xff : 0;
        if (below > last) last = below;
    }
    return last;
}

const char *pci_init(uint64_t rsdp, const struct config *config)
{
    const uint8_t *mcfg = acpi_table(rsdp, "MCFG");
    vcpu_watch_ports(ADDRESS, 8);
    if (mcfg) { /* PCI Firmware Specification 3.3, 4.1.2; the first segment group; there are no others on the machines
                   that are known */
        memcpy(&ecam_base, mcfg + 44, 8);
        ecam_first = mcfg[54];
        ecam_base += (uint64_t)ecam_first << 20;
        unsigned last = buses() < mcfg[55] ? buses() : mcfg[55];
        if (last >= ecam_first &&
            !mmio_register(ecam_base, (uint64_t)(last - ecam_first + 1) << 20, &mapped, NULL))
            panic("configuration space cannot be watched");
    }
    for (unsigned i = 0; i < config->hidden; i++) {
        pci_bdf bdf = (pci_bdf)config->hide[i];
        if (!pci_hide(bdf)) return "not every function can be hidden that is to be (hide)";
        print("%02x:%02x.%u is hidden", bdf >> 8, bdf >> 3 & 31, bdf & 7u);
    }
    return NULL;
}

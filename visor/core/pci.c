/* Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2), shared with the guest: its address register is kept apart from ours,
 * and a function that is the hypervisor's answers as an empty slot does. */
#include "visor/core/pci.h"
#include "visor/arch/x86/cpu.h"
#include "visor/core/acpi.h"
#include "visor/core/machine.h"
#include "visor/core/mmio.h"
#include "visor/core/print.h"
#include "visor/core/vcpu.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, HIDDEN_MAX = 16, WATCHED_MAX = 16, BUSES = 256 };
#define ADDRESS_ENABLE (1u << 31)

static pci_bdf hidden[HIDDEN_MAX];
static unsigned hidden_count;
static struct watched {
    pci_bdf bdf;
    void (*written)(void *arg);
    void *arg;
    uint64_t page; /* in the mapped configuration space; 0: none */
} watched[WATCHED_MAX];
static unsigned watched_count;
static uint32_t guest_address;
static uint64_t ecam_base; /* of bus 0; 0: none */
static unsigned ecam_first, ecam_last;

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

bool pci_parse(const char *text, pci_bdf *bdf)
{
    unsigned digits[5] = {0};
    static const char form[] = "hh:hh.h";
    if (strlen(text) != sizeof form - 1) return false;
    for (unsigned i = 0, n = 0; form[i]; i++) {
        char c = text[i];
        if (form[i] != 'h') {
            if (c != form[i]) return false;
            continue;
        }
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15) return false;
        digits[n++] = digit;
    }
    unsigned bus = digits[0] << 4 | digits[1], device = digits[2] << 4 | digits[3];
    *bdf = (pci_bdf)(bus << 8 | device << 3 | digits[4]);
    return device < 32 && digits[4] < 8;
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

uint64_t pci_bar(pci_bdf bdf, unsigned bar, uint64_t *bytes)
{
    unsigned reg = 0x10 + 4 * bar;
    uint32_t low = pci_read(bdf, reg), command = pci_read(bdf, 4);
    bool wide = (low >> 1 & 3) == 2 && bar < 5;
    uint32_t high = wide ? pci_read(bdf, reg + 4) : 0;
    if (bar > 5 || low & 1) return 0;
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

static uint64_t mapped_page(pci_bdf bdf)
{
    return ecam_base && bdf >> 8 >= ecam_first && bdf >> 8 <= ecam_last ? ecam_base + ((uint64_t)bdf << 12) : 0;
}

bool pci_hide(pci_bdf bdf)
{
    if (hidden_count == HIDDEN_MAX) return false;
    hidden[hidden_count++] = bdf;
    uint64_t page = mapped_page(bdf);
    if (page && !mmio_hide(page, PAGE_BYTES)) return false;
    for (unsigned bar = 0; bar < 6; bar++) {
        uint64_t bytes, base = pci_bar(bdf, bar, &bytes);
        if (base && !mmio_hide(align_down(base, PAGE_BYTES), bytes < PAGE_BYTES ? PAGE_BYTES : bytes)) return false;
        if (base && (pci_read(bdf, 0x10 + 4 * bar) >> 1 & 3) == 2) bar++;
    }
    return true;
}

static bool mapped_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    const struct watched *w = arg;
    mmio_real_write(w->page + offset, width, value);
    w->written(w->arg);
    return true;
}

static const struct mmio_ops mapped = {.write = mapped_write};

bool pci_watch(pci_bdf bdf, void (*written)(void *arg), void *arg)
{
    if (watched_count == WATCHED_MAX) return false;
    struct watched *w = &watched[watched_count++];
    *w = (struct watched){bdf, written, arg, mapped_page(bdf)};
    return !w->page || mmio_register(w->page, PAGE_BYTES, &mapped, w);
}

/* --- the guest's side */

static uint32_t data_in(uint16_t port, unsigned size)
{
    return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

static void data_out(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        out8(port, (uint8_t)value);
    else if (size == 2)
        out16(port, (uint16_t)value);
    else
        out32(port, value);
}

static void tell(uint32_t address)
{
    for (unsigned i = 0; i < watched_count; i++)
        if (address & ADDRESS_ENABLE && watched[i].bdf == (pci_bdf)(address >> 8)) watched[i].written(watched[i].arg);
}

static bool guest_is_blind(void)
{
    return guest_address & ADDRESS_ENABLE && pci_is_hidden((pci_bdf)(guest_address >> 8));
}

void pci_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in)
{
    uint64_t *rax = &vcpu->regs[VCPU_RAX];
    bool is_data = port < DATA + 4 && port + size > DATA; /* in part, too */
    uint32_t value = (uint32_t)*rax;
    if (!is_data && port == ADDRESS && size == 4) { /* CF8h counts as a whole only; CF9h is the reset register */
        if (!in) guest_address = value;
        value = guest_address;
    } else if (is_data && guest_is_blind()) {
        value = UINT32_MAX;
    } else {
        if (is_data) out32(ADDRESS, guest_address);
        if (in)
            value = data_in(port, size);
        else
            data_out(port, size, value);
        if (is_data && !in) tell(guest_address);
    }
    if (!in) return;
    *rax = size == 4   ? value
           : size == 2 ? (*rax & ~UINT64_C(0xffff)) | (value & 0xffff)
                       : (*rax & ~UINT64_C(0xff)) | (value & 0xff);
}

static void hide_configured(const struct config *config)
{
    char text[16];
    pci_bdf bdf;
    for (unsigned i = 0; config_get(config, "hide", i, text, sizeof text); i++) {
        bool done = pci_parse(text, &bdf) && pci_hide(bdf);
        print(done ? "%s is hidden" : "%s cannot be hidden", text);
    }
}

void pci_init(uint64_t rsdp, const struct config *config)
{
    const uint8_t *mcfg = acpi_table(rsdp, "MCFG");
    vcpu_watch_ports(ADDRESS, 1);
    vcpu_watch_ports(DATA, 4);
    if (mcfg) { /* PCI Firmware Specification 3.3, 4.1.2; the first segment group; there are no others on the machines
                   that are known */
        memcpy(&ecam_base, mcfg + 44, 8);
        ecam_first = mcfg[54];
        ecam_last = mcfg[55];
    }
    hide_configured(config);
}

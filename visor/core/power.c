/* ACPI 6.4, 4.8.3.2 (PM1 control: SLP_EN is bit 13); the reset control register of Intel's chipsets (CF9h), and the
 * keyboard controller's pulse on the reset line (FEh to 64h). */
#include "visor/core/power.h"
#include "visor/arch/x86/cpu.h"
#include "visor/core/acpi.h"
#include "visor/core/evidence.h"
#include "visor/core/print.h"

enum { SLEEP_ENABLE = 1 << 13, RESET = 0xcf9, RESET_NOW = 1 << 2, KEYBOARD = 0x64, KEYBOARD_RESET = 0xfe };

static uint16_t sleep_control[2]; /* 0: none */

static void port_out(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        out8(port, (uint8_t)value);
    else if (size == 2)
        out16(port, (uint16_t)value);
    else
        out32(port, value);
}

static uint32_t port_in(uint16_t port, unsigned size)
{
    return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

void power_init(uint64_t rsdp)
{
    const uint8_t *fadt = acpi_table(rsdp, "FACP");
    vcpu_watch_ports(RESET, 1);
    vcpu_watch_ports(KEYBOARD, 1);
    for (unsigned i = 0; fadt && i < 2; i++) { /* PM1a_CNT_BLK, PM1b_CNT_BLK */
        memcpy(&sleep_control[i], fadt + 64 + 4 * i, 2);
        if (sleep_control[i]) vcpu_watch_ports(sleep_control[i], 2);
    }
}

bool power_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in)
{
    bool sleeps = (sleep_control[0] && port == sleep_control[0]) || (sleep_control[1] && port == sleep_control[1]);
    uint64_t *rax = &vcpu->regs[VCPU_RAX];
    uint32_t value = (uint32_t)*rax;
    if (!sleeps && port != RESET && port != KEYBOARD && !(sleep_control[0] && port == sleep_control[0] + 1))
        return false;
    if (in) {
        uint64_t mask = size == 4 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
        *rax = (*rax & ~mask) | (port_in(port, size) & mask);
        return true;
    }
    bool off = (sleeps && size >= 2 && value & SLEEP_ENABLE) || (port == RESET && value & RESET_NOW) ||
               (port == KEYBOARD && (value & 0xff) == KEYBOARD_RESET);
    if (off) evidence_finish();
    port_out(port, size, value);
    return true;
}

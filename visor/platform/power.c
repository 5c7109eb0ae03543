/* ACPI 6.4, 4.8.3.2 (PM1 control: SLP_EN is bit 13, SLP_TYP 12:10) and the ways to reset a PC: CF9h of Intel's chipsets, the keyboard
 * controller's pulses (F0h to FEh, even, to 64h) and output port (D1h to 64h, then to 60h), bit 0 of 92h. */
#include "visor/platform/power.h"
#include "visor/arch/x86/cpu.h"
#include "visor/platform/acpi.h"
#include "visor/core/evidence.h"
#include "visor/core/print.h"

enum { SLEEP_ENABLE = 1 << 5 /* of the upper byte */, RESET = 0xcf9, RESET_NOW = 1 << 2, FAST_RESET = 0x92 };
enum { KEYBOARD = 0x64, KEYBOARD_DATA = 0x60, WRITE_OUTPUT_PORT = 0xd1, CMOS = 0x70, CMOS_PORTS = 8, SHUTDOWN_CODE = 0x0f };

static uint16_t sleep_control[2];     /* 0: none */
static int sleep_types[2] = {-1, -1}; /* SLP_TYP of S4 and S5; -1: not known */
static uint8_t cmos_index[2];         /* as the guest has set it */
static bool output_port;              /* the next byte to 60h is for it */

void power_init(uint64_t rsdp)
{
    const uint8_t *fadt = acpi_table(rsdp, "FACP");
    vcpu_watch_ports(RESET, 1);
    vcpu_watch_ports(KEYBOARD, 1);
    vcpu_watch_ports(KEYBOARD_DATA, 1);
    vcpu_watch_ports(FAST_RESET, 1);
    vcpu_watch_ports(CMOS, CMOS_PORTS);
    for (unsigned i = 0; fadt && i < 2; i++) { /* PM1a_CNT_BLK, PM1b_CNT_BLK */
        memcpy(&sleep_control[i], fadt + 64 + 4 * i, 2);
        if (sleep_control[i]) vcpu_watch_ports(sleep_control[i], 2);
    }
    uint8_t *dsdt = acpi_dsdt(fadt);
    if (!dsdt) return;
    for (unsigned i = 0; i < 2; i++) sleep_types[i] = acpi_sleep_type(dsdt, i ? "_S5_" : "_S4_");
    for (unsigned i = 0; i < 3; i++) acpi_rename(dsdt, (const char *[]){"_S1_", "_S2_", "_S3_"}[i]);
    if (sleep_types[1] < 0) print("ACPI's tables do not say how this machine is switched off: it cannot be");
}

/* A byte to the upper half of PM1 control. Only sleep from which the machine wakes by starting anew, and so with us, is had. */
static bool sleeps(uint8_t *byte)
{
    int type = *byte >> 2 & 7;
    if (!(*byte & SLEEP_ENABLE)) return false;
    if (type == sleep_types[0] || type == sleep_types[1]) return true;
    *byte = (uint8_t)(*byte & ~SLEEP_ENABLE);
    print("the guest wants sleep of type %u, from which it would wake without us: refused", (unsigned)type);
    return false;
}

/* One byte that the guest writes; it may become another one. True: the machine goes off. */
static bool judge(uint16_t port, uint8_t *byte)
{
    for (unsigned i = 0; i < 2; i++)
        if (sleep_control[i] && port == sleep_control[i] + 1) return sleeps(byte);
    if ((port & ~7u) == CMOS) {
        uint8_t *index = &cmos_index[port >> 1 & 1]; /* two banks, each of which may answer at two addresses */
        if (!(port & 1))
            *index = *byte & 0x7f;
        else if (*index == SHUTDOWN_CODE)
            *byte = 0; /* firmware told by it that the machine wakes would go on where the guest says */
        return false;
    }
    if (port == KEYBOARD_DATA) {
        bool off = output_port && !(*byte & 1);
        output_port = false;
        return off;
    }
    if (port == KEYBOARD) output_port = *byte == WRITE_OUTPUT_PORT;
    return (port == KEYBOARD && (*byte & 0xf1) == 0xf0) || (port == RESET && *byte & RESET_NOW) ||
           (port == FAST_RESET && *byte & 1);
}

void power_port(uint16_t port, unsigned size, uint32_t *value)
{
    bool off = false;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(*value >> 8 * i);
        off |= judge((uint16_t)(port + i), &byte);
        *value = (*value & ~(UINT32_C(0xff) << 8 * i)) | (uint32_t)byte << 8 * i;
    }
    if (off) evidence_finish();
}

void power_reset(void)
{
    out8(RESET, 2);
    out8(RESET, 6);
    out8(KEYBOARD, 0xfe);
    panic("the reset did not come");
}

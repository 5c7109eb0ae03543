/* Sleep from which the machine would wake without the hypervisor, and the registers that would make it so. */
#include "tests/visor/intruder/intruder.h"

enum { LPC = 0x1f << 3, S3 = 1 << 10, SLEEP = 1 << 13 };

void against_power(void)
{
    const uint8_t *fadt = acpi("FACP");
    uint16_t control;
    uint32_t dsdt, bytes, names = 0;
    memcpy(&control, fadt + 64, 2);
    memcpy(&dsdt, fadt + 40, 4);
    memcpy(&bytes, (const uint8_t *)(uintptr_t)dsdt + 4, 4);
    attempt("sleep-tables");
    uint8_t sum = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        sum = (uint8_t)(sum + *(const uint8_t *)(uintptr_t)(dsdt + i));
        names += i + 4 < bytes && !memcmp((const void *)(uintptr_t)(dsdt + i), "_S3_", 4);
    }
    result("S3 is named %u times, sum %u", names, sum);
    attempt("sleep");
    out16(control, S3 | SLEEP);
    out8((uint16_t)(control + 1), (S3 | SLEEP) >> 8);
    out32(control, S3 | SLEEP);
    out16((uint16_t)(control + 1), (S3 | SLEEP) >> 8);
    pause_us(10000);
    result("goes on");
    attempt("sleep-moved");
    uint32_t base = config_read(LPC, 0x40);
    config_write(LPC, 0x40, 0x0c01);
    out16(0xc04, S3 | SLEEP);
    config_write(LPC, 0x44, 0);
    result("the ports %s", config_read(LPC, 0x40) == base ? "stay" : "moved");
    attempt("wake-code"); /* the firmware would take the next start for a wake */
    out8(0x70, 0x0f);
    out8(0x71, 0xfe);
    out8(0x74, 0x8f);
    out8(0x75, 0xfe);
    out16(0x70, 0xfe0f);
    out8(0x70, 0x0f);
    result("it is %x", in8(0x71));
}

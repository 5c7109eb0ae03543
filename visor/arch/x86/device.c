/* Device registers, through the hypervisor's identity map: the MTRRs make them uncached. */
#include "visor/core/mmio.h"

uint64_t mmio_real_read(uint64_t gpa, unsigned width)
{
    const volatile void *at = (const volatile void *)(uintptr_t)gpa;
    switch (width) {
    case 1:
        return *(const volatile uint8_t *)at;
    case 2:
        return *(const volatile uint16_t *)at;
    case 4:
        return *(const volatile uint32_t *)at;
    default:
        return *(const volatile uint64_t *)at;
    }
}

void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value)
{
    volatile void *at = (volatile void *)(uintptr_t)gpa;
    switch (width) {
    case 1:
        *(volatile uint8_t *)at = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)at = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)at = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)at = value;
        break;
    }
}

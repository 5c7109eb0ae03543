/* The moments at which the machine goes off: what has not left yet leaves first. */
#ifndef VISOR_PLATFORM_POWER_H
#define VISOR_PLATFORM_POWER_H

#include "visor/core/vcpu.h"

/* At boot: watches ACPI's sleep control (FADT) and the reset registers (rsdp 0: these only), and takes out of ACPI's tables the kinds of sleep
 * from which a machine wakes in the middle. */
void power_init(uint64_t rsdp);

/* The guest writes *value to a watched port, maybe to several at once. What it becomes is to be written there. */
void power_port(uint16_t port, unsigned size, uint32_t *value);

/* The machine starts anew. */
_Noreturn void power_reset(void);

#endif

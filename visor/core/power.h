/* The moments at which the machine goes off: what has not left yet leaves first. */
#ifndef VISOR_CORE_POWER_H
#define VISOR_CORE_POWER_H

#include "visor/core/vcpu.h"

/* At boot: watches ACPI's sleep control (FADT) and the two reset registers. rsdp 0: the reset registers only. */
void power_init(uint64_t rsdp);

/* The guest's access to one of the watched ports. False: not one of these. */
bool power_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in);

#endif

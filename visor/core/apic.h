/* The local APIC's interrupt command: INIT and SIPI are the hypervisor's to deliver, everything else is the hardware's.
 */
#ifndef VISOR_CORE_APIC_H
#define VISOR_CORE_APIC_H

#include "visor/core/vcpu.h"

/* At boot: watches the xAPIC page. */
void apic_init(void);

/* The guest writes the interrupt command register; x2apic: in that format (destination in the upper half). */
void apic_icr_write(struct vcpu *vcpu, uint64_t icr, bool x2apic);

/* The guest writes IA32_APIC_BASE: its address must stay. False: #GP. */
bool apic_base_write(uint64_t value);

/* Sends the processor an NMI, which is an exit there. The guest's half-written command is not disturbed. */
void apic_kick(struct vcpu *to);

#endif

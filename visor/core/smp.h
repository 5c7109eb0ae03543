/* Several processors: the machine's lock, starting them, flushing what they remember; and how they call each other: of
 * the local APIC's interrupt commands INIT and SIPI are the hypervisor's to deliver, everything else is the hardware's. */
#ifndef VISOR_CORE_SMP_H
#define VISOR_CORE_SMP_H

#include "visor/core/vcpu.h"

/* The guest sent INIT, or SIPI, to this processor (not the caller's own). */
void smp_init(struct vcpu *to);
void smp_sipi(struct vcpu *to, uint8_t vector);

/* The other processors run nothing of the guest's between these two. The lock is held. */
void smp_stop(void);
void smp_go(void);
/* This processor is about to go on with the guest: waits while it must not. */
void smp_enter(struct vcpu *vcpu);

/* --- apic.c */

/* At boot: watches the xAPIC page. */
void apic_init(void);

/* The guest writes x2APIC's interrupt command register. False: #GP. */
bool apic_icr_msr(struct vcpu *vcpu, uint64_t icr);

/* The guest writes IA32_APIC_BASE: its address must stay. False: #GP. */
bool apic_base_write(uint64_t value);

/* Sends the processor an NMI, which is an exit there. The guest's half-written command is not disturbed. */
void apic_kick(struct vcpu *to);

#endif

/* Several processors: the machine's lock, starting them, flushing what they remember. */
#ifndef VISOR_CORE_SMP_H
#define VISOR_CORE_SMP_H

#include "visor/core/vcpu.h"

/* The guest sent INIT, or SIPI, to this processor (not the caller's own). */
void smp_init(struct vcpu *to);
void smp_sipi(struct vcpu *to, uint8_t vector);

/* Nested paging was changed: when this returns, no processor uses what it was before. The lock is held, or no guest
 * runs yet. */
void smp_flush(void);

/* The other processors run nothing of the guest's between these two. The lock is held. */
void smp_stop(void);
void smp_go(void);
/* This processor is about to go on with the guest: waits while it must not. */
void smp_enter(struct vcpu *vcpu);

#endif

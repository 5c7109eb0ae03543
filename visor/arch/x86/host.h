/* The processor as the hypervisor has it between a VM exit and the next entry: its own page tables, GDT and IDT. */
#ifndef VISOR_ARCH_X86_HOST_H
#define VISOR_ARCH_X86_HOST_H

#include "visor/arch/x86/cpu.h"

#define HOST_STACK_BYTES 32768u

/* Makes the tables, once. */
void host_init(uint64_t cr3);
/* Leaves the firmware's tables for ours. Interrupts are off; stays on the caller's stack. */
void host_load(void);
/* Goes on in function(arg) on a fresh stack that ends at `top`. */
_Noreturn void host_call_on_stack(void (*function)(void *), void *arg, void *top);
/* Lets one pending NMI through to our own handler, which does nothing: an intercepted NMI stays pending otherwise. */
void host_take_nmi(void);

#endif

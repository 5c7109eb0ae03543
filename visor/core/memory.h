/* The hypervisor's own memory: one physical stretch, reserved from the firmware, handed out at boot and never given
 * back. It is identity-mapped for the hypervisor, so an address is a pointer, and it is out of the guest's reach. */
#ifndef VISOR_CORE_MEMORY_H
#define VISOR_CORE_MEMORY_H

#include "visor/core/lib.h"

/* Whoever takes an amount that the machine or its configuration decides leaves this: more than the card and all small things need. */
#define MEMORY_REST (UINT64_C(3) << 19)
#define MEMORY_SHORT "memory_mib is too little"

/* Zeroed memory at a multiple of `align` (a power of two). At boot only, before the first guest instruction; panics
 * when there is not enough, which nobody lets happen: see MEMORY_REST. */
void *memory_alloc(uint64_t bytes, uint64_t align);

void memory_init(uint64_t base, uint64_t bytes);
uint64_t memory_left(void);

/* For a device that is the hypervisor's. */
static inline uint64_t memory_physical(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* From here on there is none to be had: a guest is about to run. */
void memory_seal(void);

#endif

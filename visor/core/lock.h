/* A ticket lock: fair, so that no processor is kept in the hypervisor by the others. Not recursive. */
#ifndef VISOR_CORE_LOCK_H
#define VISOR_CORE_LOCK_H

#include "visor/core/lib.h"

struct lock {
    uint32_t next, serving;
};

static inline void lock_take(struct lock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) __builtin_ia32_pause();
}

static inline bool lock_try(struct lock *lock)
{
    uint32_t serving = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);
    return __atomic_compare_exchange_n(&lock->next, &serving, serving + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void lock_drop(struct lock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif

/* Mappings of files that belong to somebody else, who may shorten them: what is gone reads as zeros instead of ending
 * the process with SIGBUS, and a flag says so. The first guard installs the signal's handler, for good. */
#ifndef CHV_SENSOR_VHOST_GUARD_H
#define CHV_SENSOR_VHOST_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARDS_MAX 128u

struct guard {
    int slot; /* in the handler's table */
    atomic_bool lost;
};

/* From now on [map, map + bytes), mapped in pages of `unit` bytes, is guarded; `g` stays where it is until guard_end(),
 * which comes before the munmap. -ENOSPC: too many are. */
int guard_begin(struct guard *g, void *map, size_t bytes, size_t unit);
void guard_end(struct guard *g);
/* Was something of it gone? Whatever was read since the guard began may then be zeros that nobody wrote. */
static inline bool guard_lost(const struct guard *g)
{
    /* the handler ran in the thread that looked; what others met they tell by themselves */
    return atomic_load_explicit(&g->lost, memory_order_acquire);
}

#endif

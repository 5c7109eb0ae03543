/* Is the store held (store/held.h)? Looked at by a thread of its own, so that a request asks memory, not the file
 * system. */
#ifndef CHV_SENSOR_HOLD_H
#define CHV_SENSOR_HOLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "chronovisor/err.h"

#define HOLD_LOOK_NS 50000000 /* a hold and its release take effect after at most about this long */

struct hold {
    const char *store_dir; /* borrowed */
    atomic_bool held, stop;
    pthread_t thread;
    bool running;
};

/* What is held now is held when this returns: before the first request. */
int hold_start(struct hold *h, const char *store_dir, struct chv_err *err);
void hold_stop(struct hold *h);

static inline bool hold_is(const struct hold *h)
{
    return atomic_load_explicit(&h->held, memory_order_acquire);
}

#endif

/* Up to which event is everything on the disk? Needed after a kill: what the log says from there
 * on is compared with the disk.
 *
 * Changes enter the current epoch before they are recorded and leave it when they are on the disk.
 * When the older epoch has run empty, all that had been recorded when it was closed is on the disk. */
#ifndef CHV_SENSOR_EPOCH_H
#define CHV_SENSOR_EPOCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct epoch {
    pthread_mutex_t mutex;
    uint64_t active[2];
    unsigned current;
    uint64_t closed_seq;  /* recorded when the older epoch was closed */
    uint64_t settled_seq; /* everything up to here is on the disk */
};

static inline void epoch_init(struct epoch *e, uint64_t settled_seq)
{
    *e = (struct epoch){.closed_seq = settled_seq, .settled_seq = settled_seq};
    pthread_mutex_init(&e->mutex, NULL);
}

static inline void epoch_fini(struct epoch *e)
{
    pthread_mutex_destroy(&e->mutex);
}

static inline unsigned epoch_enter(struct epoch *e)
{
    pthread_mutex_lock(&e->mutex);
    unsigned current = e->current;
    e->active[current]++;
    pthread_mutex_unlock(&e->mutex);
    return current;
}

static inline void epoch_leave(struct epoch *e, unsigned epoch)
{
    pthread_mutex_lock(&e->mutex);
    e->active[epoch]--;
    pthread_mutex_unlock(&e->mutex);
}

/* `recorded_seq` is durable, and was read before this call. Returns the settled seq. */
static inline uint64_t epoch_tick(struct epoch *e, uint64_t recorded_seq)
{
    pthread_mutex_lock(&e->mutex);
    if (e->active[!e->current] == 0) {
        e->settled_seq = e->closed_seq;
        e->closed_seq = recorded_seq;
        e->current = !e->current;
    }
    uint64_t settled = e->settled_seq;
    pthread_mutex_unlock(&e->mutex);
    return settled;
}

#endif

/* Puts what was written to a disk's file on stable storage little by little, so that a guest's flush finds little left
 * to wait for. Only advice: a flush still syncs. */
#ifndef CHV_SENSOR_WRITEBACK_H
#define CHV_SENSOR_WRITEBACK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WRITEBACK_BYTES (32u << 20) /* so much that a rewritten block seldom goes out twice */

struct writeback {
    int fd;
    bool stop;
    _Atomic uint64_t written; /* bytes, ever */
    uint64_t started;         /* of which this much has been sent on its way */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_t thread;
};

int writeback_start(struct writeback *w, int fd);
void writeback_stop(struct writeback *w);
void writeback_wake(struct writeback *w);

/* After a write; any thread. */
static inline void writeback_note(struct writeback *w, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&w->written, bytes, memory_order_relaxed);
    if (before / WRITEBACK_BYTES != (before + bytes) / WRITEBACK_BYTES) writeback_wake(w);
}

#endif

/* Stopping the guest for a moment, with the promise that it goes on.
 *
 * The promise is kept by a process of its own, made before the stop: it holds nothing but the QMP socket and one to
 * us, and when that ends before it was dismissed, it says `cont`. So a crash, SIGKILL or the OOM killer do not leave a guest
 * that stands still.
 */
#ifndef CHV_SENSOR_MEMORY_PAUSE_H
#define CHV_SENSOR_MEMORY_PAUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sensor/memory/qmp.h"

struct pause {
    struct qmp *qmp;     /* borrowed */
    bool was_stopped;    /* by somebody else, who also decides when it goes on: nothing is sent */
    bool stopped;        /* by us */
    bool insist;         /* `cont` may be refused for a moment, and is said again then */
    pid_t guard;
    int pipe;            /* a socket to the guard, or -1 */
    uint64_t begin_ns;   /* monotonic, when `stop` was sent; 0: not stopped by us */
    uint64_t time_ns;    /* UTC, when `stop` was answered: the instant that the memory shows */
};

/* Does the guest run? */
int pause_look(struct qmp *qmp, bool *running, struct chv_err *err);
/* After an error nothing is stopped. */
int pause_begin(struct pause *pause, struct qmp *qmp, struct chv_err *err);
/* The promise alone, for who stops the guest in another way and sets `stopped`, `begin_ns` and `time_ns` then. */
int pause_promise(struct pause *pause, struct qmp *qmp, struct chv_err *err);
/* Let the guest go on; *pause_ns (may be NULL) gets how long it stood, as we saw it. Connects anew when the connection was
 * lost. Does nothing the second time, and only ends the promise when
 * nothing is stopped. */
int pause_end(struct pause *pause, uint64_t *pause_ns, struct chv_err *err);

#endif

/* One virtqueue of the device, and the threads that serve it.
 *
 * A thread that finds nothing to do becomes the one that waits for the guest's kick, if there is none yet, or sleeps.
 * Who takes a request and sees that another waits, or that its own may take long, wakes a sleeper first. Answers are
 * given in the order in which requests end. */
#ifndef CHV_SENSOR_VHOST_QUEUE_H
#define CHV_SENSOR_VHOST_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sensor/capture/session.h"
#include "sensor/vhost_user/async.h"
#include "sensor/vhost_user/inflight.h"
#include "sensor/vhost_user/log.h"
#include "sensor/vhost_user/vring.h"

#define QUEUE_THREADS_MAX 8u
#define QUEUE_POLL_NS 50000u /* two processors that sleep take as long as this to wake up */
#define QUEUE_SHORT_BYTES (128u << 10) /* a transfer up to this is not worth waking another thread for */

struct queue_request {
    struct queue_request *next;
    struct queue *queue;
    struct blk_request blk;
    struct async async;
    struct chain chain; /* holds its memory */
};

/* What all queues of a connection share. */
struct queue_shared {
    struct session *session;
    struct capture *capture;
    atomic_bool durable; /* a write is answered when it is on stable storage: the driver knows of no flush */
    unsigned threads;    /* a queue */
};

struct queue {
    struct queue_shared *shared;
    unsigned index;
    pthread_mutex_t mutex;
    pthread_cond_t idle, quiet; /* sleepers; whoever waits for the queue to be quiet */
    struct vring ring;
    struct inflight inflight;
    struct dirty_log *log; /* of guest memory that was written, for a migration, or NULL; changes with the mutex held */
    int kick, call, wake;
    bool enabled, broken, leader, stop;
    bool failed; /* a request did, and that was said */
    unsigned paused, busy, sleepers; /* busy: requests taken and not answered */
    struct queue_request *free, *held;
    struct aio *aio;      /* or NULL: threads wait for the disk */
    unsigned at_disk;     /* requests that io_uring has, or will get when a thread is through with the ring; these are busy */
    uint64_t lent_bytes;  /* of their data */
    uint64_t poll_ns; /* how long the thread that leads looks at the ring before it sleeps: 0 to QUEUE_POLL_NS */
    unsigned threads;
    pthread_t thread[QUEUE_THREADS_MAX];
};

int queue_init(struct queue *q, struct queue_shared *shared, unsigned index);
/* Ends the threads. Requests that wait because the store is held are dropped without an answer. */
void queue_fini(struct queue *q);

/* Between these the caller has the queue's mutex and may change what the queue is: nobody waits at its descriptors,
 * requests may still be under way and are answered afterwards. */
void queue_pause(struct queue *q);
void queue_resume(struct queue *q); /* starts the threads when there is something to serve */
/* With the queue paused: wait for all that is under way; what waits because the store is held fails. */
void queue_drain(struct queue *q);
/* Paused: it is over for this ring until the front-end sets it up anew. Says why once, and records it. */
void queue_break(struct queue *q, const struct chv_err *why);
/* Replace one of the descriptors; -1: none. */
void queue_set_fd(int *where, int fd);

#endif

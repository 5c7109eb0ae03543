/* Changes that are recorded and acknowledged, and wait for their evidence to be durable
 * before they may destroy what the disk held (copy-before-first-overwrite).
 *
 * The handler hands over a job with its range still locked; a writer thread waits for the
 * recorder (one wait serves all jobs queued by then: group commit), applies the jobs to the disk
 * and unlocks. kill -9 loses the jobs but not their evidence: attach.c applies them again from the log. */
#ifndef CHV_SENSOR_DEFER_H
#define CHV_SENSOR_DEFER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/capture/ranges.h"

#define DEFER_THREADS 1 /* a change that goes over another is done after it */
#define DEFER_BYTES_MAX (64u << 20) /* of copies held back; a handler waits above that */
#define DEFER_JOBS_MAX 8192u
#define DEFER_GATHER_NS 2000000 /* nobody waits for these jobs: let some come together before asking for durability */

#define DEFER_BATCH 32u     /* jobs finished together */
#define DEFER_QUEUED_BYTES (8u << 20) /* this much is worth a commit of its own */

struct capture;

struct job {
    struct range range; /* the first member; locked from before the append until after the disk */
    struct job *next;         /* queue of those nobody took up yet */
    struct job *older, *newer; /* all unfinished ones, by id */
    uint64_t id, ticket;
    uint64_t bytes, offset;
    void *copy;     /* what to write; or NULL, and then it is */
    uint32_t held;  /* the range's blocks in the recorder's queue; or 0: zeros */
    bool may_punch; /* zeros: a hole will do */
    bool gap;       /* not recorded: the log gets a GAP as soon as there is room */
    unsigned epoch;
    const void *block[]; /* the held ones */
};

struct defer {
    struct capture *capture;
    pthread_mutex_t mutex;
    pthread_cond_t work, done, hurry;
    struct job *head, **tail;
    struct job *oldest, *newest;
    uint64_t next_id, bytes, jobs, queued_bytes; /* bytes: of copies; queued_bytes: of all in the queue */
    uint64_t hurried; /* how many wait for jobs to be finished: no gathering then */
    int error; /* -errno: an acknowledged change did not reach the disk; every later flush says so */
    bool stop;
    unsigned threads;
    pthread_t thread[DEFER_THREADS];
    struct defer_ring *ring; /* io_uring, or NULL: one after the other */
};

/* A disk that goes through io_uring needs its ring first: d->ring. */
int defer_start(struct defer *d, struct capture *capture);
/* Finish everything, then end the threads. */
void defer_stop(struct defer *d);
/* The job, its data and its range now belong to the writer. Waits until there is room for it. */
void defer_push(struct defer *d, struct job *job);
/* Wait until everything pushed before now is on the disk (or failed: -errno). */
int defer_drain(struct defer *d);

/* --- inside --- */

/* One change. 0 or -errno. */
int defer_apply(struct capture *c, const struct job *job);
/* The same for some of them, at most DEFER_BATCH: results in their order. Those that overlap stay in theirs. */
int defer_ring_new(struct capture *c, struct defer_ring **out, struct chv_err *err);
void defer_ring_free(struct defer_ring *ring); /* NULL is fine */
void defer_ring_apply(struct defer_ring *ring, const struct job *jobs, unsigned count, int *result);

#endif

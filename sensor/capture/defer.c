#include "sensor/capture/defer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sensor/capture/capture.h"

int defer_apply(struct capture *c, const struct job *job)
{
    if (job->copy) return disk_pwrite(&c->disk, job->copy, job->bytes, job->offset);
    if (job->held)
        return disk_pwrite_blocks(&c->disk, job->block, job->held, c->block_bytes, job->range.first * c->block_bytes);
    return disk_zero(&c->disk, job->bytes, job->offset, job->may_punch);
}

/* Put up to DEFER_BATCH jobs on the disk; returns the rest. */
static struct job *apply_some(struct defer *d, struct job *jobs, int evidence)
{
    struct capture *c = d->capture;
    struct job *rest = jobs;
    uint64_t written = 0;
    int error = 0, result[DEFER_BATCH];
    unsigned n;
    for (n = 0; rest && n < DEFER_BATCH; n++, rest = rest->next) result[n] = evidence;
    if (evidence == 0 && d->ring) defer_ring_apply(d->ring, jobs, n, result);
    const struct job *job = jobs;
    for (unsigned i = 0; i < n; i++, job = job->next) {
        if (evidence == 0 && !d->ring) result[i] = defer_apply(c, job);
        if (result[i] < 0) blocks_set(&c->blocks, job->range.first, job->range.end, BLOCK_SUSPECT);
        if (result[i] < 0 && error == 0) error = result[i];
    }
    if (evidence < 0) __atomic_store_n(&c->stale, true, __ATOMIC_RELEASE);

    ranges_unlock_jobs(&c->ranges, jobs, rest); /* before their data goes: readers look at it */
    for (struct job *j = jobs; j != rest; j = j->next)
        if (j->held) chv_recorder_release(c->rec, j->block, j->held);
    for (struct job *j = jobs; j != rest; j = j->next) epoch_leave(&c->epoch, j->epoch);

    pthread_mutex_lock(&d->mutex);
    if (error < 0 && d->error == 0) {
        d->error = error;
        fprintf(stderr, "chronovisor record: %s: acknowledged writes could not be put on the disk: %s\n",
                c->space_name, strerror(-error));
    }
    for (struct job *j = jobs; j != rest; j = j->next) {
        *(j->older ? &j->older->newer : &d->oldest) = j->newer;
        *(j->newer ? &j->newer->older : &d->newest) = j->older;
        if (j->copy) d->bytes -= j->bytes;
        if (j->copy || j->held) written += j->bytes;
        d->jobs--;
    }
    pthread_cond_broadcast(&d->done);
    pthread_mutex_unlock(&d->mutex);
    writeback_note(&c->writeback, written);
    while (jobs != rest) {
        struct job *next = jobs->next;
        free(jobs->copy);
        free(jobs);
        jobs = next;
    }
    return rest;
}

/* Until what the batch recorded is durable. */
static int wait_evidence(struct chv_recorder *rec, const struct job *batch)
{
    struct chv_err err;
    uint64_t ticket = 0;
    bool gap = false;
    for (; batch; batch = batch->next) {
        if (batch->ticket > ticket) ticket = batch->ticket;
        gap |= batch->gap;
    }
    int r = chv_recorder_wait(rec, ticket, &err);
    /* An append in a queue with room is what brings pending gaps into the log; with the guest ahead again there may
     * be none, and the gaps come later than they should. */
    for (int tries = 0; r >= 0 && gap && tries < 3; tries++) {
        r = chv_recorder_append(rec, NULL, 0, &ticket, &err);
        if (r >= 0) r = chv_recorder_wait(rec, ticket, &err);
    }
    return r < 0 ? r : 0;
}

/* With the mutex: enough for a commit. */
static bool full(const struct defer *d)
{
    return d->queued_bytes >= DEFER_QUEUED_BYTES || d->jobs >= DEFER_JOBS_MAX / 8;
}

/* With the mutex: every commit costs two syncs, so many jobs should share one, unless somebody waits. */
static void gather(struct defer *d)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += DEFER_GATHER_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!d->stop && !d->hurried && !full(d))
        if (pthread_cond_timedwait(&d->hurry, &d->mutex, &until) == ETIMEDOUT) break;
}

static void *writer(void *arg)
{
    struct defer *d = arg;
    pthread_mutex_lock(&d->mutex);
    for (;;) {
        while (!d->head && !d->stop) pthread_cond_wait(&d->work, &d->mutex);
        if (!d->head) break;
        gather(d);
        struct job *batch = d->head;
        d->head = NULL;
        d->tail = &d->head;
        d->queued_bytes = 0;
        pthread_mutex_unlock(&d->mutex);

        int evidence = wait_evidence(d->capture->rec, batch);
        while (batch) batch = apply_some(d, batch, evidence);
        pthread_mutex_lock(&d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

int defer_start(struct defer *d, struct capture *capture)
{
    *d = (struct defer){.ring = d->ring};
    d->capture = capture;
    d->tail = &d->head;
    d->next_id = 1;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->work, NULL);
    pthread_cond_init(&d->done, NULL);
    pthread_cond_init(&d->hurry, NULL);
    int r = 0;
    while (r == 0 && d->threads < DEFER_THREADS) {
        r = -pthread_create(&d->thread[d->threads], NULL, writer, d);
        if (r == 0) d->threads++;
    }
    if (r < 0) defer_stop(d);
    return r;
}

void defer_stop(struct defer *d)
{
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_cond_broadcast(&d->work);
    pthread_cond_broadcast(&d->hurry);
    pthread_mutex_unlock(&d->mutex);
    while (d->threads > 0) pthread_join(d->thread[--d->threads], NULL);
    defer_ring_free(d->ring);
    d->ring = NULL;
    pthread_cond_destroy(&d->hurry);
    pthread_cond_destroy(&d->done);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->mutex);
}

void defer_push(struct defer *d, struct job *job)
{
    uint64_t copied = job->copy ? job->bytes : 0;
    job->next = job->newer = NULL;
    pthread_mutex_lock(&d->mutex);
    while (d->jobs > 0 && (d->bytes + copied > DEFER_BYTES_MAX || d->jobs >= DEFER_JOBS_MAX))
        pthread_cond_wait(&d->done, &d->mutex);
    d->bytes += copied;
    d->queued_bytes += job->bytes;
    d->jobs++;
    bool first = d->head == NULL;
    job->id = d->next_id++;
    *d->tail = job;
    d->tail = &job->next;
    job->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = job;
    d->newest = job;
    /* from here on others may go over it, and are behind it in the queue */
    ranges_defer(&d->capture->ranges, &job->range, job->held > 0);
    if (first) pthread_cond_signal(&d->work);
    if (full(d)) pthread_cond_signal(&d->hurry);
    pthread_mutex_unlock(&d->mutex);
}

int defer_drain(struct defer *d)
{
    pthread_mutex_lock(&d->mutex);
    uint64_t last = d->next_id;
    d->hurried++;
    pthread_cond_broadcast(&d->hurry);
    while (d->oldest && d->oldest->id < last) pthread_cond_wait(&d->done, &d->mutex);
    d->hurried--;
    int r = d->error;
    pthread_mutex_unlock(&d->mutex);
    return r;
}

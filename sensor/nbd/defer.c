#include "sensor/nbd/defer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sensor/nbd/capture.h"

static void apply(struct defer *d, struct job *job, int evidence)
{
    struct capture *c = d->capture;
    int r = evidence;
    if (r == 0)
        r = job->data ? disk_pwrite(&c->disk, job->data, job->bytes, job->offset)
                      : disk_zero(&c->disk, job->bytes, job->offset, job->may_punch);
    if (r < 0) {
        blocks_set(&c->blocks, job->range.first, job->range.end, BLOCK_SUSPECT);
        if (evidence < 0) __atomic_store_n(&c->stale, true, __ATOMIC_RELEASE);
    }
    ranges_unlock(&c->ranges, &job->range);
    epoch_leave(&c->epoch, job->epoch);

    pthread_mutex_lock(&d->mutex);
    if (r < 0 && d->error == 0) {
        d->error = r;
        fprintf(stderr, "chronovisor record: %s: acknowledged writes could not be put on the disk: %s\n",
                c->space_name, strerror(-r));
    }
    *(job->older ? &job->older->newer : &d->oldest) = job->newer;
    *(job->newer ? &job->newer->older : &d->newest) = job->older;
    if (job->data) d->bytes -= job->bytes;
    d->jobs--;
    pthread_cond_broadcast(&d->done);
    pthread_mutex_unlock(&d->mutex);
    free(job->data);
    free(job);
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
    while (!d->stop && !d->hurried && d->bytes < DEFER_BYTES_MAX / 8 && d->jobs < DEFER_JOBS_MAX / 8)
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
        pthread_mutex_unlock(&d->mutex);

        int evidence = wait_evidence(d->capture->rec, batch);
        while (batch) {
            struct job *j = batch;
            batch = j->next;
            apply(d, j, evidence);
        }
        pthread_mutex_lock(&d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

int defer_start(struct defer *d, struct capture *capture)
{
    memset(d, 0, sizeof *d);
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
    pthread_cond_destroy(&d->hurry);
    pthread_cond_destroy(&d->done);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->mutex);
}

void defer_reserve(struct defer *d, uint64_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    while (d->jobs > 0 && (d->bytes + bytes > DEFER_BYTES_MAX || d->jobs >= DEFER_JOBS_MAX))
        pthread_cond_wait(&d->done, &d->mutex);
    if (d->bytes + bytes >= DEFER_BYTES_MAX / 8 || d->jobs + 1 >= DEFER_JOBS_MAX / 8) pthread_cond_signal(&d->hurry);
    d->bytes += bytes;
    d->jobs++;
    pthread_mutex_unlock(&d->mutex);
}

void defer_push(struct defer *d, struct job *job)
{
    ranges_defer(&d->capture->ranges, &job->range);
    pthread_mutex_lock(&d->mutex);
    job->id = d->next_id++;
    job->next = NULL;
    *d->tail = job;
    d->tail = &job->next;
    job->newer = NULL;
    job->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = job;
    d->newest = job;
    pthread_cond_signal(&d->work);
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

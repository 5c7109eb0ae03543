#include <errno.h>
#include <stdlib.h>

#include "sensor/capture/aio.h"
#include "sensor/capture/capture.h"

/* One of the batch at the disk. */
struct step {
    struct aio_op op; /* the first member */
    struct defer_ring *ring;
    int *result;
    struct iovec iov[CAPTURE_CHUNK_BLOCKS];
};

struct defer_ring {
    struct capture *capture;
    struct aio *aio;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    unsigned under_way;
    struct step step[DEFER_BATCH];
};

int defer_ring_new(struct capture *c, struct defer_ring **out, struct chv_err *err)
{
    struct defer_ring *ring = calloc(1, sizeof *ring);
    if (!ring) return chv_err_set(err, ENOMEM, "out of memory");
    int r = aio_new(&c->disk, &ring->aio, err);
    if (r < 0) {
        free(ring);
        return r;
    }
    ring->capture = c;
    pthread_mutex_init(&ring->mutex, NULL);
    pthread_cond_init(&ring->done, NULL);
    *out = ring;
    return 0;
}

void defer_ring_free(struct defer_ring *ring)
{
    if (!ring) return;
    aio_free(ring->aio);
    pthread_cond_destroy(&ring->done);
    pthread_mutex_destroy(&ring->mutex);
    free(ring);
}

static void on_done(struct aio_op *op, int error)
{
    struct step *step = (struct step *)op;
    struct defer_ring *ring = step->ring;
    *step->result = error;
    pthread_mutex_lock(&ring->mutex);
    if (--ring->under_way == 0) pthread_cond_signal(&ring->done);
    pthread_mutex_unlock(&ring->mutex);
}

/* Start what was gathered and wait for all of it. */
static void settle(struct defer_ring *ring, struct aio_batch *batch)
{
    if (batch->count == 0) return;
    ring->under_way = batch->count; /* nothing is under way: nobody else looks */
    aio_submit(ring->aio, batch);
    pthread_mutex_lock(&ring->mutex);
    while (ring->under_way > 0) pthread_cond_wait(&ring->done, &ring->mutex);
    pthread_mutex_unlock(&ring->mutex);
}

/* What it writes, up to the disk's end. false: it is none to be written so. */
static bool make_step(struct defer_ring *ring, const struct job *job, struct step *step)
{
    const struct capture *c = ring->capture;
    if (!job->copy && (job->held == 0 || job->held > CAPTURE_CHUNK_BLOCKS)) return false;
    step->op = (struct aio_op){.done = on_done, .iov = step->iov, .write = true, .offset = job->offset};
    if (job->copy) {
        step->iov[step->op.iovs++] = (struct iovec){job->copy, job->bytes};
        step->op.bytes = job->bytes;
        return true;
    }
    step->op.offset = job->range.first * c->block_bytes;
    for (uint32_t i = 0; i < job->held; i++) {
        uint64_t left = c->disk.size_bytes - step->op.offset - step->op.bytes;
        size_t bytes = left < c->block_bytes ? (size_t)left : c->block_bytes;
        step->iov[step->op.iovs++] = (struct iovec){(void *)(uintptr_t)job->block[i], bytes};
        step->op.bytes += bytes;
    }
    return true;
}

void defer_ring_apply(struct defer_ring *ring, const struct job *jobs, unsigned count, int *result)
{
    struct aio_batch batch = {0};
    const struct job *job = jobs, *begun = jobs; /* begun: the first that is not known to be done */
    for (unsigned i = 0; i < count; i++, job = job->next) {
        bool alone = false;
        for (const struct job *j = begun; j != job && !alone; j = j->next)
            alone = j->range.first < job->range.end && job->range.first < j->range.end;
        struct step *step = &ring->step[i];
        bool here = make_step(ring, job, step);
        if (alone || !here) {
            settle(ring, &batch);
            begun = job;
        }
        step->ring = ring;
        step->result = &result[i];
        if (here) aio_add(&batch, &step->op);
        else result[i] = defer_apply(ring->capture, job);
    }
    settle(ring, &batch);
}

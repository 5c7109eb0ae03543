#include "sensor/vhost_user/queue.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

static bool active(const struct queue *q)
{
    return q->enabled && !q->broken && !q->paused && q->kick >= 0 && q->ring.desc;
}

static void wake(struct queue *q)
{
    ssize_t ignored = write(q->wake, &(uint64_t){1}, 8);
    (void)ignored; /* full: it is awake */
}

int queue_init(struct queue *q, struct queue_shared *shared, unsigned index)
{
    memset(q, 0, sizeof *q);
    q->shared = shared;
    q->index = index;
    q->kick = q->call = -1;
    q->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->wake < 0) return -errno;
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->idle, NULL);
    pthread_cond_init(&q->quiet, NULL);
    return 0;
}

/* --- requests, with the mutex ------------------------------------------------------------------------------------- */

static struct queue_request *request_get(struct queue *q)
{
    struct queue_request *r = q->free;
    if (r) q->free = r->next;
    else r = malloc(sizeof *r);
    if (r) r->chain.memory = NULL;
    return r;
}

static void request_put(struct queue *q, struct queue_request *r)
{
    guest_memory_drop(r->chain.memory);
    r->chain.memory = NULL;
    r->next = q->free;
    q->free = r;
}

static void mark_dirty(struct queue *q, const struct chain *chain, uint16_t used_slot)
{
    for (unsigned i = chain->out; i < chain->out + chain->in; i++)
        dirty_log_mark(q->log, chain->segment[i].gpa, chain->segment[i].bytes);
    if (!(q->ring.addr.flags & VU_ADDR_LOG)) return;
    if (q->ring.packed) { /* what the device writes of a packed ring is all over it */
        dirty_log_mark(q->log, q->ring.addr.log, 16 * (uint64_t)q->ring.size);
        return;
    }
    dirty_log_mark(q->log, q->ring.addr.log, 4);
    dirty_log_mark(q->log, q->ring.addr.log + 4 + 8 * (uint64_t)(used_slot % q->ring.size), 8);
    dirty_log_mark(q->log, q->ring.addr.log + 4 + 8 * (uint64_t)q->ring.size, 2);
}

static void answer(struct queue *q, struct queue_request *r, uint32_t written)
{
    if (q->ring.desc && !q->broken) {
        uint16_t slot = q->ring.used_next;
        inflight_giving(&q->inflight, &q->ring, &r->chain);
        bool tell = vring_push(&q->ring, &r->chain, written);
        inflight_gave(&q->inflight, &q->ring, &r->chain);
        if (q->log) mark_dirty(q, &r->chain, slot);
        if (tell && q->call >= 0) {
            ssize_t ignored = write(q->call, &(uint64_t){1}, 8);
            (void)ignored; /* full: the guest was told and has not looked yet */
        }
    }
    request_put(q, r);
    if (--q->busy == 0) pthread_cond_broadcast(&q->quiet);
}

static void say_and_record(struct queue *q, const struct chv_err *why)
{
    struct capture *c = q->shared->capture;
    struct chv_record gap = {.space = c->space, .op = CHV_OP_GAP,
                             .gap = {.reason = CHV_GAP_MALFORMED, .events = 1, .first_time_ns = clock_now_ns()}};
    struct chv_err err;
    fprintf(stderr, "chronovisor record: %s: queue %u is stopped, what is in it is not done: %s\n", c->space_name,
            q->index, why->text);
    if (chv_recorder_append(c->rec, &gap, 1, NULL, &err) < 0) fprintf(stderr, "chronovisor record: %s\n", err.text);
}

void queue_break(struct queue *q, const struct chv_err *why)
{
    q->broken = true;
    say_and_record(q, why);
}

/* With the mutex, which is given up meanwhile. */
static void break_here(struct queue *q, const struct chv_err *why)
{
    q->broken = true;
    q->busy++; /* so that nobody takes the queue away */
    pthread_mutex_unlock(&q->mutex);
    say_and_record(q, why);
    pthread_mutex_lock(&q->mutex);
    if (--q->busy == 0) pthread_cond_broadcast(&q->quiet);
}

/* Is all of it there that the front-end shares? Else -EPROTO: what is read from it is made up. */
static int all_there(const struct queue *q, struct chv_err *err)
{
    const struct guard *kept = q->inflight.area ? q->inflight.guard : NULL;
    if (!guest_memory_lost(q->ring.memory) && !(kept && guard_lost(kept))) return 0;
    return chv_err_set(err, EPROTO, "the front-end took away memory that it shares");
}

/* The next request, or NULL. */
static struct queue_request *take(struct queue *q)
{
    struct chv_err err = {0};
    struct queue_request *r = request_get(q);
    if (!r) return NULL;
    int n = inflight_again(&q->inflight, &q->ring, &r->chain, &err);
    bool again = n > 0;
    if (n == 0) n = vring_pop(&q->ring, &r->chain, &err);
    if (n > 0 && blk_parse(&r->chain, &r->blk, &err) < 0) n = -EPROTO;
    if (all_there(q, &err) < 0) n = -EPROTO;
    r->chain.memory = guest_memory_hold(r->chain.memory);
    if (n <= 0) {
        request_put(q, r);
        if (n < 0) break_here(q, &err);
        return NULL;
    }
    if (!again) inflight_took(&q->inflight, &q->ring, &r->chain);
    q->busy++;
    return r;
}

/* --- the threads -------------------------------------------------------------------------------------------------- */

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool is_held(const struct queue *q)
{
    return q->held && hold_is(&q->shared->session->hold);
}

/* With the mutex: nobody looks at the ring any more. */
static void stop_leading(struct queue *q)
{
    q->leader = false;
    pthread_cond_broadcast(&q->quiet);
}

/* Look at the ring for a while instead of sleeping, without the mutex: its place stays what it is as long as somebody
 * leads. */
static bool look(struct queue *q)
{
    const struct vring ring = q->ring;
    const uint64_t until = clock_monotonic_ns() + q->poll_ns;
    bool found = false;
    pthread_mutex_unlock(&q->mutex);
    while (!(found = vring_waiting(&ring)) && clock_monotonic_ns() < until)
        for (int i = 0; i < 8; i++) relax();
    pthread_mutex_lock(&q->mutex);
    return found;
}

/* What a wait has taught about the guest: looking is for one that comes back soon, were it not that this had to wake up
 * first. */
static void adapt(struct queue *q, uint64_t waited_ns)
{
    q->poll_ns = waited_ns <= 2 * QUEUE_POLL_NS ? QUEUE_POLL_NS : 0;
}

/* Sleep until the guest kicks, or this is called away. Without the mutex; before it is taken again, since descriptors
 * are not taken away while somebody leads. Returns -EPROTO when the kick is something else than what was promised: its
 * end would be "readable" for ever. */
static int sleep_until_kicked(int wake_fd, int kick, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = wake_fd, .events = POLLIN}, {.fd = kick, .events = POLLIN}};
    uint64_t ignored;
    if (poll(fds, 2, timeout_ms) <= 0) return 0;
    if (fds[0].revents && read(wake_fd, &ignored, sizeof ignored) < 0) ignored = 0;
    if (!fds[1].revents) return 0;
    ssize_t got = read(kick, &ignored, sizeof ignored);
    return got == sizeof ignored || (got < 0 && (errno == EAGAIN || errno == EINTR)) ? 0 : -EPROTO;
}

/* Wait for the guest, with the mutex, which is given up meanwhile. */
static void lead(struct queue *q)
{
    const bool serving = active(q);
    const uint64_t begun = serving ? clock_monotonic_ns() : 0;
    q->leader = true;
    if (serving && ((q->poll_ns && look(q)) || q->paused || q->stop)) {
        stop_leading(q);
        return;
    }
    int r = 0;
    if (!serving || !vring_ask(&q->ring)) {
        int timeout_ms = q->held ? HOLD_LOOK_NS / 1000000 : -1;
        int wake_fd = q->wake, kick = serving ? q->kick : -1;
        pthread_mutex_unlock(&q->mutex);
        r = sleep_until_kicked(wake_fd, kick, timeout_ms);
        pthread_mutex_lock(&q->mutex);
        if (serving) adapt(q, clock_monotonic_ns() - begun);
    }
    stop_leading(q);
    struct chv_err err;
    if (r < 0 && active(q)) {
        chv_err_set(&err, EPROTO, "its kick is no eventfd");
        break_here(q, &err);
    } else if (active(q)) {
        vring_hush(&q->ring);
    }
}

/* Might this keep its thread from looking after the queue? */
static bool is_long(const struct blk_request *r)
{
    return !(r->kind == BLK_READ || r->kind == BLK_WRITE) || r->bytes > QUEUE_SHORT_BYTES;
}

static bool is_durable(const struct queue *q)
{
    return atomic_load_explicit(&q->shared->durable, memory_order_relaxed);
}

/* With the mutex: answer what was done. */
static void finish(struct queue *q, struct queue_request *r, uint32_t written, struct chv_err *err)
{
    /* the recorder's failure is for good, and would be said with every request */
    if (err->code && !q->failed) {
        q->failed = true;
        fprintf(stderr, "chronovisor record: %s\n", err->text);
    }
    /* broken before it is answered: what it was about is not certain */
    if (active(q) && all_there(q, err) < 0) break_here(q, err);
    answer(q, r, written);
}

/* With the mutex. */
static void take_back(struct queue *q, bool write, uint64_t bytes)
{
    if (write) q->lent_bytes -= bytes;
    if (--q->at_disk == 0) pthread_cond_broadcast(&q->quiet);
}

static void on_done(struct aio_op *op, int error)
{
    struct queue_request *r = (struct queue_request *)((uint8_t *)op - offsetof(struct queue_request, async.op));
    struct queue *q = r->queue;
    const bool write = r->blk.kind == BLK_WRITE;
    const uint64_t bytes = r->blk.bytes;
    struct chv_err err = {0};
    uint32_t written = async_end(&r->async, q->shared->capture, &r->chain, &r->blk, error, &err);
    pthread_mutex_lock(&q->mutex);
    finish(q, r, written, &err);
    take_back(q, write, bytes);
    pthread_mutex_unlock(&q->mutex);
}

/* With the mutex: let io_uring do the disk's part, if it can. */
static bool serve_async(struct queue *q, struct queue_request *r, struct aio_batch *batch)
{
    struct capture *c = q->shared->capture;
    struct chv_err err;
    const bool write = r->blk.kind == BLK_WRITE;
    const uint64_t bytes = r->blk.bytes;
    uint32_t written = 0;
    if (!q->aio || !async_may(c, &r->blk, is_durable(q))) return false;
    if (write && q->lent_bytes + bytes > ASYNC_BYTES_MAX) return false;
    if (write) q->lent_bytes += bytes;
    q->at_disk++;
    /* recording is worth another processor, handing over a read is not */
    if (write && q->sleepers && !q->leader && vring_waiting(&q->ring)) pthread_cond_signal(&q->idle);
    pthread_mutex_unlock(&q->mutex);
    r->queue = q;
    r->async.op.done = on_done;
    enum async_state state = async_begin(&r->async, c, &r->chain, &r->blk, q->aio, batch, &err);
    if (state == ASYNC_DONE) written = async_end(&r->async, c, &r->chain, &r->blk, 0, &err);
    if (batch->count >= AIO_BATCH) aio_submit(q->aio, batch);
    pthread_mutex_lock(&q->mutex);
    if (state == ASYNC_STARTED) return true;
    if (state == ASYNC_DONE) finish(q, r, written, &err);
    take_back(q, write, bytes);
    return state == ASYNC_DONE;
}

static void serve(struct queue *q, struct queue_request *r, struct aio_batch *batch, uint8_t *bounce)
{
    const struct queue_shared *s = q->shared;
    struct chv_err err = {0};
    if (blk_changes(&r->blk) && hold_is(&s->session->hold)) {
        r->next = q->held;
        q->held = r;
        return;
    }
    if (serve_async(q, r, batch)) return;
    if (q->sleepers && !q->leader && (is_long(&r->blk) || vring_waiting(&q->ring))) pthread_cond_signal(&q->idle);
    pthread_mutex_unlock(&q->mutex);
    if (q->aio) aio_submit(q->aio, batch); /* before this thread may have to wait */
    uint32_t written = blk_execute(s->capture, &r->chain, &r->blk, is_durable(q), bounce, &err);
    pthread_mutex_lock(&q->mutex);
    finish(q, r, written, &err);
}

static void *run(void *arg)
{
    struct queue *q = arg;
    struct aio_batch batch = {0};
    uint8_t *bounce = aligned_alloc(4096, BLK_BOUNCE_BYTES);
    if (!bounce) fprintf(stderr, "chronovisor record: out of memory: a queue has a thread less\n");
    pthread_mutex_lock(&q->mutex);
    while (bounce && !q->stop) {
        struct queue_request *r = NULL;
        if (q->held && !is_held(q) && !q->paused) {
            r = q->held;
            q->held = r->next;
        } else if (active(q)) {
            r = take(q);
        }
        if (r) {
            serve(q, r, &batch, bounce);
        } else if (batch.count) { /* all that there is */
            pthread_mutex_unlock(&q->mutex);
            aio_submit(q->aio, &batch);
            pthread_mutex_lock(&q->mutex);
        } else if (q->leader || (!active(q) && (q->paused || !q->held))) {
            q->sleepers++;
            pthread_cond_wait(&q->idle, &q->mutex);
            q->sleepers--;
        } else {
            lead(q);
        }
    }
    pthread_mutex_unlock(&q->mutex);
    if (q->aio) aio_submit(q->aio, &batch);
    free(bounce);
    return NULL;
}

/* --- what the connection's thread does ---------------------------------------------------------------------------- */

void queue_pause(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->paused++;
    while (q->leader) {
        wake(q);
        pthread_cond_wait(&q->quiet, &q->mutex);
    }
}

void queue_resume(struct queue *q)
{
    q->paused--;
    int r = 0;
    struct chv_err err;
    if (active(q) && q->shared->capture->uring && q->threads == 0 && !q->aio &&
        aio_new(&q->shared->capture->disk, &q->aio, &err) < 0)
        fprintf(stderr, "chronovisor record: queue %u goes on with threads: %s\n", q->index, err.text);
    while (active(q) && r == 0 && q->threads < q->shared->threads) {
        r = pthread_create(&q->thread[q->threads], NULL, run, q);
        if (r == 0) q->threads++;
    }
    if (r != 0) fprintf(stderr, "chronovisor record: threads: %s\n", strerror(r));
    wake(q);
    pthread_cond_broadcast(&q->idle);
    pthread_mutex_unlock(&q->mutex);
}

void queue_drain(struct queue *q)
{
    while (q->held) {
        struct queue_request *r = q->held;
        q->held = r->next;
        answer(q, r, blk_fail(&r->chain));
    }
    while (q->busy) pthread_cond_wait(&q->quiet, &q->mutex);
}

void queue_set_fd(int *where, int fd)
{
    if (*where >= 0) close(*where);
    *where = fd;
}

void queue_fini(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->stop = true;
    wake(q);
    pthread_cond_broadcast(&q->idle);
    pthread_mutex_unlock(&q->mutex);
    while (q->threads > 0) pthread_join(q->thread[--q->threads], NULL);
    pthread_mutex_lock(&q->mutex);
    while (q->at_disk) pthread_cond_wait(&q->quiet, &q->mutex);
    pthread_mutex_unlock(&q->mutex);
    aio_free(q->aio);
    for (struct queue_request *r = q->held, *next; r; r = next) {
        next = r->next;
        request_put(q, r);
    }
    for (struct queue_request *r = q->free, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    vring_unmap(&q->ring);
    queue_set_fd(&q->kick, -1);
    queue_set_fd(&q->call, -1);
    close(q->wake);
    pthread_cond_destroy(&q->quiet);
    pthread_cond_destroy(&q->idle);
    pthread_mutex_destroy(&q->mutex);
}

/* Workers: everything about a block that can be known without its place in the log. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "store/digest.h"
#include "store/recorder_impl.h"

#define CLAIM 64u
#define LINGER_NS UINT64_C(1000000)
#define LOAD_NS UINT64_C(20000000) /* how often a worker looks whether it is in the way */
#define ENTROPY_RAW 60000u  /* 7.3 bits: will not shrink worth the time */
#define ENTROPY_EASY 43000u /* 5.2 bits: shrinks so much that writing less pays for the time */

bool worker_stored_already(const struct chv_recorder *rec, const uint8_t hash[32])
{
    if (memtable_find(rec->current, hash) || (rec->sealed && memtable_find(rec->sealed, hash))) return true;
    for (size_t i = rec->index->count; i-- > 0;) {
        const struct run *run = &rec->index->groups[i]->runs[RUN_LOC];
        uint8_t entry[RUN_WIDTH_MAX];
        uint64_t at;
        if (run_find(run, hash, 32, run_pages_tight(&rec->pages), &at, entry)) return true;
    }
    return false;
}

struct worker {
    struct chv_recorder *rec;
    ZSTD_CCtx *zstd;
    int schedstat; /* -1: this kernel does not tell */
    uint64_t looked_ns, ran_ns, waited_ns;
    bool contended;
    uint32_t packed[CLAIM]; /* buffers for compressed content */
    uint32_t packed_count;
};

/* With lock held. */
static void take_packed(struct worker *w, uint64_t n)
{
    struct queue *q = &w->rec->queue;
    while (w->packed_count < n && q->packed_unused_count > 0) w->packed[w->packed_count++] = q->packed_unused[--q->packed_unused_count];
}

/* Do others want the processor? Then this thread has spent more time waiting for it than using it. */
static void look_at_load(struct worker *w)
{
    char text[80];
    unsigned long long ran, waited;
    uint64_t now = clock_monotonic_ns();
    if (w->schedstat < 0 || now - w->looked_ns < LOAD_NS) return;
    w->looked_ns = now;
    ssize_t n = pread(w->schedstat, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%llu %llu", &ran, &waited) != 2) return;
    w->contended = waited - w->waited_ns > (ran - w->ran_ns) / 2;
    w->ran_ns = ran;
    w->waited_ns = waited;
}

/* Compression takes what time is left: with the queue filling, blocks are stored as they are; with the guest wanting the
 * processor, all but those that shrink most. */
static void compress(struct worker *w, struct slot *slot, uint64_t used)
{
    const struct queue *q = &w->rec->queue;
    uint32_t bytes = w->rec->meta.block_bytes;
    slot->codec = CODEC_RAW;
    slot->stored_bytes = bytes;
    if (slot->entropy > (w->contended ? ENTROPY_EASY : ENTROPY_RAW) || w->packed_count == 0 || used > q->count / 2) return;
    slot->packed = w->packed[w->packed_count - 1];
    int level = w->contended || used > q->count / 8 ? -5 : 1;
    size_t n = ZSTD_compressCCtx(w->zstd, queue_packed(q, slot), bytes, queue_data(q, slot), bytes, level);
    if (ZSTD_isError(n) || n > bytes - bytes / 8) return;
    w->packed_count--;
    slot->codec = CODEC_ZSTD;
    slot->stored_bytes = (uint32_t)n;
}

static void work(struct worker *w, uint64_t from, uint64_t to, uint64_t used)
{
    struct chv_recorder *rec = w->rec;
    struct digest_job jobs[CLAIM];
    size_t count = 0;
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        if (slot->has_data) jobs[count++] = (struct digest_job){queue_data(&rec->queue, slot), slot->hash, &slot->entropy};
    }
    digest_blocks(jobs, count, rec->meta.block_bytes);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        slot->drop = slot->drop || (slot->has_unless && memcmp(slot->hash, slot->extra, 32) == 0);
    }
    pthread_rwlock_rdlock(&rec->mem_lock);
    if (run_pages_spent(&rec->pages, count * rec->index->count))
        index_let_go(rec->index, &rec->pages, RECORDER_RESIDENT_BYTES + rec->queue.map_bytes);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        slot->indexed = rec->indexed;
        slot->known = slot->has_data && !slot->drop && worker_stored_already(rec, slot->hash);
    }
    pthread_rwlock_unlock(&rec->mem_lock);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        if (slot->has_data && !slot->drop && !slot->known) compress(w, slot, used);
        atomic_store_explicit(&slot->state, SLOT_DONE, memory_order_release);
    }
}

/* With lock held: how many positions can be taken? Not what is reserved and still being filled. */
static uint64_t ready_ahead(const struct chv_recorder *rec)
{
    uint64_t n = 0;
    while (n < CLAIM && rec->claim + n < rec->head &&
           atomic_load_explicit(&queue_slot(&rec->queue, rec->claim + n)->state, memory_order_acquire) == SLOT_READY)
        n++;
    return n;
}

/* With lock held, something to do: is it enough, or awaited? */
static bool hurry(const struct chv_recorder *rec)
{
    return rec->head - rec->claim >= CLAIM || rec->want > rec->claim || rec->space_waiters > 0 || rec->stopping ||
           rec->seal_wanted || rec->error;
}

/* Small requests come one by one: let some gather, or waking up for each costs more than the work. */
static void linger(struct chv_recorder *rec)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + LINGER_NS;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    rec->lingering = true;
    while (!hurry(rec) && pthread_cond_timedwait(&rec->linger_cv, &rec->lock, &until) == 0) {}
    rec->lingering = false;
}

void worker_wake(struct chv_recorder *rec)
{
    uint64_t n = rec->head - rec->claim;
    if (n == 0) return;
    if (rec->lingering && hurry(rec)) pthread_cond_signal(&rec->linger_cv);
    /* who lingers or works will come to it; a second one only for more than the first takes at once */
    bool busy = rec->lingering || rec->idle_workers < rec->worker_count;
    if (rec->idle_workers && (!busy || n > CLAIM)) pthread_cond_signal(&rec->work_cv);
}

void worker_filled(struct chv_recorder *rec, uint64_t end)
{
    /* Against a worker that goes to sleep: it says so before it looks whether slots are filled, we look after filling. */
    atomic_thread_fence(memory_order_seq_cst);
    if (rec->idle_workers == 0 || (rec->lingering && end - rec->claim < CLAIM)) return;
    pthread_mutex_lock(&rec->lock);
    worker_wake(rec);
    pthread_mutex_unlock(&rec->lock);
}

/* With lock held: wait until there is something to take; how much. 0: stopping, and nothing left. */
static uint64_t wait_for_slots(struct chv_recorder *rec)
{
    for (;;) {
        uint64_t n = rec->lingering && !hurry(rec) ? 0 : ready_ahead(rec);
        if (n > 0 && !hurry(rec)) {
            linger(rec);
            n = ready_ahead(rec);
        }
        if (n > 0) return n;
        if (rec->stopping && rec->claim == rec->head) return 0;
        rec->idle_workers++;
        atomic_thread_fence(memory_order_seq_cst);
        if (rec->lingering || ready_ahead(rec) == 0) pthread_cond_wait(&rec->work_cv, &rec->lock);
        rec->idle_workers--;
    }
}

void *worker_main(void *arg)
{
    struct chv_recorder *rec = arg;
    struct worker w = {.rec = rec, .zstd = ZSTD_createCCtx()};
    if (!w.zstd) {
        struct chv_err err;
        chv_err_set(&err, ENOMEM, "recorder: out of memory");
        recorder_fail(rec, &err);
        return NULL;
    }
    w.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    pthread_mutex_lock(&rec->lock);
    for (uint64_t n; (n = wait_for_slots(rec)) > 0;) {
        uint64_t from = rec->claim, used = rec->head - rec->freed;
        /* Share what somebody waits for between the workers. */
        if (rec->want > from && n > CLAIM / 2) n = (n + rec->worker_count - 1) / rec->worker_count;
        rec->claim += n;
        take_packed(&w, n);
        worker_wake(rec);
        pthread_mutex_unlock(&rec->lock);
        work(&w, from, from + n, used);
        look_at_load(&w);
        pthread_mutex_lock(&rec->lock);
        rec->finished += n;
        if (committer_due(rec) || rec->committer_idle) pthread_cond_signal(&rec->done_cv);
    }
    pthread_mutex_unlock(&rec->lock);
    if (w.schedstat >= 0) close(w.schedstat);
    ZSTD_freeCCtx(w.zstd);
    return NULL;
}

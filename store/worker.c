/* Workers: everything about a block that can be known without its place in the log. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "store/digest.h"
#include "store/recorder_impl.h"

#define CLAIM 32u
#define LINGER_NS UINT64_C(1000000)
#define ENTROPY_RAW 60000u /* 7.3 bits: will not shrink worth the time */

/* With mem_lock held. */
static bool stored_already(const struct chv_recorder *rec, const uint8_t hash[32])
{
    if (memtable_find(rec->current, hash) || (rec->sealed && memtable_find(rec->sealed, hash))) return true;
    for (size_t i = rec->index->count; i-- > 0;) {
        const struct run *run = &rec->index->groups[i]->runs[RUN_LOC];
        uint64_t at = run_lower_bound(run, hash, 32);
        if (at < run->count && memcmp(run_entry(run, at, 40), hash, 32) == 0) return true;
    }
    return false;
}

/* zstd as hard as the queue's filling allows: behind, blocks are stored as they are. */
static void compress(const struct chv_recorder *rec, ZSTD_CCtx *zstd, struct slot *slot, uint64_t position, uint64_t used)
{
    uint32_t bytes = rec->meta.block_bytes;
    slot->codec = CODEC_RAW;
    slot->stored_bytes = bytes;
    if (slot->entropy > ENTROPY_RAW || used > rec->queue.count / 2) return;
    int level = used > rec->queue.count / 8 ? -5 : 1;
    size_t n = ZSTD_compressCCtx(zstd, queue_packed(&rec->queue, position), bytes, queue_data(&rec->queue, position),
                                 bytes, level);
    if (ZSTD_isError(n) || n > bytes - bytes / 8) return;
    slot->codec = CODEC_ZSTD;
    slot->stored_bytes = (uint32_t)n;
}

static void work(struct chv_recorder *rec, ZSTD_CCtx *zstd, uint64_t from, uint64_t to, uint64_t used)
{
    struct digest_job jobs[CLAIM];
    size_t count = 0;
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        while (atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_EMPTY) sched_yield(); /* being filled */
        if (slot->has_data) jobs[count++] = (struct digest_job){queue_data(&rec->queue, p), slot->hash, &slot->entropy};
    }
    digest_blocks(jobs, count, rec->meta.block_bytes);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        slot->drop = slot->drop || (slot->has_unless && memcmp(slot->hash, slot->extra, 32) == 0);
    }
    pthread_rwlock_rdlock(&rec->mem_lock);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        slot->known = slot->has_data && !slot->drop && stored_already(rec, slot->hash);
    }
    pthread_rwlock_unlock(&rec->mem_lock);
    for (uint64_t p = from; p < to; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        if (slot->has_data && !slot->drop && !slot->known) compress(rec, zstd, slot, p, used);
        atomic_store_explicit(&slot->state, SLOT_DONE, memory_order_release);
    }
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
    if (rec->claim == rec->head) return;
    bool now = hurry(rec);
    if (rec->lingering && now) pthread_cond_signal(&rec->linger_cv);
    if (rec->idle_workers && (!rec->lingering || (now && rec->head - rec->claim > CLAIM)))
        pthread_cond_signal(&rec->work_cv);
}

void *worker_main(void *arg)
{
    struct chv_recorder *rec = arg;
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (!zstd) {
        struct chv_err err;
        chv_err_set(&err, ENOMEM, "recorder: out of memory");
        recorder_fail(rec, &err);
        return NULL;
    }
    pthread_mutex_lock(&rec->lock);
    for (;;) {
        while (!rec->stopping && (rec->claim == rec->head || (rec->lingering && !hurry(rec)))) {
            rec->idle_workers++;
            pthread_cond_wait(&rec->work_cv, &rec->lock);
            rec->idle_workers--;
        }
        if (rec->claim == rec->head) break; /* stopping, and nothing left */
        if (!hurry(rec)) {
            linger(rec);
            if (rec->claim == rec->head) continue;
        }
        uint64_t from = rec->claim, n = rec->head - from, used = rec->head - rec->freed;
        /* Share a short queue between the workers when somebody waits, take long strides of a long one. */
        uint64_t share = hurry(rec) ? n / rec->worker_count + 1 : n;
        if (n > share) n = share;
        if (n > CLAIM) n = CLAIM;
        rec->claim += n;
        worker_wake(rec);
        pthread_mutex_unlock(&rec->lock);
        work(rec, zstd, from, from + n, used);
        pthread_mutex_lock(&rec->lock);
        pthread_cond_signal(&rec->done_cv);
    }
    pthread_mutex_unlock(&rec->lock);
    ZSTD_freeCCtx(zstd);
    return NULL;
}

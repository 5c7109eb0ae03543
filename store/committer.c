/* The committer: gives order, writes packs and log, and makes both durable. The only writer of either. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "store/recorder_impl.h"

#define BATCH 256u
#define COMMIT_ROOM 8u /* places kept in a segment for its last COMMITs */
#define IDLE_COMMIT_NS UINT64_C(200000000) /* what nobody waits for is durable after about this long */

int committer_next_segment(struct chv_recorder *rec, struct chv_err *err)
{
    return segment_create(&rec->segment, rec->segment.number + 1, rec->seq + 1, 0, rec->prev_digest, err);
}

/* Events are nothing to anybody before a COMMIT covers them: their blocks may still be in memory. */
static int write_events(struct chv_recorder *rec, struct chv_err *err)
{
    if (rec->event_written == rec->event_count) return 0;
    int r = segment_append(&rec->segment, rec->events + rec->event_written, rec->event_count - rec->event_written, err);
    if (r == 0) rec->event_written = rec->event_count;
    return r;
}

static int write_out(struct chv_recorder *rec, struct chv_err *err)
{
    int r = pack_flush(&rec->pack, err);
    return r < 0 ? r : write_events(rec, err);
}

static struct chv_event *new_event(struct chv_recorder *rec, uint8_t op, uint64_t time_ns)
{
    struct chv_event *e = &rec->events[rec->event_count++];
    memset(e, 0, sizeof *e);
    if (time_ns > rec->event_time_ns) rec->event_time_ns = time_ns;
    e->seq = ++rec->seq;
    e->time_ns = rec->event_time_ns;
    e->op = op;
    return e;
}

static int sync_pack(struct chv_recorder *rec, struct chv_err *err)
{
    if (rec->synced_pack == rec->pack.number && rec->synced_pack_bytes == rec->pack.bytes) return 0;
    int r = rec->io->datasync(rec->io, rec->pack.fd);
    if (r < 0) return chv_err_set(err, -r, "packs/%08llu.pack: %s", (unsigned long long)rec->pack.number, strerror(-r));
    rec->synced_pack = rec->pack.number;
    rec->synced_pack_bytes = rec->pack.bytes;
    return 0;
}

/* Write a COMMIT. With `sync`, packs are durable before it is written and the log when this returns. */
static int commit(struct chv_recorder *rec, bool sync, struct chv_err *err)
{
    if (rec->commit_seq == rec->seq && (rec->commit_synced || !sync)) return 0; /* nothing since the last one */
    int r = write_out(rec, err);
    if (r == 0 && sync) r = sync_pack(rec, err);
    if (r < 0) return r;
    struct chv_event *e = new_event(rec, CHV_OP_COMMIT, 0);
    e->sectors = (uint32_t)rec->pack.number;
    e->flags = sync ? CHV_EVENT_FUA : 0;
    chv_event_set_lba(e, rec->pack.bytes);
    r = write_out(rec, err);
    rec->commit_seq = rec->seq;
    rec->commit_synced = sync;
    if (r == 0 && sync && (r = rec->io->datasync(rec->io, rec->segment.fd)) < 0)
        chv_err_set(err, -r, "log/%08llu.seg: %s", (unsigned long long)rec->segment.number, strerror(-r));
    return r;
}

/* Hand the sealed segment to the indexer; waits while the one before is not done, so memory is bounded. */
static int hand_over(struct chv_recorder *rec, struct chv_err *err)
{
    pthread_mutex_lock(&rec->index_lock);
    while (rec->job.busy) pthread_cond_wait(&rec->index_cv, &rec->index_lock);
    struct memtable *fresh = rec->spare_table ? rec->spare_table : memtable_new();
    struct chv_event *events = rec->spare_events ? rec->spare_events : events_new();
    rec->spare_table = NULL;
    rec->spare_events = NULL;
    if (!fresh || !events) {
        pthread_mutex_unlock(&rec->index_lock);
        free(fresh);
        free(events);
        return chv_err_set(err, ENOMEM, "recorder: out of memory");
    }
    pthread_rwlock_wrlock(&rec->mem_lock);
    rec->sealed = rec->current;
    rec->current = fresh;
    pthread_rwlock_unlock(&rec->mem_lock);
    rec->job = (struct index_job){.busy = true, .events = rec->events, .count = rec->event_count, .table = rec->sealed,
                                  .pack = rec->pack.number, .pack_bytes = rec->pack.bytes};
    rec->events = events;
    rec->event_count = rec->event_written = 0;
    pthread_cond_broadcast(&rec->index_cv);
    pthread_mutex_unlock(&rec->index_lock);
    return 0;
}

static int rotate_segment(struct chv_recorder *rec, struct chv_err *err)
{
    int r = commit(rec, true, err);
    if (r == 0) r = segment_seal(&rec->segment, rec->seq, rec->event_time_ns, rec->prev_digest, err);
    if (r == 0) r = hand_over(rec, err);
    if (r == 0) r = committer_next_segment(rec, err);
    return r;
}

static int rotate_pack(struct chv_recorder *rec, struct chv_err *err)
{
    int r = pack_seal(&rec->pack, err);
    return r < 0 ? r : pack_create(&rec->pack, rec->pack.number + 1, err);
}

/* Store the slot's content unless it is known by now. */
static int store_block(struct chv_recorder *rec, const struct slot *slot, bool *is_new, struct chv_err *err)
{
    *is_new = false;
    if (slot->known) return 0;
    if (memtable_find(rec->current, slot->hash)) return 0;
    if (rec->sealed || rec->indexed != slot->indexed) {
        pthread_rwlock_rdlock(&rec->mem_lock); /* the indexer takes `sealed` away, into the index */
        bool known = rec->indexed != slot->indexed ? worker_stored_already(rec, slot->hash)
                                                   : rec->sealed && memtable_find(rec->sealed, slot->hash);
        pthread_rwlock_unlock(&rec->mem_lock);
        if (known) return 0;
    }
    if (pack_full(&rec->pack)) {
        int r = rotate_pack(rec, err);
        if (r < 0) return r;
    }
    pack_loc loc;
    const uint8_t *stored = slot->codec == CODEC_ZSTD ? queue_packed(&rec->queue, slot) : queue_data(&rec->queue, slot);
    int r = pack_add(&rec->pack, slot->hash, slot->codec, stored, slot->stored_bytes, &loc, err);
    if (r < 0) return r;
    memtable_insert(rec->current, slot->hash, loc);
    *is_new = true;
    return 0;
}

static int log_slot(struct chv_recorder *rec, struct slot *slot, struct chv_recorder_stats *stats, struct chv_err *err)
{
    bool is_new = false;
    if (slot->drop) return 0;
    if (rec->event_count + COMMIT_ROOM > rec->segment_events) {
        int r = rotate_segment(rec, err);
        if (r < 0) return r;
    }
    if (slot->has_data) {
        int r = store_block(rec, slot, &is_new, err);
        if (r < 0) return r;
        stats->blocks++;
        *(is_new ? &stats->new_blocks : &stats->duplicate_blocks) += 1;
        if (is_new) stats->stored_bytes += slot->stored_bytes;
    }
    struct chv_event *e = new_event(rec, slot->op, slot->time_ns);
    chv_event_set_lba(e, slot->lba);
    e->sectors = slot->sectors;
    e->space = slot->space;
    e->flags = (uint8_t)(slot->flags | (is_new ? CHV_EVENT_NEW : 0));
    e->entropy = slot->entropy; /* of content, or of what a gap does not keep */
    memcpy(e->hash, slot->has_data ? slot->hash : slot->extra, 32);
    atomic_store_explicit(&slot->seq, e->seq, memory_order_relaxed);
    stats->events++;
    return 0;
}

/* The compressed content of `n` positions from `next` is in the pack's buffer. With lock held. */
static void free_packed(struct chv_recorder *rec, uint64_t n)
{
    struct queue *q = &rec->queue;
    for (uint64_t p = rec->next; p < rec->next + n; p++) {
        struct slot *slot = queue_slot(q, p);
        if (slot->codec != CODEC_ZSTD) continue;
        q->packed_unused[q->packed_unused_count++] = slot->packed;
        slot->codec = CODEC_RAW;
    }
}

/* Free the slots below `to`: a COMMIT that covers them is in the log file. With lock held. */
static void free_slots(struct chv_recorder *rec, uint64_t to)
{
    struct queue *q = &rec->queue;
    for (uint64_t p = rec->freed; p < to; p++) {
        struct slot *slot = queue_slot(q, p);
        if (slot->has_data) queue_give(q, slot->buffer);
        atomic_store_explicit(&slot->state, SLOT_EMPTY, memory_order_relaxed);
    }
    rec->freed = to;
    atomic_store_explicit(&rec->queue.file->tail, to, memory_order_release);
    if (rec->space_waiters) pthread_cond_broadcast(&rec->space_cv);
}

/* With lock held: how many positions from `next` on are DONE (at most BATCH)? */
static uint64_t done_ahead(const struct chv_recorder *rec)
{
    uint64_t n = 0;
    while (n < BATCH && rec->next + n < rec->claim &&
           atomic_load_explicit(&queue_slot(&rec->queue, rec->next + n)->state, memory_order_acquire) == SLOT_DONE)
        n++;
    return n;
}

bool committer_due(const struct chv_recorder *rec)
{
    uint64_t enough = rec->queue.count / 8 < BATCH ? rec->queue.count / 8 : BATCH;
    return rec->finished - rec->next >= enough || (rec->want > rec->durable && rec->finished >= rec->want) ||
           rec->space_waiters || rec->stopping || rec->seal_wanted || rec->error;
}

/* With lock held. */
static void wait_for_work(struct chv_recorder *rec)
{
    struct timespec until;
    if (rec->durable == rec->next && done_ahead(rec) == 0) { /* nothing waits to become durable: sleep until called */
        rec->committer_idle = true;
        pthread_cond_wait(&rec->done_cv, &rec->lock);
        rec->committer_idle = false;
        rec->synced_ns = clock_monotonic_ns();
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + IDLE_COMMIT_NS;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&rec->done_cv, &rec->lock, &until);
}

static int process(struct chv_recorder *rec, uint64_t n, struct chv_recorder_stats *stats, struct chv_err *err)
{
    int r = 0;
    for (uint64_t i = 0; i < n; i++) memtable_prefetch(rec->current, queue_slot(&rec->queue, rec->next + i)->hash);
    for (uint64_t i = 0; r == 0 && i < n; i++)
        r = log_slot(rec, queue_slot(&rec->queue, rec->next + i), stats, err);
    if (r == 0) r = pack_drain(&rec->pack, err);
    return r < 0 ? r : write_events(rec, err);
}

static void add_stats(struct chv_recorder_stats *to, const struct chv_recorder_stats *from)
{
    to->events += from->events;
    to->blocks += from->blocks;
    to->new_blocks += from->new_blocks;
    to->duplicate_blocks += from->duplicate_blocks;
    to->stored_bytes += from->stored_bytes;
}

void *committer_main(void *arg)
{
    struct chv_recorder *rec = arg;
    struct chv_err err = {0};
    int r = 0;
    pthread_mutex_lock(&rec->lock);
    while (r == 0) {
        uint64_t n = done_ahead(rec);
        bool late = clock_monotonic_ns() - rec->synced_ns > IDLE_COMMIT_NS;
        /* Group commit: once everything that anybody waits for is logged, or when it is time. */
        bool sync = rec->next > rec->durable && ((rec->want > rec->durable && rec->next >= rec->want) || late);
        if (!late && !committer_due(rec)) n = 0; /* little by little costs more wake-ups than work */
        bool drained = n == 0 && rec->stopping && rec->next == rec->head;
        bool starved = n == 0 && rec->space_waiters && rec->next > rec->freed; /* slots wait only for a COMMIT */
        bool seal = n == 0 && rec->seal_wanted && rec->next == rec->head;
        if (n == 0 && !sync && !drained && !starved && !seal) {
            wait_for_work(rec);
            continue;
        }
        uint64_t next = rec->next;
        bool make_room = starved || rec->next + n - rec->freed > rec->queue.count / 16;
        pthread_mutex_unlock(&rec->lock);
        struct chv_recorder_stats stats = {0};
        bool committed = false;
        if (seal) {
            r = rec->event_count ? rotate_segment(rec, &err) : 0;
            committed = sync = r == 0;
        } else if (sync || (drained && next > rec->durable)) {
            r = commit(rec, true, &err);
            committed = sync = r == 0;
        } else if (!drained) {
            r = process(rec, n, &stats, &err);
            next += n;
            if (r == 0 && make_room) {
                r = commit(rec, false, &err);
                committed = r == 0;
            }
        }
        pthread_mutex_lock(&rec->lock);
        if (r < 0) break;
        free_packed(rec, next - rec->next);
        rec->next = next;
        add_stats(&rec->stats, &stats);
        if (committed) {
            rec->stats.commits++;
            free_slots(rec, next);
        }
        if (committed && sync) {
            if (seal) rec->seal_wanted = false;
            rec->durable = next;
            rec->synced_ns = clock_monotonic_ns();
            rec->stats.last_seq = rec->seq;
            pthread_cond_broadcast(&rec->durable_cv);
        }
        if (drained) break;
    }
    rec->committer_done = true;
    pthread_mutex_unlock(&rec->lock);
    if (r < 0) recorder_fail(rec, &err);
    return NULL;
}

/* Appending: what callers' threads do. Slots are reserved under the lock and filled without it. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "store/recorder_impl.h"

static bool takes_blocks(uint8_t op)
{
    return chv_op_has_content(op);
}

static uint64_t per_block(const struct chv_recorder *rec)
{
    return rec->meta.block_bytes / CHV_SECTOR_BYTES;
}

/* How many queue slots does a request take? */
static uint64_t slots_of(const struct chv_recorder *rec, const struct chv_record *r)
{
    if (!takes_blocks(r->op)) return 1;
    return (r->lba + r->sectors + per_block(rec) - 1) / per_block(rec) - r->lba / per_block(rec);
}

static void fill_common(struct slot *slot, const struct chv_record *r, uint64_t position, uint64_t time_ns)
{
    slot->position = position;
    slot->time_ns = time_ns;
    slot->seq = 0;
    slot->space = r->space;
    slot->op = r->op;
    slot->flags = r->flags;
    slot->entropy = 0;
    slot->has_data = slot->has_unless = slot->drop = slot->known = 0;
    slot->codec = CODEC_RAW;
    memset(slot->extra, 0, sizeof slot->extra);
}

static void fill_one(struct chv_recorder *rec, const struct chv_record *r, uint64_t position, uint64_t time_ns)
{
    struct slot *slot = queue_slot(&rec->queue, position);
    fill_common(slot, r, position, time_ns);
    slot->lba = r->lba;
    slot->sectors = r->sectors;
    if (r->op == CHV_OP_GAP) {
        memcpy(slot->extra, &r->gap, sizeof slot->extra);
        slot->entropy = r->gap.entropy;
    }
    if (r->op == CHV_OP_SPACE || r->op == CHV_OP_MARK || r->op == CHV_OP_PRUNE) memcpy(slot->extra, r->data, sizeof slot->extra);
    atomic_store_explicit(&slot->state, SLOT_READY, memory_order_release);
}

/* Blocks [from, from + n) of a request with content. */
static void fill_blocks(struct chv_recorder *rec, const struct chv_record *r, uint64_t from, uint64_t n,
                        uint64_t position, uint64_t time_ns)
{
    uint64_t unit = per_block(rec), first_block = r->lba / unit, end_lba = r->lba + r->sectors;
    for (uint64_t i = from; i < from + n; i++, position++) {
        struct slot *slot = queue_slot(&rec->queue, position);
        uint64_t start = (first_block + i) * unit, stop = start + unit;
        fill_common(slot, r, position, time_ns);
        if (i > 0) slot->flags |= CHV_EVENT_CONTINUED;
        if (start < r->lba || stop > end_lba) slot->flags |= CHV_EVENT_PARTIAL;
        if (start < r->lba) start = r->lba;
        if (stop > end_lba) stop = end_lba;
        slot->lba = start;
        slot->sectors = (uint32_t)(stop - start);
        slot->has_data = 1;
        uint8_t *copy = queue_data(&rec->queue, slot);
        memcpy(copy, (const uint8_t *)r->data + i * rec->meta.block_bytes, rec->meta.block_bytes);
        if (r->hold) r->hold[i] = copy;
        if (r->unless) {
            slot->has_unless = 1;
            memcpy(slot->extra, r->unless[i], 32);
        }
        atomic_store_explicit(&slot->state, SLOT_READY, memory_order_release);
    }
}

/* With lock held: the instant of a request. */
static uint64_t stamp(struct chv_recorder *rec, uint64_t time_ns)
{
    if (time_ns == 0) time_ns = rec->clock_ns ? rec->clock_ns : clock_now_ns();
    if (time_ns > rec->last_time_ns) rec->last_time_ns = time_ns;
    return rec->last_time_ns;
}

/* With lock held: account for a request that will not be recorded. */
static void lose(struct chv_recorder *rec, const struct chv_record *r, uint64_t events, uint8_t reason)
{
    if (!chv_op_is_version(r->op)) return; /* a read or flush unseen leaves no hole in what blocks held */
    uint64_t unit = per_block(rec);
    queue_add_gap(&rec->queue, r->space, r->lba / unit, (r->lba + r->sectors + unit - 1) / unit, events,
                  stamp(rec, r->time_ns), reason);
    rec->stats.gaps++;
}

/* With lock held: is there room for n slots, of which `blocks` have content? */
static bool has_room(const struct chv_recorder *rec, uint64_t n, uint64_t blocks)
{
    return rec->head + n - rec->freed <= rec->queue.count && blocks <= rec->queue.unused_count;
}

/* With lock held: wait for the committer to free slots, or held buffers to be given back. */
static void wait_for_room(struct chv_recorder *rec, uint64_t n, uint64_t blocks)
{
    rec->space_waiters++;
    pthread_cond_signal(&rec->done_cv); /* the committer may hold slots that only wait for a COMMIT */
    worker_wake(rec);
    while (!rec->error && !has_room(rec, n, blocks)) pthread_cond_wait(&rec->space_cv, &rec->lock);
    rec->space_waiters--;
}

/* With lock held: reserve n slots, of which `blocks` have content; returns the position, or UINT64_MAX when there is
 * no room and no waiting. */
static uint64_t reserve(struct chv_recorder *rec, uint64_t n, uint64_t blocks, bool may_wait)
{
    if (!has_room(rec, n, blocks)) {
        rec->stats.waits++;
        if (!may_wait) return UINT64_MAX;
        wait_for_room(rec, n, blocks);
        if (rec->error) return UINT64_MAX;
    }
    uint64_t position = rec->head;
    rec->head += n;
    /* The file's head may only cover slots whose age recovery can tell: mark them before moving it. */
    for (uint64_t p = position; p < rec->head; p++) queue_slot(&rec->queue, p)->position = UINT64_MAX;
    atomic_store_explicit(&rec->queue.file->head, rec->head, memory_order_release);
    return position;
}

/* With lock held: buffers for n reserved slots. */
static void take_buffers(struct chv_recorder *rec, const struct chv_record *r, uint64_t position, uint64_t n)
{
    for (uint64_t p = position; p < position + n; p++)
        queue_slot(&rec->queue, p)->buffer = queue_take(&rec->queue, r->hold ? 2 : 1);
}

/* With lock held: say what was lost, now that there is room. */
static void emit_gaps(struct chv_recorder *rec)
{
    struct queue_file *f = rec->queue.file;
    while (f->gap_count > 0 && has_room(rec, 1, 0) && !rec->error) {
        struct queue_gap *g = &f->gaps[f->gap_count - 1];
        uint64_t unit = per_block(rec), blocks = g->end_block - g->first_block;
        bool all = blocks * unit <= UINT32_MAX;
        if (!all) blocks = UINT32_MAX / unit;
        struct chv_record r = {.space = g->space, .op = CHV_OP_GAP, .lba = g->first_block * unit,
                               .sectors = (uint32_t)(blocks * unit),
                               .gap = {.reason = g->reason, .events = g->events, .first_time_ns = g->first_time_ns}};
        uint64_t position = reserve(rec, 1, 0, false);
        fill_one(rec, &r, position, stamp(rec, 0));
        if (all)
            f->gap_count--;
        else
            g->first_block += blocks;
    }
    worker_wake(rec);
}

void recorder_say_gaps(struct chv_recorder *rec)
{
    pthread_mutex_lock(&rec->lock);
    while (rec->queue.file->gap_count > 0 && !rec->error) {
        wait_for_room(rec, 1, 0);
        emit_gaps(rec);
    }
    pthread_mutex_unlock(&rec->lock);
}

/* May a full queue lose it, as configured? Only what a guest did: what was found by looking can wait, and the log
 * could not be read without the rest. */
static bool may_lose(const struct chv_recorder *rec, const struct chv_record *records, size_t count)
{
    bool guest = false;
    for (size_t i = 0; i < count; i++) {
        uint8_t op = records[i].op;
        guest |= op == CHV_OP_WRITE || op == CHV_OP_ZERO || op == CHV_OP_TRIM || op == CHV_OP_READ;
    }
    return guest && rec->gap_when_behind;
}

/* Append one request's slots, in pieces when it is larger than half the queue. 0, CHV_APPEND_GAP or -errno. */
static int append_large(struct chv_recorder *rec, const struct chv_record *r, uint64_t slots, bool may_wait, uint64_t *ticket)
{
    uint64_t piece = rec->queue.count / 4;
    for (uint64_t from = 0; from < slots; from += piece) {
        uint64_t n = slots - from < piece ? slots - from : piece;
        uint64_t position = reserve(rec, n, n, may_wait);
        if (position == UINT64_MAX) {
            if (rec->error && !rec->gap_when_behind) return -rec->error;
            struct chv_record rest = *r;
            rest.lba = (r->lba / per_block(rec) + from) * per_block(rec);
            if (from == 0) rest.lba = r->lba;
            rest.sectors = (uint32_t)(r->lba + r->sectors - rest.lba);
            lose(rec, &rest, slots - from, rec->error ? CHV_GAP_STORE_ERROR : CHV_GAP_QUEUE_FULL);
            return CHV_APPEND_GAP;
        }
        take_buffers(rec, r, position, n);
        uint64_t now = stamp(rec, r->time_ns);
        *ticket = rec->head;
        pthread_mutex_unlock(&rec->lock);
        fill_blocks(rec, r, from, n, position, now);
        pthread_mutex_lock(&rec->lock);
        worker_wake(rec);
    }
    return 0;
}

static int validate(const struct chv_recorder *rec, const struct chv_record *r, struct chv_err *err)
{
    if (takes_blocks(r->op) && (!r->data || r->sectors == 0))
        return chv_err_set(err, EINVAL, "recorder: a request with content needs data and a length");
    if (r->lba > CHV_LBA_MAX || r->lba + r->sectors > CHV_LBA_MAX)
        return chv_err_set(err, EINVAL, "recorder: lba %llu is beyond the format's limit", (unsigned long long)r->lba);
    if ((r->op == CHV_OP_ZERO || r->op == CHV_OP_TRIM || r->op == CHV_OP_GAP) && r->lba % per_block(rec) != 0)
        return chv_err_set(err, EINVAL, "recorder: a range must begin at a block");
    if (r->op == 0 || r->op > CHV_OP_MAX || r->op == CHV_OP_COMMIT)
        return chv_err_set(err, EINVAL, "recorder: operation %u is not for sensors", r->op);
    return 0;
}

/* A request's slots in numbers, before the lock is taken. */
struct sum {
    uint64_t slots, blocks, bytes; /* blocks: slots with content */
    bool holds;
};

static int add_up(const struct chv_recorder *rec, const struct chv_record *records, size_t count, struct sum *sum,
                  struct chv_err *err)
{
    *sum = (struct sum){0};
    for (size_t i = 0; i < count; i++) {
        int r = validate(rec, &records[i], err);
        if (r < 0) return r;
        uint64_t slots = slots_of(rec, &records[i]);
        sum->slots += slots;
        sum->blocks += takes_blocks(records[i].op) ? slots : 0;
        sum->bytes += (uint64_t)records[i].sectors * CHV_SECTOR_BYTES;
        sum->holds |= records[i].hold != NULL;
    }
    if (sum->holds && sum->slots > rec->queue.count / 2)
        return chv_err_set(err, EINVAL, "recorder: %llu blocks are more than the queue can hold for its caller",
                           (unsigned long long)sum->slots);
    return 0;
}

/* With lock held. */
static void count_in(struct chv_recorder *rec, size_t requests, const struct sum *sum)
{
    rec->stats.requests += requests;
    rec->stats.bytes += sum->bytes;
}

/* With lock held, which is given up. All requests at once: their slots are adjacent. */
static int append_whole(struct chv_recorder *rec, const struct chv_record *records, size_t count, const struct sum *sum,
                        uint64_t *ticket, struct chv_err *err)
{
    uint64_t position = rec->error ? UINT64_MAX : reserve(rec, sum->slots, sum->blocks, !may_lose(rec, records, count));
    if (position == UINT64_MAX) {
        int r = rec->error && !rec->gap_when_behind ? recorder_sticky(rec, err) : CHV_APPEND_GAP;
        for (size_t i = 0; r == CHV_APPEND_GAP && i < count; i++)
            lose(rec, &records[i], slots_of(rec, &records[i]), rec->error ? CHV_GAP_STORE_ERROR : CHV_GAP_QUEUE_FULL);
        if (r == CHV_APPEND_GAP) count_in(rec, count, sum);
        *ticket = rec->head;
        pthread_mutex_unlock(&rec->lock);
        return r;
    }
    uint64_t now = 0, p = position;
    for (size_t i = 0; i < count; i++) {
        uint64_t slots = slots_of(rec, &records[i]);
        now = stamp(rec, records[i].time_ns);
        if (takes_blocks(records[i].op)) take_buffers(rec, &records[i], p, slots);
        p += slots;
    }
    *ticket = rec->head;
    count_in(rec, count, sum);
    pthread_mutex_unlock(&rec->lock);
    for (size_t i = 0; i < count; i++) {
        uint64_t slots = slots_of(rec, &records[i]);
        if (takes_blocks(records[i].op))
            fill_blocks(rec, &records[i], 0, slots, position, now);
        else
            fill_one(rec, &records[i], position, now);
        position += slots;
    }
    worker_filled(rec, position);
    return 0;
}

/* With lock held, which is given up. More than half of the queue. */
static int append_in_pieces(struct chv_recorder *rec, const struct chv_record *records, size_t count, const struct sum *sum,
                            uint64_t *ticket, struct chv_err *err)
{
    bool gap = false, may_wait = !may_lose(rec, records, count);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (takes_blocks(records[i].op)) {
            r = append_large(rec, &records[i], slots_of(rec, &records[i]), may_wait, ticket);
            gap |= r == CHV_APPEND_GAP;
            r = r < 0 ? r : 0;
            continue;
        }
        uint64_t position = reserve(rec, 1, 0, true);
        if (position == UINT64_MAX) {
            r = -rec->error;
            break;
        }
        fill_one(rec, &records[i], position, stamp(rec, records[i].time_ns));
        *ticket = rec->head;
    }
    if (r == 0) {
        count_in(rec, count, sum);
        worker_wake(rec);
    } else {
        r = recorder_sticky(rec, err);
    }
    pthread_mutex_unlock(&rec->lock);
    return r == 0 && gap ? CHV_APPEND_GAP : r;
}

int chv_recorder_append(struct chv_recorder *rec, const struct chv_record *records, size_t count, uint64_t *ticket,
                        struct chv_err *err)
{
    struct sum sum;
    uint64_t last;
    int r = add_up(rec, records, count, &sum, err);
    if (r < 0) return r;
    pthread_mutex_lock(&rec->lock);
    last = rec->head;
    if (rec->error && !rec->gap_when_behind) {
        r = recorder_sticky(rec, err);
        pthread_mutex_unlock(&rec->lock);
    } else {
        if (rec->queue.file->gap_count) emit_gaps(rec);
        last = rec->head;
        r = sum.slots <= rec->queue.count / 2 ? append_whole(rec, records, count, &sum, &last, err)
                                              : append_in_pieces(rec, records, count, &sum, &last, err);
    }
    if (ticket) *ticket = last;
    return r;
}

#include <errno.h>
#include <string.h>

#include "store/recorder_impl.h"

void recorder_fail(struct chv_recorder *rec, const struct chv_err *err)
{
    pthread_mutex_lock(&rec->lock);
    if (!rec->error) {
        rec->error = err->code ? err->code : EIO;
        rec->error_text = *err;
    }
    pthread_cond_broadcast(&rec->space_cv);
    pthread_cond_broadcast(&rec->durable_cv);
    pthread_cond_broadcast(&rec->work_cv);
    pthread_cond_broadcast(&rec->linger_cv);
    pthread_cond_broadcast(&rec->done_cv);
    pthread_mutex_unlock(&rec->lock);
}

int recorder_sticky(const struct chv_recorder *rec, struct chv_err *err)
{
    if (err) *err = rec->error_text;
    return -rec->error;
}

int chv_recorder_wait(struct chv_recorder *rec, uint64_t ticket, struct chv_err *err)
{
    int r = 0;
    pthread_mutex_lock(&rec->lock);
    if (ticket > rec->head) ticket = rec->head;
    if (ticket > rec->want) rec->want = ticket;
    worker_wake(rec);
    if (rec->durable < ticket) pthread_cond_signal(&rec->done_cv);
    while (rec->durable < ticket && !rec->error) pthread_cond_wait(&rec->durable_cv, &rec->lock);
    if (rec->durable < ticket) r = recorder_sticky(rec, err);
    if (r < 0 && rec->gap_when_behind) r = 0; /* the operator chose gaps: said in the queue file, and at the next start */
    pthread_mutex_unlock(&rec->lock);
    return r;
}

void chv_recorder_release(struct chv_recorder *rec, const void *const *held, size_t count)
{
    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < count; i++)
        queue_give(&rec->queue, (uint32_t)((size_t)((const uint8_t *)held[i] - rec->queue.data) / rec->queue.block_bytes));
    if (rec->space_waiters) pthread_cond_broadcast(&rec->space_cv);
    pthread_mutex_unlock(&rec->lock);
}

int recorder_seal(struct chv_recorder *rec, struct chv_err *err)
{
    pthread_mutex_lock(&rec->lock);
    rec->seal_wanted = true;
    worker_wake(rec);
    pthread_cond_signal(&rec->done_cv);
    while (rec->seal_wanted && !rec->error) pthread_cond_wait(&rec->durable_cv, &rec->lock);
    int r = rec->error ? recorder_sticky(rec, err) : 0;
    pthread_mutex_unlock(&rec->lock);
    return r;
}

int chv_recorder_space(struct chv_recorder *rec, const char *name, uint64_t size_bytes, enum chv_rest rest,
                       const char *source, uint16_t *id, struct chv_err *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > CHV_SPACE_NAME_BYTES)
        return chv_err_set(err, EINVAL, "space name '%.40s' has %zu bytes; 1 to %u are possible", name, length,
                           CHV_SPACE_NAME_BYTES);
    int r = source ? meta_set_source(&rec->meta, rec->io, name, source, err) : 0;
    if (r < 0) return r;
    pthread_mutex_lock(&rec->space_lock);
    struct recorder_space *space = NULL;
    for (size_t i = 0; i < rec->space_count; i++)
        if (strcmp(rec->spaces[i].name, name) == 0) space = &rec->spaces[i];
    bool same = space && (space->size_bytes + 511) / 512 == (size_bytes + 511) / 512 && space->rest == rest;
    if (!space && rec->space_count < RECORDER_SPACES_MAX) {
        space = &rec->spaces[rec->space_count++];
        space->id = (uint16_t)rec->space_count;
        for (size_t i = 0; i + 1 < rec->space_count; i++)
            if (rec->spaces[i].id >= space->id) space->id = (uint16_t)(rec->spaces[i].id + 1);
        memcpy(space->name, name, length + 1);
    }
    if (!space) {
        r = chv_err_set(err, ENOSPC, "a store has at most %u spaces", RECORDER_SPACES_MAX);
    } else if (!same) {
        uint8_t padded[CHV_SPACE_NAME_BYTES] = {0};
        memcpy(padded, name, length);
        space->size_bytes = size_bytes;
        space->rest = (uint8_t)rest;
        struct chv_record record = {.space = space->id, .op = CHV_OP_SPACE, .flags = (uint8_t)rest,
                                    .lba = (size_bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES, .data = padded};
        r = chv_recorder_append(rec, &record, 1, NULL, err);
    }
    if (r == 0) *id = space->id;
    pthread_mutex_unlock(&rec->space_lock);
    return r;
}

void chv_recorder_stats(struct chv_recorder *rec, struct chv_recorder_stats *out)
{
    pthread_mutex_lock(&rec->lock);
    *out = rec->stats;
    out->queue_used = rec->head - rec->freed;
    out->queue_blocks = rec->queue.count;
    pthread_mutex_unlock(&rec->lock);
}

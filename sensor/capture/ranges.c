#include "sensor/capture/ranges.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "sensor/capture/defer.h"

void ranges_init(struct ranges *t)
{
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->mutex, NULL);
    for (unsigned i = 0; i < RANGE_CONDS; i++) pthread_cond_init(&t->cond[i], NULL);
}

void ranges_fini(struct ranges *t)
{
    for (unsigned i = 0; i < RANGE_CONDS; i++) pthread_cond_destroy(&t->cond[i]);
    pthread_mutex_destroy(&t->mutex);
}

static struct range_link **bucket_of(struct ranges *t, uint64_t region)
{
    return &t->bucket[(region * UINT64_C(0x9E3779B97F4A7C15) >> 40) % RANGE_BUCKETS];
}

static bool is_wide(uint64_t first_region, uint64_t last_region)
{
    return last_region - first_region >= RANGE_REGIONS_MAX;
}

/* Which holders of a block matter. */
enum which { ALL, NOT_LAYERED, DEFERRED, OPAQUE /* deferred and not layered */ };

static bool matters(const struct range *r, enum which which)
{
    switch (which) {
    case NOT_LAYERED: return !r->layered;
    case DEFERRED: return r->deferred;
    case OPAQUE: return r->deferred && !r->layered;
    default: return true;
    }
}

static struct range *find_in(struct range_link *l, uint64_t first, uint64_t end, enum which which)
{
    for (; l; l = l->next)
        if (l->range->first < end && first < l->range->end && matters(l->range, which)) return l->range;
    return NULL;
}

/* Somebody who holds a block of [first, end), or NULL. */
static struct range *find(struct ranges *t, uint64_t first, uint64_t end, enum which which)
{
    struct range *r = find_in(t->wide, first, end, which);
    uint64_t region = first / RANGE_REGION_BLOCKS, last = (end - 1) / RANGE_REGION_BLOCKS;
    if (is_wide(region, last)) {
        for (unsigned i = 0; !r && i < RANGE_BUCKETS; i++) r = find_in(t->bucket[i], first, end, which);
        return r;
    }
    for (; !r && region <= last; region++) r = find_in(*bucket_of(t, region), first, end, which);
    return r;
}

static pthread_cond_t *cond_of(struct ranges *t, const struct range *r)
{
    return &t->cond[(uintptr_t)r / 64 % RANGE_CONDS];
}

static void wait_for(struct ranges *t, uint64_t first, uint64_t end, enum which which)
{
    struct range *holder;
    while ((holder = find(t, first, end, which))) {
        holder->waiters++; /* after waking the holder may be gone: it is looked up again */
        pthread_cond_wait(cond_of(t, holder), &t->mutex);
    }
}

static void link_in(struct range *r, struct range_link **head)
{
    struct range_link *l = &r->link[r->links++];
    l->range = r;
    l->next = *head;
    l->prev = head;
    if (*head) (*head)->prev = &l->next;
    *head = l;
}

/* With the mutex; newer ones come first in their bucket. */
static void hold(struct ranges *t, struct range *r, uint64_t first, uint64_t end)
{
    *r = (struct range){.first = first, .end = end};
    uint64_t region = first / RANGE_REGION_BLOCKS, last = (end - 1) / RANGE_REGION_BLOCKS;
    if (is_wide(region, last))
        link_in(r, &t->wide);
    else
        for (; region <= last; region++) link_in(r, bucket_of(t, region));
}

void ranges_lock(struct ranges *t, struct range *r, uint64_t first, uint64_t end)
{
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, ALL);
    hold(t, r, first, end);
    pthread_mutex_unlock(&t->mutex);
}

bool ranges_lock_over(struct ranges *t, struct range *r, uint64_t first, uint64_t end)
{
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, NOT_LAYERED);
    bool over = find(t, first, end, DEFERRED) != NULL;
    hold(t, r, first, end);
    pthread_mutex_unlock(&t->mutex);
    return over;
}

int ranges_try_over(struct ranges *t, struct range *r, uint64_t first, uint64_t end)
{
    int over = -EAGAIN;
    pthread_mutex_lock(&t->mutex);
    if (!find(t, first, end, NOT_LAYERED)) {
        over = find(t, first, end, DEFERRED) != NULL;
        hold(t, r, first, end);
    }
    pthread_mutex_unlock(&t->mutex);
    return over;
}

/* With the mutex. */
static void unlock(struct ranges *t, struct range *r)
{
    for (uint32_t i = 0; i < r->links; i++) {
        struct range_link *l = &r->link[i];
        *l->prev = l->next;
        if (l->next) l->next->prev = l->prev;
    }
    if (r->deferred) __atomic_fetch_sub(&t->deferred, 1, __ATOMIC_RELEASE);
    if (r->waiters) pthread_cond_broadcast(cond_of(t, r));
}

void ranges_unlock(struct ranges *t, struct range *r)
{
    pthread_mutex_lock(&t->mutex);
    unlock(t, r);
    pthread_mutex_unlock(&t->mutex);
}

void ranges_unlock_jobs(struct ranges *t, struct job *first, const struct job *end)
{
    pthread_mutex_lock(&t->mutex);
    for (; first != end; first = first->next) unlock(t, &first->range);
    pthread_mutex_unlock(&t->mutex);
}

void ranges_defer(struct ranges *t, struct range *r, bool layered)
{
    pthread_mutex_lock(&t->mutex);
    r->deferred = true;
    r->layered = layered && !is_wide(r->first / RANGE_REGION_BLOCKS, (r->end - 1) / RANGE_REGION_BLOCKS);
    if (r->layered && r->waiters) pthread_cond_broadcast(cond_of(t, r));
    __atomic_fetch_add(&t->deferred, 1, __ATOMIC_RELEASE); /* whoever counts it, sees it */
    pthread_mutex_unlock(&t->mutex);
}

bool ranges_deferred_in(struct ranges *t, uint64_t first, uint64_t end)
{
    if (!ranges_deferred(t)) return false;
    pthread_mutex_lock(&t->mutex);
    bool deferred = find(t, first, end, DEFERRED) != NULL;
    pthread_mutex_unlock(&t->mutex);
    return deferred;
}

void ranges_wait_deferred(struct ranges *t, uint64_t first, uint64_t end)
{
    if (!ranges_deferred(t)) return;
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, DEFERRED);
    pthread_mutex_unlock(&t->mutex);
}

uint64_t ranges_copy_layered(struct ranges *t, uint64_t first, uint64_t end, uint32_t block_bytes, uint8_t *buf)
{
    uint64_t copied = 0;
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, OPAQUE);
    for (const struct range_link *l = *bucket_of(t, first / RANGE_REGION_BLOCKS); l; l = l->next) {
        const struct range *r = l->range;
        if (!r->layered || r->first >= end || r->end <= first) continue;
        const struct job *job = (const struct job *)r; /* its first member */
        for (uint64_t at = r->first > first ? r->first : first; at < r->end && at < end; at++) {
            if (copied >> (at - first) & 1) continue; /* by a newer one */
            memcpy(buf + (at - first) * block_bytes, job->block[at - r->first], block_bytes);
            copied |= UINT64_C(1) << (at - first);
        }
    }
    pthread_mutex_unlock(&t->mutex);
    return copied;
}

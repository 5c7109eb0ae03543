#include "sensor/capture/ranges.h"

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

static struct range *find_in(struct range_link *l, uint64_t first, uint64_t end, bool only_deferred)
{
    for (; l; l = l->next)
        if (l->range->first < end && first < l->range->end && (!only_deferred || __atomic_load_n(&l->range->deferred, __ATOMIC_RELAXED))) return l->range;
    return NULL;
}

/* Somebody who holds a block of [first, end), or NULL. */
static struct range *find(struct ranges *t, uint64_t first, uint64_t end, bool only_deferred)
{
    struct range *r = find_in(t->wide, first, end, only_deferred);
    uint64_t region = first / RANGE_REGION_BLOCKS, last = (end - 1) / RANGE_REGION_BLOCKS;
    if (is_wide(region, last)) {
        for (unsigned i = 0; !r && i < RANGE_BUCKETS; i++) r = find_in(t->bucket[i], first, end, only_deferred);
        return r;
    }
    for (; !r && region <= last; region++) r = find_in(*bucket_of(t, region), first, end, only_deferred);
    return r;
}

static pthread_cond_t *cond_of(struct ranges *t, const struct range *r)
{
    return &t->cond[(uintptr_t)r / 64 % RANGE_CONDS];
}

static void wait_for(struct ranges *t, uint64_t first, uint64_t end, bool only_deferred)
{
    struct range *holder;
    while ((holder = find(t, first, end, only_deferred))) {
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

void ranges_lock(struct ranges *t, struct range *r, uint64_t first, uint64_t end)
{
    r->first = first;
    r->end = end;
    r->deferred = false;
    r->waiters = r->links = 0;
    uint64_t region = first / RANGE_REGION_BLOCKS, last = (end - 1) / RANGE_REGION_BLOCKS;
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, false);
    if (is_wide(region, last))
        link_in(r, &t->wide);
    else
        for (; region <= last; region++) link_in(r, bucket_of(t, region));
    pthread_mutex_unlock(&t->mutex);
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

void ranges_defer(struct ranges *t, struct range *r)
{
    __atomic_store_n(&r->deferred, true, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->deferred, 1, __ATOMIC_RELEASE); /* whoever counts it, sees it */
}

void ranges_wait_deferred(struct ranges *t, uint64_t first, uint64_t end)
{
    /* a change acknowledged before this call has been counted before it was acknowledged */
    if (__atomic_load_n(&t->deferred, __ATOMIC_ACQUIRE) == 0) return;
    pthread_mutex_lock(&t->mutex);
    wait_for(t, first, end, true);
    pthread_mutex_unlock(&t->mutex);
}

/* Locks on ranges of blocks: overlapping changes of a disk go one after the other.
 *
 * A range may outlive the request that took it ("deferred": the change is recorded and
 * acknowledged, a background writer will apply it), so these are not mutexes: any thread
 * may release. Nobody may hold one range and wait for a second.
 *
 * A deferred range is "layered" when what will be written is at hand: then readers are given that, and another write
 * may go over it, which is deferred as well and done after it. Everybody else waits. */
#ifndef CHV_SENSOR_RANGES_H
#define CHV_SENSOR_RANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RANGE_REGION_BLOCKS 64u /* granularity of the look-up, not of the lock */
#define RANGE_REGIONS_MAX 8u    /* a range touching more is kept on the wide list */
#define RANGE_BUCKETS 1024u
#define RANGE_CONDS 64u

struct range;
struct range_link {
    struct range *range;
    struct range_link *next, **prev;
};

struct range {
    uint64_t first, end; /* blocks, end exclusive */
    bool deferred;       /* acknowledged, not yet on the disk */
    bool layered;        /* deferred, and the range of a job with the blocks it will write */
    uint32_t waiters, links;
    struct range_link link[RANGE_REGIONS_MAX];
};

struct ranges {
    pthread_mutex_t mutex;
    pthread_cond_t cond[RANGE_CONDS];
    struct range_link *bucket[RANGE_BUCKETS];
    struct range_link *wide;
    uint32_t deferred; /* how many are; read without the mutex */
};

void ranges_init(struct ranges *t);
void ranges_fini(struct ranges *t);
/* Wait until nobody holds a block of [first, end), then hold it. `r` stays where it is until unlocked. */
void ranges_lock(struct ranges *t, struct range *r, uint64_t first, uint64_t end);
/* The same for a write that can go over layered ranges. Returns whether it does: then it must be deferred. */
bool ranges_lock_over(struct ranges *t, struct range *r, uint64_t first, uint64_t end);
/* The same without waiting: -EAGAIN when it would, and `r` is not held; else whether it does, 0 or 1. */
int ranges_try_over(struct ranges *t, struct range *r, uint64_t first, uint64_t end);
void ranges_unlock(struct ranges *t, struct range *r);
/* The ranges of the jobs from `first` to before `end`. */
struct job;
void ranges_unlock_jobs(struct ranges *t, struct job *first, const struct job *end);
/* This held range is now deferred; in the order in which these changes will be done. */
void ranges_defer(struct ranges *t, struct range *r, bool layered);
/* Does a deferred change overlap [first, end)? */
bool ranges_deferred_in(struct ranges *t, uint64_t first, uint64_t end);
/* Wait until no deferred change overlaps [first, end). */
void ranges_wait_deferred(struct ranges *t, uint64_t first, uint64_t end);
/* Copy to `buf` what layered changes will make of blocks [first, end), all of one region. Returns a bit for each that
 * was copied, bit 0 for `first`; the others are on the disk, once what is not layered has been waited for. */
uint64_t ranges_copy_layered(struct ranges *t, uint64_t first, uint64_t end, uint32_t block_bytes, uint8_t *buf);
static inline bool ranges_deferred(const struct ranges *t)
{
    /* a change acknowledged before this call has been counted before it was acknowledged */
    return __atomic_load_n(&t->deferred, __ATOMIC_ACQUIRE) != 0;
}

#endif

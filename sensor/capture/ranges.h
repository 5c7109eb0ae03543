/* Locks on ranges of blocks: overlapping changes of a disk go one after the other.
 *
 * A range may outlive the request that took it ("deferred": the change is recorded and
 * acknowledged, a background writer will apply it), so these are not mutexes: any thread
 * may release. Nobody may hold one range and wait for a second. */
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
    bool deferred;       /* acknowledged, not yet on the disk: readers wait too */
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
void ranges_unlock(struct ranges *t, struct range *r);
/* The ranges of the jobs from `first` to before `end`. */
struct job;
void ranges_unlock_jobs(struct ranges *t, struct job *first, const struct job *end);
/* From now on readers of this held range wait as well. */
void ranges_defer(struct ranges *t, struct range *r);
/* Wait until no deferred change overlaps [first, end). */
void ranges_wait_deferred(struct ranges *t, uint64_t first, uint64_t end);

#endif

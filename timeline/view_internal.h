/* What the parts of a view share. */
#ifndef CHV_TIMELINE_VIEW_INTERNAL_H
#define CHV_TIMELINE_VIEW_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "chronovisor/timeline.h"
#include "timeline/block_cache.h"
#include "timeline/device.h"

/* A second handle on the same store that follows the log, opened when the device is first read. */
struct live {
    pthread_rwlock_t lock;   /* readers: look-ups; writer: open and refresh */
    struct chv_store *store; /* NULL until needed */
    struct log_tail tail;    /* looked at before the last refresh */
    uint64_t last_seq;       /* of `store` */
    uint64_t pruned_before_seq;
};

struct chv_view {
    struct chv_store *store; /* the caller's; never refreshed by us */
    uint64_t store_last_seq;
    struct chv_space space; /* a copy; `source` is our own */
    uint64_t seq;
    uint32_t block_bytes;
    bool assume_unchanged, zero_unknown;
    atomic_uint_fast64_t unknown_blocks; /* read as zeros */
    struct block_cache *cache;
    int device; /* -1: could not be opened, and device_err says why */
    struct chv_err device_err;
    struct live live;
};

int live_init(struct live *live);
void live_fini(struct live *live);
/* Bring the handle up to everything durable now, and hold the lock for reading: live->store and
 * live->last_seq are valid until live_unlock. On an error the lock is not held. */
int live_lock_current(struct live *live, const char *store_dir, struct chv_err *err);
void live_unlock(struct live *live);

/* Of SOURCE blocks [first_block, +blocks): are the first *run of them zeros for certain, because the
 * device has a hole there, or (*zeros false) to be read? */
int view_source_holes(struct chv_view *view, uint64_t first_block, uint64_t blocks, bool *zeros, uint64_t *run,
                      struct chv_err *err);

/* Turn an UNKNOWN extent of one block into what it is if the space did not change while nobody
 * watched (GAPs of reason CHV_GAP_UNOBSERVED are ignored); may stay UNKNOWN. */
int unknown_assume(const struct chv_store *store, const struct chv_space *space, uint64_t seq,
                   struct chv_extent *extent, struct chv_err *err);
/* -EIO with the block, the reason and what to do. */
int unknown_explain(const struct chv_store *store, const struct chv_space *space, uint64_t seq,
                    const struct chv_extent *extent, struct chv_err *err);

#endif

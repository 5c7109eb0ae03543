/* Inside of struct chv_store: one consistent picture of everything durable. */
#ifndef CHV_STORE_SNAPSHOT_H
#define CHV_STORE_SNAPSHOT_H

#include <pthread.h>

#include "chronovisor/store.h"
#include "store/index.h"
#include "store/pack.h"
#include "store/segment.h"

#define TAIL_CHUNKS 16u              /* in-memory runs of a kind before they are put together */
#define TAIL_EVENTS_MAX (4u << 20)   /* a longer tail needs `reindex`: memory stays bounded */

/* A stretch of the unindexed tail, sorted. */
struct tail_chunk {
    uint64_t first_seq, last_seq;
    struct run runs[RUN_KINDS];
};

struct chv_store {
    struct meta meta;
    struct index *index;
    struct segment *segments;      /* in order; the last may be unsealed */
    size_t segment_count;
    int *fds;                      /* by segment, -1 until used */
    size_t fds_kept;
    pthread_mutex_t fds_lock;
    struct segment_tail active;    /* of the unsealed last segment */
    bool has_active;
    uint64_t pack, pack_bytes;     /* packs are known up to here (index and tail) */
    struct tail_chunk chunks[TAIL_CHUNKS];
    size_t chunk_count;
    uint64_t tail_events;
    struct chv_event *notes;       /* SPACE, PRUNE, unobserved-GAP events, in order */
    size_t note_count;
    struct chv_space *spaces;
    size_t space_count;
    uint64_t first_seq, last_seq, first_time_ns, last_time_ns, pruned_before_seq;
    struct pack_set packs;
    struct run_pages pages;
    bool log_only; /* where contents of the tail are stored is not known: nothing of it can be found by its hash or read */
};

/* chv_store_open() for who asks about events and spaces only: packs are not read. */
int snapshot_open_log(const char *dir, struct chv_store **out, struct chv_err *err);

/* Say before a look-up that it will touch mapped runs: now and then, when they fill more memory than a query may
 * (SNAPSHOT_RESIDENT_BYTES), their pages are let go. They stay in the page cache. */
#define SNAPSHOT_RESIDENT_BYTES (UINT64_C(256) << 20)
static inline void snapshot_touch_runs(const struct chv_store *s, size_t runs)
{
    struct run_pages *pages = &((struct chv_store *)(uintptr_t)s)->pages;
    if (run_pages_spent(pages, runs)) index_let_go(s->index, pages, SNAPSHOT_RESIDENT_BYTES);
}
static inline void snapshot_touch(const struct chv_store *s)
{
    snapshot_touch_runs(s, s->index->count);
}

/* All runs of a kind, oldest first, with the seqs they cover; at most SNAPSHOT_RUNS. */
struct run_ref {
    const struct run *run;
    uint64_t first_seq, last_seq;
};
static inline size_t snapshot_run_count(const struct chv_store *s)
{
    return s->index->count + s->chunk_count;
}
static inline struct run_ref snapshot_run(const struct chv_store *s, enum run_kind kind, size_t i)
{
    if (i < s->index->count) {
        const struct index_group *g = s->index->groups[i];
        return (struct run_ref){&g->runs[kind], g->first_seq, g->last_seq};
    }
    const struct tail_chunk *c = &s->chunks[i - s->index->count];
    return (struct run_ref){&c->runs[kind], c->first_seq, c->last_seq};
}

/* The segment that holds (or would hold) seq: index into segments, or -1. */
int64_t snapshot_segment_of(const struct chv_store *s, uint64_t seq);
/* Descriptor of a segment: opened once and kept, as long as the process may have that many; give it back when done. */
int snapshot_segment_fd(const struct chv_store *s, size_t segment, struct chv_err *err);
void snapshot_segment_fd_done(const struct chv_store *s, size_t segment, int fd);
/* Read up to `count` durable events of a segment from event `index` on; returns how many, or -errno. */
int64_t snapshot_read_events(const struct chv_store *s, size_t segment, uint64_t index, struct chv_event *events,
                             size_t count, struct chv_err *err);
/* Where in the segment is the first event with seq >= seq (carry segments have holes)? */
int64_t snapshot_position(const struct chv_store *s, size_t segment, uint64_t seq, struct chv_err *err);

/* tail.c: take newly durable events into the tail. */
int tail_take_events(struct chv_store *s, struct chv_event *events, size_t count, struct chv_err *err);
void tail_clear(struct chv_store *s);
/* spaces.c: rebuild the list of spaces from the notes. */
int spaces_rebuild(struct chv_store *s, struct chv_err *err);
void spaces_clear(struct chv_store *s);
int notes_add(struct chv_store *s, const struct chv_event *event);

#endif

/* Inside of struct chv_recorder, shared by its parts:
 *
 *   append.c     into the queue; recorder.c: wait, spaces; recorder_open.c: open, close   (callers' threads)
 *   worker.c     hash, entropy, dedup, compress    (N threads)
 *   committer.c  order, log, packs, durability     (one thread)
 *   indexer.c    sorted runs of sealed segments    (one thread), their merging (one thread)
 *   recover.c    what a crash left
 *
 * `lock` guards positions, waiting and the sticky error; `mem_lock` which dedup tables and index there are.
 * mem_lock may be taken with lock held, never the other way round.
 */
#ifndef CHV_STORE_RECORDER_IMPL_H
#define CHV_STORE_RECORDER_IMPL_H

#include <pthread.h>

#include "chronovisor/recorder.h"
#include "chronovisor/store.h"
#include "store/index.h"
#include "store/pack.h"
#include "store/queue.h"
#include "store/segment.h"

#define MEMTABLE_SLOTS (2 * SEGMENT_EVENTS) /* at most half full: a segment has at most that many new blocks */
#define RECORDER_SPACES_MAX 16384u
#define WORKERS_MAX 8u

/* Blocks stored since the last indexed segment: hash → location. One thread inserts; any may look meanwhile. */
struct memtable {
    uint64_t count; /* the inserting thread's */
    struct memtable_entry {
        uint8_t hash[32];
        _Atomic pack_loc loc; /* 0: free (no record is at offset 0) */
    } slots[MEMTABLE_SLOTS];
};
struct memtable *memtable_new(void); /* empty, or NULL; free() it */
void memtable_clear(struct memtable *t);
struct chv_event *events_new(void);  /* room for a segment's, or NULL; free() it */
bool memtable_find(const struct memtable *t, const uint8_t hash[32]);
/* Have the place in the cache by the time it is looked at. */
void memtable_prefetch(const struct memtable *t, const uint8_t hash[32]);
void memtable_insert(struct memtable *t, const uint8_t hash[32], pack_loc loc);

/* A sealed segment on its way into the index. */
struct index_job {
    bool busy;
    struct chv_event *events;
    size_t count;
    struct memtable *table;
    uint64_t pack, pack_bytes;
};

struct recorder_space {
    char name[CHV_SPACE_NAME_BYTES + 1];
    uint16_t id;
    uint64_t size_bytes;
    uint8_t rest;
};

#define RECORDER_RESIDENT_BYTES (UINT64_C(192) << 20) /* of mapped files beside the queue, before their pages are let go */

struct chv_recorder {
    struct meta meta;
    const struct io *io;
    struct signer *signer;
    int lock_fd;
    bool gap_when_behind;
    uint32_t segment_events; /* a segment is sealed when it holds about this many */
    struct queue queue;

    pthread_mutex_t lock;
    pthread_cond_t space_cv, work_cv, linger_cv, done_cv, durable_cv;
    uint64_t head;     /* next position to reserve */
    _Atomic uint64_t claim; /* next position a worker takes */
    uint64_t finished; /* how many positions workers are done with, whichever */
    uint64_t next;     /* next position the committer logs */
    uint64_t freed;    /* positions below are under a COMMIT written to the log: their slots are free */
    uint64_t durable;  /* positions below are on stable storage */
    uint64_t want;     /* somebody waits for positions below */
    uint64_t last_time_ns;
    uint64_t clock_ns; /* an import's, instead of the clock; 0: the clock */
    _Atomic unsigned idle_workers; /* atomic: read without the lock by worker_filled */
    unsigned space_waiters;
    _Atomic bool lingering; /* a worker waits a moment for more to do */
    bool committer_idle; /* it sleeps until called: nothing is logged that is not durable */
    bool stopping, committer_done, seal_wanted;
    int error;         /* sticky: the store takes nothing any more */
    struct chv_err error_text;
    struct chv_recorder_stats stats;

    pthread_t workers[WORKERS_MAX], committer, indexer, merger;
    unsigned worker_count;
    bool committer_running, indexer_running, merger_running;

    /* the committer's own */
    struct segment_writer segment;
    struct pack_writer pack;
    uint64_t seq, event_time_ns;       /* of the last event */
    uint8_t prev_digest[32];
    struct chv_event *events;          /* of the current segment, for the index */
    size_t event_count, event_written; /* written: already in the file */
    uint64_t synced_pack, synced_pack_bytes;
    uint64_t commit_seq, synced_ns;    /* the last COMMIT; when the last one was synced (monotonic) */
    bool commit_synced;

    pthread_rwlock_t mem_lock;
    struct memtable *current;
    struct memtable *_Atomic sealed; /* being indexed, or NULL */
    struct index *index;
    _Atomic uint8_t indexed;           /* how many times (modulo 256) `sealed` became part of `index` */
    struct run_pages pages; /* of its mapped files */

    pthread_mutex_t index_lock;        /* index jobs, manifest changes */
    pthread_cond_t index_cv;
    struct index_job job;
    struct memtable *spare_table;      /* empty: a segment's end waits for no page faults */
    struct chv_event *spare_events;
    bool index_stop;
    uint64_t next_group;

    pthread_mutex_t space_lock;
    struct recorder_space *spaces;
    size_t space_count;
};

/* Set the sticky error (once) and wake everybody. */
void recorder_fail(struct chv_recorder *rec, const struct chv_err *err);
/* With lock held: the sticky error, said again. */
int recorder_sticky(const struct chv_recorder *rec, struct chv_err *err);

/* Gaps that no append came after are put into the log; waits for room. */
void recorder_say_gaps(struct chv_recorder *rec);

/* Seal the current segment now and begin the next; returns when that is done. */
int recorder_seal(struct chv_recorder *rec, struct chv_err *err);

void *worker_main(void *rec);
/* With lock held: there is something to do, or somebody waits for it. */
void worker_wake(struct chv_recorder *rec);
/* Without lock: positions below `end` have been filled. */
void worker_filled(struct chv_recorder *rec, uint64_t end);
/* Is this content stored? With mem_lock held. */
bool worker_stored_already(const struct chv_recorder *rec, const uint8_t hash[32]);
/* With lock held: is there reason for the committer to go on now? */
bool committer_due(const struct chv_recorder *rec);
void *committer_main(void *rec);
void *indexer_main(void *rec);
void *merger_main(void *rec);

/* committer.c: the first segment and pack of an empty store, or the next after a sealed one. */
int committer_next_segment(struct chv_recorder *rec, struct chv_err *err);
/* Load the index; rebuild it first when it is missing or more than a segment behind. */
int recover_index(struct chv_recorder *rec, struct chv_err *err);
/* Bring segment, pack, seq, tables and index to where the log ends; replays nothing. */
int recover_log(struct chv_recorder *rec, struct chv_err *err);
/* Decide which queued positions still have to be logged; sets head, claim, next, freed. */
int recover_queue(struct chv_recorder *rec, struct chv_err *err);
/* indexer.c: index a finished segment now (used by recovery too). */
int indexer_run_job(struct chv_recorder *rec, struct index_job *job, struct chv_err *err);

#endif

/* The derived index: groups of sorted runs, one group for a stretch of the log, and the manifest that lists them.
 *
 * index/manifest is replaced atomically; run files never change; so readers need no lock. Everything behind
 * through_seq (the tail) is searched from the log itself. Groups are in order of seq and do not overlap.
 */
#ifndef CHV_STORE_INDEX_H
#define CHV_STORE_INDEX_H

#include <stdatomic.h>

#include "store/format.h"
#include "store/meta.h"
#include "store/pack.h"
#include "store/run.h"

struct index_group {
    uint64_t id;            /* file name */
    unsigned level;         /* merges so far: 4 of a level make one of the next */
    uint64_t first_seq, last_seq;
    struct run runs[RUN_KINDS];
    atomic_uint refs;
};

struct index {
    struct index_group **groups;
    size_t count;
    uint64_t through_seq;   /* every event up to here is indexed */
    uint64_t next_id;
    uint64_t pack, pack_bytes; /* packs are indexed up to here; 0, 0: nothing */
    uint64_t *notes;        /* seqs of SPACE, PRUNE and unobserved-GAP events, ascending */
    size_t note_count;
    atomic_uint refs;
};

/* Load the manifest and map its runs; without a manifest an empty index. ESTALE never escapes: a manifest that
 * was replaced meanwhile is read again. */
int index_load(const struct meta *meta, bool verify, struct index **out, struct chv_err *err);
/* Make index/ if somebody removed it with everything in it. */
int index_make_folder(const struct meta *meta, struct chv_err *err);
/* One without anything in it; NULL when there is no memory. */
struct index *index_new(void);
struct index *index_ref(struct index *index);
void index_unref(struct index *index);

/* Entries of a stretch of the log, not yet sorted. */
struct index_entries {
    uint8_t *entries[RUN_KINDS];
    uint64_t count[RUN_KINDS], room[RUN_KINDS];
    uint64_t *notes;
    size_t note_count, note_room;
};
/* SIGHT and ADDR entries, and notes, of these events. 0 or -ENOMEM. */
int index_entries_add_events(struct index_entries *e, const struct chv_event *events, size_t count,
                             uint32_t block_bytes);
int index_entries_add_loc(struct index_entries *e, const uint8_t hash[32], pack_loc loc);
/* Sort each kind and drop repeated LOC hashes. */
void index_entries_sort(struct index_entries *e);
void index_entries_fini(struct index_entries *e);

/* A new index = old one plus a group written from (sorted) entries, with a new manifest. */
int index_add(const struct meta *meta, const struct io *io, const struct index *old, struct index_entries *entries,
              uint64_t first_seq, uint64_t last_seq, uint64_t pack, uint64_t pack_bytes, struct index **out,
              struct chv_err *err);

/* The groups [*first, *first + n) that are due to be merged; n is 0 when none are. */
size_t index_merge_due(const struct index *index, size_t *first);
/* Merge them into one group file set (no manifest yet): *out is the new group. */
int index_merge_groups(const struct meta *meta, const struct io *io, const struct index *index, size_t first, size_t n,
                       uint64_t id, struct index_group **out, struct chv_err *err);
/* A new index with `merged` in place of the groups it covers, with a new manifest; removes the old files. */
int index_replace(const struct meta *meta, const struct io *io, const struct index *old, struct index_group *merged,
                  struct index **out, struct chv_err *err);

/* Remove files in index/ that the manifest does not list (left by a crash). */
void index_sweep(const struct meta *meta, const struct io *io, const struct index *index);

uint64_t index_bytes(const struct index *index);

/* With more than limit_bytes of mapped files resident, let the runs' pages go, and read from now on. */
void index_let_go(const struct index *index, struct run_pages *pages, uint64_t limit_bytes);

#endif

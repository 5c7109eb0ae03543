/* What the files of a search share. */
#ifndef CHV_SEARCH_INTERNAL_H
#define CHV_SEARCH_INTERNAL_H

#include "search/search.h"

struct search {
    const struct chv_store *store;
    struct search_options options; /* defaults filled in */
    struct search_result result;
    uint64_t unit;                 /* sectors of a block */
    bool tail_unindexed;           /* part of the log is not in the index: a count of 0 proves nothing */

    struct search_span *spans;
    size_t span_count, span_capacity, compact_at;
    uint64_t tolerance_ns;         /* at least 1 */
    uint64_t phase_weak[8];        /* blocks that are neither probative nor constant, by phase */

    uint8_t (*hashes)[CHV_HASH_BYTES]; /* scratch of a batch: distinct hashes */
    uint64_t *counts;
    size_t batch_capacity;
    struct chv_event *events;      /* scratch: sightings of one content */
    size_t event_count, event_capacity;
};

static inline uint64_t span_delta(const struct search_span *s)
{
    return s->sector - s->file_sector; /* modulo 2^64; only compared */
}

static inline uint64_t span_file_end(const struct search_span *s, uint64_t unit)
{
    return s->file_sector + s->blocks * unit;
}

/* Were (some of) their blocks there at the same time? Blocks of one request come and go at one time but in
 * order of seq, so a span knows the exact seq of its first and last block only: time decides, and where that is too
 * coarse (an import may give many events the same time) seq, where it is certain. */
static inline bool spans_meet_in_time(const struct search_span *a, const struct search_span *b)
{
    if (a->from_ns < b->to_ns_last && b->from_ns < a->to_ns_last) return true;
    return a->from_seq_last < b->to_seq && b->from_seq_last < a->to_seq;
}

/* Append a span; compacts when the bound is reached. */
int spans_add(struct search *s, const struct search_span *span);
/* Merge what belongs together, and round lifetimes or drop the smallest until the bound holds. */
void spans_compact(struct search *s);

/* Pieces: spans linked along the file and in time. Sets span.group to a number below the return value
 * and orders the spans by group. */
size_t runs_link(struct search_span *spans, size_t count, uint64_t unit, struct chv_err *err);

/* From spans to candidates. */
int place_spans(struct search *s, struct chv_err *err);

/* Fill in what follows from a candidate's spans: counts over time, the best instant, order. */
int candidate_measure(const struct search *s, struct search_candidate *c, const struct search_span *weak,
                      size_t weak_count);

#endif

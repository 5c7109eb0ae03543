/* What a candidate's spans say: how much of the file was there when, and in what order. */
#include <errno.h>
#include <stdlib.h>

#include "search/internal.h"

#define STEPS_MAX 32

#define COMPARE(x, y) \
    do { \
        if ((x) != (y)) return (x) < (y) ? -1 : 1; \
    } while (0)

struct change {
    uint64_t seq, time_ns, blocks;
    bool leaves;
};

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    COMPARE(x->seq, y->seq);
    COMPARE(y->leaves, x->leaves);
    return 0;
}

static int compare_file(const void *a, const void *b)
{
    const struct search_span *x = a, *y = b;
    COMPARE(x->file_sector, y->file_sector);
    COMPARE(x->from_seq, y->from_seq);
    return 0;
}

static bool alive(const struct search_span *s, uint64_t seq)
{
    uint64_t to = s->to_seq > s->from_seq_last ? s->to_seq : s->from_seq_last + 1;
    return s->from_seq_last <= seq && seq < to;
}

/* Keep the first, the best and the last step and an even choice of the others. */
static void thin_steps(struct search_candidate *c, size_t best)
{
    if (c->step_count <= STEPS_MAX) return;
    size_t kept = 0, n = c->step_count;
    for (size_t i = 0; i < n; i++) {
        bool chosen = i == best || i * (STEPS_MAX - 2) / (n - 1) != (i + 1) * (STEPS_MAX - 2) / (n - 1);
        if (i == 0 || i == n - 1 || chosen) c->steps[kept++] = c->steps[i];
    }
    c->step_count = kept;
    c->steps_thinned = true;
}

/* The number of blocks after each instant at which it changed, and the best of them. */
static int measure_steps(struct search_candidate *c)
{
    struct change *changes = malloc(2 * c->span_count * sizeof *changes);
    c->steps = calloc(2 * c->span_count, sizeof *c->steps);
    if (!changes || !c->steps) {
        free(changes);
        return -ENOMEM;
    }
    size_t n = 0;
    bool coarse = false; /* something came and went at one and the same time: show every seq */
    for (size_t i = 0; i < c->span_count; i++) {
        const struct search_span *s = &c->spans[i];
        coarse |= s->from_ns_last >= s->to_ns;
        changes[n++] = (struct change){s->from_seq_last, s->from_ns_last, s->blocks, false};
        if (s->to_seq == SEARCH_STILL) continue;
        bool swapped = s->to_seq <= s->from_seq_last; /* only where lifetimes were rounded */
        changes[n++] = (struct change){swapped ? s->from_seq_last + 1 : s->to_seq,
                                       swapped ? s->from_ns_last : s->to_ns, s->blocks, true};
    }
    qsort(changes, n, sizeof *changes, compare_changes);
    uint64_t now = 0;
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        now = changes[i].leaves ? now - changes[i].blocks : now + changes[i].blocks;
        if (i + 1 < n && changes[i + 1].time_ns == changes[i].time_ns && (!coarse || changes[i + 1].seq == changes[i].seq))
            continue;
        struct search_step step = {changes[i].seq, changes[i].time_ns, now};
        if (c->step_count > 0 && c->steps[c->step_count - 1].blocks == now) continue;
        c->steps[c->step_count++] = step;
        if (step.blocks > c->steps[best].blocks) best = c->step_count - 1;
    }
    free(changes);
    c->best = c->steps[best].blocks;
    c->best_seq = c->steps[best].seq;
    c->best_from_ns = c->steps[best].time_ns;
    c->best_to_ns = SEARCH_STILL;
    c->best_end_seq = SEARCH_STILL;
    if (best + 1 < c->step_count) {
        c->best_to_ns = c->steps[best + 1].time_ns;
        for (size_t i = 0; i < c->span_count; i++) { /* the first of those that went then */
            const struct search_span *s = &c->spans[i];
            if (alive(s, c->best_seq) && s->to_seq != SEARCH_STILL && s->to_seq - 1 < c->best_end_seq)
                c->best_end_seq = s->to_seq - 1;
        }
    }
    thin_steps(c, best);
    return 0;
}

static void measure_extent(const struct search *s, struct search_candidate *c)
{
    c->first_sector = UINT64_MAX;
    c->from_seq = UINT64_MAX;
    for (size_t i = 0; i < c->span_count; i++) {
        const struct search_span *p = &c->spans[i];
        uint64_t end = p->sector + p->blocks * s->unit;
        if (p->sector < c->first_sector) c->first_sector = p->sector;
        if (end > c->end_sector) c->end_sector = end;
        if (p->from_seq < c->from_seq) {
            c->from_seq = p->from_seq;
            c->from_ns = p->from_ns;
            c->from_op = p->from_op;
        }
        if (p->to_seq_last > c->to_seq) {
            c->to_seq = p->to_seq_last;
            c->to_ns = p->to_ns_last;
            c->to_op = p->to_op;
        }
    }
}

/* Position of the first weak span at or after (space, phase, delta); they are sorted by these. */
static size_t weak_find(const struct search_span *weak, size_t count, const struct search_span *like)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct search_span *w = &weak[mid];
        bool before = w->space != like->space   ? w->space < like->space
                      : w->phase != like->phase ? w->phase < like->phase
                                                : span_delta(w) < span_delta(like);
        if (before) low = mid + 1;
        else high = mid;
    }
    return low;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Pieces and order at the best instant, and the non-probative blocks that were in place then. */
static int measure_order(struct search_candidate *c, const struct search_span *weak, size_t weak_count)
{
    uint64_t *deltas = malloc(c->span_count * sizeof *deltas);
    if (!deltas) return -ENOMEM;
    const struct search_span *previous = NULL;
    c->ascending = true;
    for (size_t i = 0; i < c->span_count; i++) {
        const struct search_span *p = &c->spans[i];
        if (!alive(p, c->best_seq)) continue;
        if (!previous || span_delta(previous) != span_delta(p)) deltas[c->pieces++] = span_delta(p);
        if (previous && p->sector < previous->sector) c->ascending = false;
        previous = p;
    }
    qsort(deltas, c->pieces, sizeof *deltas, compare_u64);
    for (size_t d = 0; d < c->pieces; d++) {
        if (d > 0 && deltas[d] == deltas[d - 1]) continue;
        struct search_span like = {.space = c->space, .phase = c->phase, .sector = deltas[d]};
        for (size_t i = weak_find(weak, weak_count, &like); i < weak_count; i++) {
            const struct search_span *w = &weak[i];
            if (w->space != c->space || w->phase != c->phase || span_delta(w) != deltas[d]) break;
            if (alive(w, c->best_seq)) c->weak_at_best += w->blocks;
        }
    }
    free(deltas);
    return 0;
}

int candidate_measure(const struct search *s, struct search_candidate *c, const struct search_span *weak,
                      size_t weak_count)
{
    qsort(c->spans, c->span_count, sizeof *c->spans, compare_file);
    int r = measure_steps(c);
    if (r < 0) return r;
    measure_extent(s, c);
    return measure_order(c, weak, weak_count);
}

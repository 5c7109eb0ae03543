/* Runs become candidates: one candidate is one copy of the file, in one piece or in fragments.
 *
 * Largest runs first. Where the file repeats itself, several runs explain the same blocks of the disk: the
 * largest keeps them. Then runs that were there together, and hold different parts of the file, are put
 * together; nearest in time of arrival first, because the parts of one copy arrive together. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "search/internal.h"

#define TOGETHER_NS (UINT64_C(60) * 1000000000) /* arrivals this close are one copy being written */

#define COMPARE(x, y) \
    do { \
        if ((x) != (y)) return (x) < (y) ? -1 : 1; \
    } while (0)

/* A set of spans on its way to a candidate. */
struct part {
    struct search_span *spans;
    size_t count, capacity;
    uint64_t blocks, from_seq, from_ns, to_seq;
    uint64_t delta, sector; /* of its first and largest piece */
    bool contested;         /* other runs explain some of the same blocks */
};

struct parts {
    struct part *items;
    size_t count;
};

static int part_add(struct part *p, const struct search_span *span)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 2;
        struct search_span *grown = realloc(p->spans, capacity * sizeof *grown);
        if (!grown) return -ENOMEM;
        p->spans = grown;
        p->capacity = capacity;
    }
    if (p->count == 0) {
        p->from_seq = UINT64_MAX;
        p->from_ns = UINT64_MAX;
        p->delta = span_delta(span);
        p->sector = span->sector;
    }
    p->spans[p->count++] = *span;
    p->blocks += span->blocks;
    if (span->from_seq < p->from_seq) p->from_seq = span->from_seq;
    if (span->from_ns < p->from_ns) p->from_ns = span->from_ns;
    if (span->to_seq_last > p->to_seq) p->to_seq = span->to_seq_last;
    return 0;
}

static void part_fini(struct part *p)
{
    free(p->spans);
    memset(p, 0, sizeof *p);
}

static int compare_parts(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    COMPARE(y->blocks, x->blocks);
    COMPARE(x->from_seq, y->from_seq);
    COMPARE(x->sector, y->sector);
    return 0;
}

/* --- blocks explained twice ------------------------------------------------------------------ */

/* Addresses of one span, to be sorted. */
struct extent {
    uint64_t sector, end;
    size_t span;
    uint16_t space;
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    COMPARE(x->space, y->space);
    COMPARE(x->sector, y->sector);
    return 0;
}

/* Mark (weak = 2) the spans that share addresses with another one. */
static int mark_contested(struct search_span *spans, size_t count, uint64_t unit)
{
    struct extent *order = malloc((count ? count : 1) * sizeof *order);
    if (!order) return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        order[i] = (struct extent){spans[i].sector, spans[i].sector + spans[i].blocks * unit, i, spans[i].space};
    qsort(order, count, sizeof *order, compare_extents);
    size_t reach = 0; /* the one before that reaches furthest */
    for (size_t i = 1; i < count; i++) {
        const struct extent *e = &order[i], *r = &order[reach];
        bool same = r->space == e->space;
        if (same && e->sector < r->end) spans[r->span].weak = spans[e->span].weak = 2;
        if (!same || e->end > r->end) reach = i;
    }
    free(order);
    return 0;
}

/* One block of a disk holds one content at a time: two spans that cover it explain the same sighting when they
 * agree about its time. */
static bool same_sighting(const struct search_span *a, const struct search_span *b)
{
    return a->from_seq <= b->from_seq_last && b->from_seq <= a->from_seq_last && a->to_seq <= b->to_seq_last &&
           b->to_seq <= a->to_seq_last && a->from_ns <= b->from_ns_last && b->from_ns <= a->from_ns_last &&
           a->to_ns <= b->to_ns_last && b->to_ns <= a->to_ns_last;
}

/* Add to `out` what of `span` the taken spans do not hold already. */
static int add_uncovered(struct part *out, const struct search_span *span, const struct part *taken, size_t from,
                         uint64_t unit)
{
    for (size_t i = from; i < taken->count; i++) {
        const struct search_span *t = &taken->spans[i];
        uint64_t end = span->sector + span->blocks * unit, t_end = t->sector + t->blocks * unit;
        if (t->space != span->space || t->sector >= end || t_end <= span->sector || !same_sighting(t, span) ||
            span_delta(t) == span_delta(span))
            continue;
        int r = 0;
        if (t->sector > span->sector) {
            struct search_span head = *span;
            head.blocks = (t->sector - span->sector) / unit;
            r = add_uncovered(out, &head, taken, i + 1, unit);
        }
        if (r == 0 && t_end < end) {
            struct search_span rest = *span;
            rest.blocks = (end - t_end) / unit;
            rest.file_sector += t_end - span->sector;
            rest.sector = t_end;
            r = add_uncovered(out, &rest, taken, i + 1, unit);
        }
        return r;
    }
    return part_add(out, span);
}

static int drop_shadows(struct parts *runs, uint64_t unit)
{
    struct part taken = {0};
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; i < runs->count && r == 0; i++) {
        struct part *run = &runs->items[i], rest = {0};
        if (!run->contested) {
            struct part keep = *run;
            memset(run, 0, sizeof *run);
            runs->items[kept++] = keep;
            continue;
        }
        for (size_t k = 0; k < run->count && r == 0; k++)
            r = run->spans[k].weak == 2 ? add_uncovered(&rest, &run->spans[k], &taken, 0, unit)
                                        : part_add(&rest, &run->spans[k]);
        part_fini(run);
        for (size_t k = 0; k < rest.count && r == 0; k++)
            if (rest.spans[k].weak == 2) r = part_add(&taken, &rest.spans[k]);
        if (rest.count > 0 && r == 0) runs->items[kept++] = rest;
        else part_fini(&rest);
    }
    part_fini(&taken);
    if (r == 0) runs->count = kept;
    return r;
}

/* --- fragments of one copy ------------------------------------------------------------------- */

static bool parts_conflict(const struct part *a, const struct part *b, uint64_t unit)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct search_span *x = &a->spans[i];
        for (size_t k = 0; k < b->count; k++) {
            const struct search_span *y = &b->spans[k];
            if (x->file_sector < span_file_end(y, unit) && y->file_sector < span_file_end(x, unit) &&
                spans_meet_in_time(x, y))
                return true;
        }
    }
    return false;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* The copy (among the first `count`) that this part belongs to, or NULL. */
static struct part *best_home(struct part *copies, size_t count, const struct part *p, uint64_t gap_max, uint64_t unit)
{
    struct part *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct part *c = &copies[i];
        if (c->spans[0].space != p->spans[0].space || c->spans[0].phase != p->spans[0].phase ||
            c->from_seq >= p->to_seq || p->from_seq >= c->to_seq)
            continue;
        uint64_t gap = distance(c->from_ns, p->from_ns);
        if (gap > gap_max) continue;
        if (best) {
            bool same = c->delta == p->delta, best_same = best->delta == p->delta;
            uint64_t best_gap = distance(best->from_ns, p->from_ns);
            if (same != best_same ? best_same : gap != best_gap ? gap > best_gap
                : distance(c->sector, p->sector) >= distance(best->sector, p->sector))
                continue;
        }
        if (!parts_conflict(c, p, unit)) best = c;
    }
    return best;
}

/* Put together in place; `items` stays ordered by the size of the first piece. */
static int assemble(struct parts *parts, uint64_t gap_max, uint64_t unit)
{
    size_t copies = 0;
    for (size_t i = 0; i < parts->count; i++) {
        struct part p = parts->items[i];
        memset(&parts->items[i], 0, sizeof p);
        struct part *home = best_home(parts->items, copies, &p, gap_max, unit);
        if (!home) {
            parts->items[copies++] = p;
            continue;
        }
        int r = 0;
        for (size_t k = 0; k < p.count && r == 0; k++) r = part_add(home, &p.spans[k]);
        part_fini(&p);
        if (r < 0) return r;
    }
    parts->count = copies;
    return 0;
}

/* --- all of it ------------------------------------------------------------------------------- */

static void parts_fini(struct parts *parts, size_t allocated)
{
    for (size_t i = 0; parts->items && i < allocated; i++) part_fini(&parts->items[i]);
    free(parts->items);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct search_candidate *x = a, *y = b;
    COMPARE(x->weak, y->weak);
    /* fractions of different phases compare by cross-multiplication */
    double p = (double)x->best * (double)y->total, q = (double)y->best * (double)x->total;
    COMPARE(q, p);
    COMPARE(y->best, x->best);
    COMPARE(x->pieces, y->pieces);
    COMPARE(x->from_seq, y->from_seq);
    COMPARE(x->first_sector, y->first_sector);
    return 0;
}

static int build_runs(struct search *s, struct search_span *spans, size_t count, struct parts *runs,
                      struct chv_err *err)
{
    size_t groups = runs_link(spans, count, s->unit, err);
    if (groups == SIZE_MAX) return -ENOMEM;
    if (mark_contested(spans, count, s->unit) < 0) return -ENOMEM;
    runs->items = calloc(groups ? groups : 1, sizeof *runs->items);
    if (!runs->items) return -ENOMEM;
    runs->count = groups;
    for (size_t i = 0; i < count; i++) {
        struct part *run = &runs->items[spans[i].group];
        if (spans[i].weak == 2) run->contested = true;
        if (part_add(run, &spans[i]) < 0) return -ENOMEM;
    }
    qsort(runs->items, runs->count, sizeof *runs->items, compare_parts);
    for (size_t i = s->options.run_cap; i < runs->count; i++) {
        part_fini(&runs->items[i]);
        s->result.pieces_dropped++;
    }
    if (runs->count > s->options.run_cap) runs->count = s->options.run_cap;
    return 0;
}

static int fill_candidates(struct search *s, struct parts *copies, bool weak_alone, const struct search_span *weak,
                           size_t weak_count)
{
    struct search_result *result = &s->result;
    result->candidates = calloc(copies->count ? copies->count : 1, sizeof *result->candidates);
    if (!result->candidates) return -ENOMEM;
    for (size_t i = 0; i < copies->count; i++) {
        struct part *p = &copies->items[i];
        struct search_candidate *c = &result->candidates[result->candidate_count++];
        c->spans = p->spans;
        c->span_count = p->count;
        p->spans = NULL;
        for (size_t k = 0; k < c->span_count; k++) c->spans[k].weak = weak_alone;
        c->weak = weak_alone;
        c->space = c->spans[0].space;
        c->phase = c->spans[0].phase;
        c->total = weak_alone ? s->phase_weak[c->phase] : result->phase_total[c->phase];
        int r = candidate_measure(s, c, weak, weak_count);
        if (r < 0) return r;
    }
    qsort(result->candidates, result->candidate_count, sizeof *result->candidates, compare_candidates);
    return 0;
}

/* Probative first; each part in the order that candidate_measure looks for. */
static int compare_weak(const void *a, const void *b)
{
    const struct search_span *x = a, *y = b;
    COMPARE(x->weak, y->weak);
    COMPARE(x->space, y->space);
    COMPARE(x->phase, y->phase);
    COMPARE(span_delta(x), span_delta(y));
    COMPARE(x->file_sector, y->file_sector);
    return 0;
}

int place_spans(struct search *s, struct chv_err *err)
{
    bool weak_alone = true;
    for (size_t i = 0; i < 8; i++) weak_alone &= s->result.phase_total[i] == 0;
    if (s->span_count == 0) return 0;
    qsort(s->spans, s->span_count, sizeof *s->spans, compare_weak);
    size_t strong = 0;
    while (strong < s->span_count && (weak_alone || !s->spans[strong].weak)) strong++;

    struct parts parts = {0};
    int r = build_runs(s, s->spans, strong, &parts, err);
    size_t allocated = parts.count;
    if (r == 0) r = drop_shadows(&parts, s->unit);
    if (r == 0) qsort(parts.items, parts.count, sizeof *parts.items, compare_parts);
    if (r == 0) r = assemble(&parts, TOGETHER_NS, s->unit);
    if (r == 0) qsort(parts.items, parts.count, sizeof *parts.items, compare_parts);
    if (r == 0) r = assemble(&parts, UINT64_MAX, s->unit);
    if (r == 0) r = fill_candidates(s, &parts, weak_alone, s->spans + strong, s->span_count - strong);
    parts_fini(&parts, allocated);
    return r < 0 ? chv_err_set(err, -r, "out of memory") : 0;
}

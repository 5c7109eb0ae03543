/* Blocks with their lifetimes, merged into spans so that memory follows the number of pieces and of
 * writes, not the size of the file. Where even those are too many, lifetimes are rounded. */
#include <errno.h>
#include <stdlib.h>

#include "search/internal.h"

#define COMPARE(x, y) \
    do { \
        if ((x) != (y)) return (x) < (y) ? -1 : 1; \
    } while (0)

/* Spans that may merge come together, in file order. */
static int compare_spans(const void *a, const void *b, void *arg)
{
    const struct search_span *x = a, *y = b;
    uint64_t grain = *(const uint64_t *)arg;
    COMPARE(x->space, y->space);
    COMPARE(x->weak, y->weak);
    COMPARE(x->phase, y->phase);
    COMPARE(span_delta(x), span_delta(y));
    COMPARE(x->from_ns / grain, y->from_ns / grain);
    COMPARE(x->to_ns / grain, y->to_ns / grain);
    COMPARE(x->from_op, y->from_op);
    COMPARE(x->to_op, y->to_op);
    COMPARE(x->file_sector, y->file_sector);
    COMPARE(x->from_seq, y->from_seq);
    return 0;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* May `b` extend the lifetimes of `a`? With exact times its blocks must also have come and gone right after those of `a`,
 * so that a span says when each of its blocks did even where a clock stood still. */
static bool seqs_continue(const struct search_span *a, const struct search_span *b, uint64_t end)
{
    if (b->file_sector < end) /* the same sighting, met twice */
        return b->from_seq >= a->from_seq && b->from_seq_last <= a->from_seq_last && b->to_seq >= a->to_seq &&
               b->to_seq_last <= a->to_seq_last;
    bool from = b->from_seq == a->from_seq_last || b->from_seq == a->from_seq_last + 1;
    bool to = b->to_seq == a->to_seq_last || b->to_seq == a->to_seq_last + 1;
    return from && to;
}

static bool span_merge(struct search_span *a, const struct search_span *b, uint64_t unit, uint64_t grain)
{
    uint64_t end = span_file_end(a, unit);
    if (a->space != b->space || a->weak != b->weak || a->phase != b->phase || span_delta(a) != span_delta(b) ||
        a->from_ns / grain != b->from_ns / grain || a->to_ns / grain != b->to_ns / grain ||
        a->from_op != b->from_op || a->to_op != b->to_op || b->file_sector > end)
        return false;
    if (grain == 1 && !seqs_continue(a, b, end)) return false;
    a->blocks = (max_u64(end, span_file_end(b, unit)) - a->file_sector) / unit;
    a->from_seq = min_u64(a->from_seq, b->from_seq);
    a->from_seq_last = max_u64(a->from_seq_last, b->from_seq_last);
    a->from_ns = min_u64(a->from_ns, b->from_ns);
    a->from_ns_last = max_u64(a->from_ns_last, b->from_ns_last);
    a->to_seq = min_u64(a->to_seq, b->to_seq);
    a->to_seq_last = max_u64(a->to_seq_last, b->to_seq_last);
    a->to_ns = min_u64(a->to_ns, b->to_ns);
    a->to_ns_last = max_u64(a->to_ns_last, b->to_ns_last);
    return true;
}

static void merge_pass(struct search *s)
{
    uint64_t grain = s->tolerance_ns;
    if (s->span_count == 0) return;
    qsort_r(s->spans, s->span_count, sizeof *s->spans, compare_spans, &grain);
    size_t kept = 0;
    for (size_t i = 0; i < s->span_count; i++) {
        if (kept > 0 && span_merge(&s->spans[kept - 1], &s->spans[i], s->unit, grain)) continue;
        s->spans[kept++] = s->spans[i];
    }
    s->span_count = kept;
}

static int compare_largest(const void *a, const void *b)
{
    const struct search_span *x = a, *y = b;
    COMPARE(x->weak, y->weak);
    COMPARE(y->blocks, x->blocks);
    return 0;
}

void spans_compact(struct search *s)
{
    const uint64_t coarsest = UINT64_C(3600) * 1000000000;
    merge_pass(s);
    while (s->span_count > s->options.span_cap / 2 && s->tolerance_ns < coarsest) {
        s->tolerance_ns = s->tolerance_ns < 1000000 ? 1000000 : s->tolerance_ns * 8;
        s->result.tolerance_ns = s->tolerance_ns;
        merge_pass(s);
    }
    if (s->span_count > s->options.span_cap / 2) {
        qsort(s->spans, s->span_count, sizeof *s->spans, compare_largest);
        s->result.pieces_dropped += s->span_count - s->options.span_cap / 2;
        s->span_count = s->options.span_cap / 2;
        merge_pass(s);
    }
    s->compact_at = max_u64(65536, min_u64(2 * s->span_count, s->options.span_cap));
}

int spans_add(struct search *s, const struct search_span *span)
{
    if (s->span_count >= s->compact_at || s->span_count >= s->options.span_cap) spans_compact(s);
    if (s->span_count == s->span_capacity) {
        size_t capacity = s->span_capacity ? 2 * s->span_capacity : 1024;
        struct search_span *grown = realloc(s->spans, capacity * sizeof *grown);
        if (!grown) return -ENOMEM;
        s->spans = grown;
        s->span_capacity = capacity;
    }
    s->spans[s->span_count++] = *span;
    return 0;
}

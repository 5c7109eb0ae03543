/* Which spans continue each other: consecutive in the file and at consecutive addresses (the same
 * distance between the two), and there at the same time. Union-find over such neighbours. */
#include <errno.h>
#include <stdlib.h>

#include "search/internal.h"

#define COMPARE(x, y) \
    do { \
        if ((x) != (y)) return (x) < (y) ? -1 : 1; \
    } while (0)

struct edge {
    uint64_t at, from_seq, to_seq; /* file sector where the span starts or ends */
    uint32_t span;
};

static int compare_place(const void *a, const void *b)
{
    const struct search_span *x = a, *y = b;
    COMPARE(x->space, y->space);
    COMPARE(x->phase, y->phase);
    COMPARE(span_delta(x), span_delta(y));
    COMPARE(x->file_sector, y->file_sector);
    COMPARE(x->from_seq, y->from_seq);
    return 0;
}

static int compare_group(const void *a, const void *b)
{
    const struct search_span *x = a, *y = b;
    COMPARE(x->group, y->group);
    return compare_place(a, b);
}

static int compare_edges(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    COMPARE(x->at, y->at);
    COMPARE(x->from_seq, y->from_seq);
    return 0;
}

static uint32_t root_of(struct search_span *spans, uint32_t i)
{
    while (spans[i].group != i) {
        spans[i].group = spans[spans[i].group].group;
        i = spans[i].group;
    }
    return i;
}

static void join(struct search_span *spans, uint32_t a, uint32_t b)
{
    uint32_t x = root_of(spans, a), y = root_of(spans, b);
    if (x < y) spans[y].group = x;
    else spans[x].group = y;
}

/* Ends and starts at the same file position, each in order of time: join those that overlap. */
static void join_boundary(struct search_span *spans, const struct edge *ends, size_t n, const struct edge *starts,
                          size_t m)
{
    size_t i = 0, j = 0;
    while (i < n && j < m) {
        if (spans_meet_in_time(&spans[ends[i].span], &spans[starts[j].span]))
            join(spans, ends[i].span, starts[j].span);
        if (ends[i].to_seq < starts[j].to_seq) i++;
        else j++;
    }
}

static void link_line(struct search_span *spans, size_t first, size_t last, uint64_t unit, struct edge *ends,
                      struct edge *starts)
{
    size_t n = last - first;
    if (n < 2) return;
    for (size_t i = 0; i < n; i++) {
        const struct search_span *s = &spans[first + i];
        ends[i] = (struct edge){span_file_end(s, unit), s->from_seq, s->to_seq_last, (uint32_t)(first + i)};
        starts[i] = (struct edge){s->file_sector, s->from_seq, s->to_seq_last, (uint32_t)(first + i)};
    }
    qsort(ends, n, sizeof *ends, compare_edges);
    qsort(starts, n, sizeof *starts, compare_edges);
    for (size_t i = 0, j = 0; i < n;) {
        size_t i_end = i, j_end;
        while (i_end < n && ends[i_end].at == ends[i].at) i_end++;
        while (j < n && starts[j].at < ends[i].at) j++;
        for (j_end = j; j_end < n && starts[j_end].at == ends[i].at;) j_end++;
        join_boundary(spans, ends + i, i_end - i, starts + j, j_end - j);
        i = i_end;
        j = j_end;
    }
}

size_t runs_link(struct search_span *spans, size_t count, uint64_t unit, struct chv_err *err)
{
    if (count == 0) return 0;
    struct edge *edges = malloc(2 * count * sizeof *edges);
    if (!edges) {
        chv_err_set(err, ENOMEM, "out of memory");
        return SIZE_MAX;
    }
    qsort(spans, count, sizeof *spans, compare_place);
    for (size_t i = 0; i < count; i++) spans[i].group = (uint32_t)i;
    for (size_t first = 0; first < count;) {
        size_t last = first + 1;
        while (last < count && spans[last].space == spans[first].space && spans[last].phase == spans[first].phase &&
               span_delta(&spans[last]) == span_delta(&spans[first]))
            last++;
        link_line(spans, first, last, unit, edges, edges + count);
        first = last;
    }
    free(edges);
    for (size_t i = 0; i < count; i++) root_of(spans, (uint32_t)i);
    for (size_t i = 0; i < count; i++) spans[i].group = root_of(spans, (uint32_t)i);
    qsort(spans, count, sizeof *spans, compare_group);
    size_t groups = 0;
    uint32_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t group = spans[i].group;
        if (i == 0 || group != previous) groups++;
        previous = group;
        spans[i].group = (uint32_t)(groups - 1);
    }
    return groups;
}

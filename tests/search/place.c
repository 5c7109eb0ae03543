/* From spans to candidates, without a store: merging, linking, fragments, repeats, bounds. */
#include "search/internal.h"
#include "tests/unit.h"

static struct search *fresh(size_t span_cap, uint64_t total)
{
    struct search *s = calloc(1, sizeof *s);
    CHECK(s);
    s->unit = 8;
    s->options.span_cap = span_cap;
    s->options.run_cap = 16384;
    s->compact_at = 65536;
    s->tolerance_ns = 1;
    s->result.phase_total[0] = total;
    return s;
}

/* `count` blocks of the file from `file_block`, at `block`, from..to (0: still there); seq equals time. */
static void add(struct search *s, uint64_t file_block, uint64_t block, uint64_t count, uint64_t from, uint64_t to)
{
    for (uint64_t i = 0; i < count; i++) {
        struct search_span span = {
            .file_sector = 8 * (file_block + i),
            .sector = 8 * (block + i),
            .blocks = 1,
            .from_seq = from,
            .from_seq_last = from,
            .from_ns = from,
            .from_ns_last = from,
            .to_seq = to ? to : SEARCH_STILL,
            .to_seq_last = to ? to : SEARCH_STILL,
            .to_ns = to ? to : SEARCH_STILL,
            .to_ns_last = to ? to : SEARCH_STILL,
            .space = 1,
            .from_op = CHV_OP_WRITE,
            .to_op = to ? CHV_OP_WRITE : 0,
        };
        CHECK(spans_add(s, &span) == 0);
    }
}

static const struct search_result *finish(struct search *s)
{
    const struct search_result *result;
    struct chv_err err;
    CHECK_OK(search_finish(s, &result, &err), err);
    return result;
}

static void whole_file(void)
{
    struct search *s = fresh(1000, 10);
    add(s, 5, 105, 5, 50, 0);
    add(s, 0, 100, 5, 40, 0);
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 1);
    const struct search_candidate *c = &r->candidates[0];
    CHECK(c->best == 10 && c->total == 10 && c->pieces == 1 && c->ascending);
    CHECK(c->from_ns == 40 && c->best_from_ns == 50 && c->to_ns == SEARCH_STILL && c->span_count == 2);
    CHECK(c->first_sector == 800 && c->end_sector == 880);
    search_free(s);
}

static void shrinking(void)
{
    struct search *s = fresh(1000, 10);
    add(s, 0, 100, 4, 10, 90);
    add(s, 4, 104, 3, 10, 60);
    add(s, 7, 107, 3, 10, 70);
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 1);
    const struct search_candidate *c = &r->candidates[0];
    CHECK(c->step_count == 4);
    const uint64_t want[4][2] = {{10, 10}, {60, 7}, {70, 4}, {90, 0}};
    for (int i = 0; i < 4; i++) CHECK(c->steps[i].time_ns == want[i][0] && c->steps[i].blocks == want[i][1]);
    CHECK(c->best == 10 && c->best_to_ns == 60 && c->to_ns == 90);
    search_free(s);
}

/* The same place at two times, and another copy: three candidates. */
static void several_times(void)
{
    struct search *s = fresh(1000, 10);
    add(s, 0, 100, 10, 10, 20);
    add(s, 0, 100, 10, 30, 40);
    add(s, 0, 500, 10, 12, 0);
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 3);
    for (size_t i = 0; i < 3; i++) CHECK(r->candidates[i].best == 10 && r->candidates[i].span_count == 1);
    CHECK(r->candidates[0].from_ns == 10 && r->candidates[1].from_ns == 12 && r->candidates[2].from_ns == 30);
    search_free(s);
}

/* Two fragmented copies cut at the same block: each fragment goes to the copy written with it. */
static void fragments(void)
{
    const uint64_t hour = UINT64_C(3600) * 1000000000;
    struct search *s = fresh(1000, 20);
    add(s, 0, 900, 10, 1 * hour, 0);
    add(s, 10, 300, 10, 1 * hour + 5, 0);
    add(s, 0, 100, 10, 2 * hour, 0);
    add(s, 10, 1100, 10, 2 * hour + 5, 0);
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 2);
    const struct search_candidate *a = &r->candidates[0], *b = &r->candidates[1];
    CHECK(a->best == 20 && b->best == 20 && a->pieces == 2 && b->pieces == 2);
    CHECK(a->from_ns == hour && !a->ascending && a->spans[0].sector == 7200 && a->spans[1].sector == 2400);
    CHECK(b->from_ns == 2 * hour && b->ascending && b->spans[0].sector == 800 && b->spans[1].sector == 8800);
    search_free(s);
}

/* One copy written over hours is still one copy; a fragment that moved stays in it. */
static void slow_and_moved(void)
{
    const uint64_t hour = UINT64_C(3600) * 1000000000;
    struct search *s = fresh(1000, 30);
    add(s, 0, 100, 10, 1 * hour, 0);
    add(s, 10, 300, 10, 2 * hour, 0);
    add(s, 20, 500, 10, 3 * hour, 4 * hour);
    add(s, 20, 700, 10, 4 * hour, 0);
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 1);
    CHECK(r->candidates[0].best == 30 && r->candidates[0].best_to_ns == SEARCH_STILL);
    search_free(s);
}

/* A file of two equal halves: the disk's blocks are explained once. */
static void repeats(void)
{
    struct search *s = fresh(1000, 20);
    for (uint64_t half = 0; half < 2; half++) {
        add(s, 0, 100 + 10 * half, 10, 10, 0);
        add(s, 10, 100 + 10 * half, 10, 10, 0);
    }
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 1 && r->candidates[0].best == 20 && r->candidates[0].pieces == 1);
    search_free(s);

    s = fresh(1000, 20); /* only one half on the disk: half the file, not all of it */
    add(s, 0, 100, 10, 10, 0);
    add(s, 10, 100, 10, 10, 0);
    r = finish(s);
    CHECK(r->candidate_count == 1 && r->candidates[0].best == 10);
    search_free(s);
}

static void weak_blocks(void)
{
    struct search *s = fresh(1000, 8);
    add(s, 0, 100, 4, 10, 0);
    add(s, 6, 106, 4, 10, 0);
    for (size_t i = 0; i < 4; i++) { /* two in place, two elsewhere */
        struct search_span span = s->spans[0];
        span.weak = 1;
        span.blocks = 1;
        span.file_sector = 8 * (4 + i % 2);
        span.sector = span.file_sector + (i < 2 ? 800 : 80000);
        CHECK(spans_add(s, &span) == 0);
    }
    const struct search_result *r = finish(s);
    CHECK(r->candidate_count == 1 && r->candidates[0].best == 8 && r->candidates[0].weak_at_best == 2);
    CHECK(!r->candidates[0].weak && r->candidates[0].pieces == 1);
    search_free(s);
}

/* Far more lifetimes than the bound allows: rounded, said so, and still nearly right. */
static void bounded(void)
{
    const size_t n = 20000;
    struct search *s = fresh(4096, n);
    for (size_t i = 0; i < n; i++) add(s, i, 1000 + i, 1, UINT64_C(1000000000000) + i * 1000, 0);
    const struct search_result *r = finish(s);
    CHECK(s->span_capacity <= 8192);
    CHECK(r->tolerance_ns > 0 && r->pieces_dropped == 0);
    CHECK(r->candidate_count == 1 && r->candidates[0].best == n && r->candidates[0].pieces == 1);
    CHECK(r->candidates[0].step_count <= 34);
    search_free(s);

    s = fresh(512, n); /* not even one address continues another */
    for (size_t i = 0; i < n; i++) add(s, i, 1000 + 3 * i, 1, UINT64_C(1000000000000), 0);
    r = finish(s);
    CHECK(s->span_capacity <= 1024 && r->pieces_dropped >= n - 1024);
    CHECK(r->candidate_count >= 1 && r->candidates[0].best <= 256);
    search_free(s);
}

int main(void)
{
    whole_file();
    shrinking();
    several_times();
    fragments();
    slow_and_moved();
    repeats();
    weak_blocks();
    bounded();
    return 0;
}

/* One batch of blocks against the index: which contents were seen, at which addresses, for how long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "search/internal.h"

#define REPEATS_PLACED 8   /* positions of a block the file repeats that are still placed */
#define WEAK_SIGHTINGS 256 /* of a non-probative block that are looked at */

struct search *search_new(const struct chv_store *store, const struct search_options *options)
{
    struct search *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    struct chv_store_info info;
    chv_store_info(store, &info);
    s->store = store;
    s->options = *options;
    if (!s->options.to_seq) s->options.to_seq = info.last_seq;
    if (!s->options.sighting_cap) s->options.sighting_cap = 1024;
    if (!s->options.common_addresses) s->options.common_addresses = 64;
    if (!s->options.span_cap) s->options.span_cap = 1 << 19;
    if (!s->options.run_cap) s->options.run_cap = 16384;
    s->unit = info.block_bytes / CHV_SECTOR_BYTES;
    s->tail_unindexed = info.unindexed_events > 0;
    s->compact_at = 65536;
    s->tolerance_ns = 1;
    return s;
}

void search_free(struct search *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->result.candidate_count; i++) {
        free(s->result.candidates[i].spans);
        free(s->result.candidates[i].steps);
    }
    free(s->result.candidates);
    free(s->spans);
    free(s->hashes);
    free(s->counts);
    free(s->events);
    free(s);
}

static int compare_blocks(const void *a, const void *b)
{
    const struct search_block *x = a, *y = b;
    int r = memcmp(x->hash, y->hash, CHV_HASH_BYTES);
    return r ? r : (x->sector > y->sector) - (x->sector < y->sector);
}

static int compare_events(const void *a, const void *b)
{
    const struct chv_event *x = a, *y = b;
    if (x->space != y->space) return x->space < y->space ? -1 : 1;
    uint64_t p = chv_event_lba(x), q = chv_event_lba(y);
    if (p != q) return p < q ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The recorded range may be part of the block: the address of interest is the block's. */
static int keep_event(void *arg, const struct chv_event *event)
{
    struct search *s = arg;
    if (s->event_count == s->event_capacity) return -E2BIG;
    struct chv_event *e = &s->events[s->event_count++];
    *e = *event;
    uint64_t lba = chv_event_lba(e);
    chv_event_set_lba(e, lba - lba % s->unit);
    return 0;
}

static int load_sightings(struct search *s, const uint8_t *hash, uint64_t cap, struct chv_err *err)
{
    if (s->event_capacity < s->options.sighting_cap) {
        s->events = malloc(s->options.sighting_cap * sizeof *s->events);
        if (!s->events) return chv_err_set(err, ENOMEM, "out of memory");
        s->event_capacity = s->options.sighting_cap;
    }
    s->event_count = 0;
    int64_t n = chv_store_sightings(s->store, hash, cap, keep_event, s, err);
    if (n < 0 && n != -E2BIG) return (int)n;
    qsort(s->events, s->event_count, sizeof *s->events, compare_events);
    return 0;
}

/* How long the content of `e` stood there; advances past rewrites of the same content.
 * Returns 1 with a one-block span, or -errno. */
static int lifetime(struct search *s, const struct chv_event *e, struct search_span *out, struct chv_err *err)
{
    uint64_t sector = chv_event_lba(e), block = sector / s->unit;
    *out = (struct search_span){
        .sector = sector,
        .blocks = 1,
        .space = e->space,
        .from_seq = e->seq,
        .from_ns = e->time_ns,
        .from_op = e->op,
        .to_seq = SEARCH_STILL,
        .to_ns = SEARCH_STILL,
    };
    if (e->op == CHV_OP_BASELINE) {
        /* The first version of a block holds for all earlier time; a later one is merely a look at it. */
        struct chv_extent before;
        int r = e->seq > 1 ? chv_store_block_at(s->store, e->space, block, e->seq - 1, &before, err) : 0;
        if (r < 0) return r;
        if (e->seq <= 1 || before.seq == e->seq) {
            const struct chv_space *space = chv_store_space_by_id(s->store, e->space);
            out->from_seq = space ? space->first_seq : 0;
            if (space) out->from_ns = space->first_time_ns;
        } else {
            out->from_op = CHV_OP_FOUND;
        }
    }
    struct chv_event end;
    uint64_t after = e->seq;
    for (;;) {
        int r = chv_store_next_version(s->store, e->space, block, after, &end, err);
        if (r < 0) return r;
        if (r == 0) break;
        if (chv_op_has_content(end.op) && memcmp(end.hash, e->hash, CHV_HASH_BYTES) == 0) {
            after = end.seq;
            continue;
        }
        out->to_seq = end.seq;
        out->to_ns = end.time_ns;
        out->to_op = end.op;
        break;
    }
    out->from_seq_last = out->from_seq;
    out->from_ns_last = out->from_ns;
    out->to_seq_last = out->to_seq;
    out->to_ns_last = out->to_ns;
    return 1;
}

static size_t distinct_addresses(const struct chv_event *events, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += i == 0 || events[i].space != events[i - 1].space ||
             chv_event_lba(&events[i]) != chv_event_lba(&events[i - 1]);
    return n;
}

static uint64_t file_phase(const struct search *s, uint64_t sector)
{
    return sector % s->unit;
}

/* All positions of one content (blocks[0..count)), all its lifetimes. */
static int place_content(struct search *s, struct search_block *blocks, size_t count, struct chv_err *err)
{
    uint64_t cap = blocks[0].kind == BLOCK_PROBATIVE ? s->options.sighting_cap : WEAK_SIGHTINGS;
    if (cap > s->options.sighting_cap) cap = s->options.sighting_cap;
    int r = load_sightings(s, blocks[0].hash, cap, err);
    if (r < 0) return r;
    if (s->event_count >= cap && chv_store_sighting_count(s->store, blocks[0].hash) > cap) s->result.capped++;
    if (distinct_addresses(s->events, s->event_count) > s->options.common_addresses) {
        for (size_t i = 0; i < count; i++)
            if (blocks[i].kind == BLOCK_PROBATIVE) blocks[i].kind = BLOCK_COMMON;
        if (s->event_count > WEAK_SIGHTINGS) s->event_count = WEAK_SIGHTINGS;
    }
    bool seen = false;
    size_t placed = count < REPEATS_PLACED ? count : REPEATS_PLACED;
    for (size_t i = 0; i < s->event_count; i++) {
        const struct chv_event *e = &s->events[i];
        if (s->options.space && e->space != s->options.space) continue;
        struct search_span span;
        if ((r = lifetime(s, e, &span, err)) < 0) return r;
        /* skip the rewrites that the lifetime already covers */
        while (i + 1 < s->event_count && s->events[i + 1].space == e->space &&
               chv_event_lba(&s->events[i + 1]) == span.sector && s->events[i + 1].seq < span.to_seq)
            i++;
        if (span.from_seq > s->options.to_seq || span.to_seq <= s->options.from_seq) continue;
        seen = true;
        s->result.sightings++;
        for (size_t k = 0; k < placed; k++) {
            span.file_sector = blocks[k].sector;
            span.phase = (uint8_t)file_phase(s, blocks[k].sector);
            span.weak = blocks[k].kind != BLOCK_PROBATIVE;
            if ((r = spans_add(s, &span)) < 0) return chv_err_set(err, -r, "out of memory");
        }
    }
    for (size_t i = 0; seen && i < count; i++) s->result.found += blocks[i].kind == BLOCK_PROBATIVE;
    return 0;
}

static int batch_reserve(struct search *s, size_t count)
{
    if (count <= s->batch_capacity) return 0;
    free(s->hashes);
    free(s->counts);
    s->hashes = malloc(count * sizeof *s->hashes);
    s->counts = malloc(count * sizeof *s->counts);
    s->batch_capacity = s->hashes && s->counts ? count : 0;
    return s->batch_capacity ? 0 : -ENOMEM;
}

int search_batch(struct search *s, struct search_block *blocks, size_t count, struct chv_err *err)
{
    if (batch_reserve(s, count) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    qsort(blocks, count, sizeof *blocks, compare_blocks);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || memcmp(blocks[i].hash, blocks[i - 1].hash, CHV_HASH_BYTES) != 0)
            memcpy(s->hashes[distinct++], blocks[i].hash, CHV_HASH_BYTES);
    }
    chv_store_sighting_counts(s->store, s->hashes, distinct, s->counts);
    size_t at = 0;
    for (size_t d = 0; d < distinct; d++) {
        size_t end = at;
        while (end < count && memcmp(blocks[end].hash, s->hashes[d], CHV_HASH_BYTES) == 0) end++;
        for (size_t i = at + REPEATS_PLACED; i < end; i++)
            if (blocks[i].kind == BLOCK_PROBATIVE) blocks[i].kind = BLOCK_REPEATED;
        if (blocks[at].kind != BLOCK_CONSTANT && (s->counts[d] > 0 || s->tail_unindexed)) {
            int r = place_content(s, blocks + at, end - at, err);
            if (r < 0) return r;
        }
        at = end;
    }
    for (size_t i = 0; i < count; i++) {
        s->result.blocks++;
        s->result.kinds[blocks[i].kind]++;
        uint64_t phase = file_phase(s, blocks[i].sector);
        if (blocks[i].kind == BLOCK_PROBATIVE) s->result.phase_total[phase]++;
        else if (blocks[i].kind != BLOCK_CONSTANT) s->phase_weak[phase]++;
    }
    return 0;
}

int search_finish(struct search *s, const struct search_result **out, struct chv_err *err)
{
    spans_compact(s);
    int r = place_spans(s, err);
    *out = &s->result;
    return r;
}

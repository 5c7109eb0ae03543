/* A walk over a space as of an instant, in address order, a window at a time: memory does not grow with history. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/version.h"

#define WINDOW 4096u     /* blocks resolved together */
#define EVENT_CACHE 256u /* events read at once: neighbours in address are often neighbours in the log */
#define CACHE_WAYS 8u

struct event_cache {
    uint64_t segment, first; /* first: index in the segment */
    size_t count;
    struct chv_event events[EVENT_CACHE];
};

struct chv_map {
    const struct chv_store *store;
    struct chv_space space;
    uint64_t seq, end;
    uint64_t window, window_end;    /* blocks resolved in newest and oldest */
    uint64_t next;                  /* block to report next */
    bool empty;                     /* no version touches the window, which then reaches to the next one that does */
    uint64_t upcoming;              /* while filling: first block behind the window that has a version */
    uint64_t newest[WINDOW], oldest[WINDOW];
    struct chv_extent pending;      /* waiting for what follows to be joined to it */
    bool has_pending;
    unsigned clock;
    struct event_cache caches[CACHE_WAYS];
};

int chv_map_open(const struct chv_store *store, uint16_t space_id, uint64_t first_block, uint64_t end_block,
                 uint64_t seq, struct chv_map **out, struct chv_err *err)
{
    const struct chv_space *space = chv_store_space_by_id(store, space_id);
    if (!space) return chv_err_set(err, ENOENT, "no space %u in %s", space_id, store->meta.dir);
    struct chv_map *map = calloc(1, sizeof *map);
    if (!map) return chv_err_set(err, ENOMEM, "out of memory");
    map->store = store;
    chv_store_space_as_of(store, space, seq, &map->space); /* another rest since says nothing about then */
    map->seq = seq;
    map->next = map->window = map->window_end = first_block;
    map->end = end_block;
    *out = map;
    return 0;
}

void chv_map_close(struct chv_map *map)
{
    free(map);
}

/* A node's newest (<= seq) or oldest (> seq) version holds for all its blocks in the window. */
static void spread(struct chv_map *map, unsigned level, uint64_t node, uint64_t newest, uint64_t oldest)
{
    uint64_t from = node << 4 * level, to = (node + 1) << 4 * level;
    if (from < map->window) from = map->window;
    if (to > map->window_end) to = map->window_end;
    for (uint64_t b = from; b < to; b++) {
        uint64_t *n = &map->newest[b - map->window], *o = &map->oldest[b - map->window];
        if (newest > *n) *n = newest;
        if (oldest && (!*o || oldest < *o)) *o = oldest;
    }
}

/* First entry at or behind `from` whose key is >= key: a few steps on foot, then by search. */
static uint64_t gallop(const struct run *run, uint64_t from, const uint8_t key[16])
{
    for (unsigned step = 0; step < 8; step++, from++)
        if (from >= run->count || memcmp(run_entry(run, from, 16), key, 16) >= 0) return from;
    return run_lower_bound(run, key, 16);
}

static void walk_level(struct chv_map *map, const struct run *run, unsigned level)
{
    uint64_t first = map->window >> 4 * level, last = (map->window_end - 1) >> 4 * level;
    uint8_t key[16], prefix[16];
    run_addr_key(key, map->space.id, level, first, 0);
    uint64_t k = run_lower_bound(run, key, 16);
    while (k < run->count) {
        const uint8_t *entry = run_entry(run, k, 16);
        uint64_t node = run_addr_node(entry);
        run_addr_key(prefix, map->space.id, level, node, 0);
        uint64_t group = run_get64(entry) >> 44;
        if (group != ((uint64_t)map->space.id << 4 | level)) break; /* another space or level */
        if (node > last) { /* behind the window */
            if (node << 4 * level < map->upcoming) map->upcoming = node << 4 * level;
            break;
        }
        map->empty = false;
        snapshot_touch_runs(map->store, 1);
        run_addr_key(key, map->space.id, level, node, map->seq < RUN_SEQ_MAX ? map->seq + 1 : RUN_SEQ_MAX);
        uint64_t after = gallop(run, k, key), newest = 0, oldest = 0;
        if (after > k) newest = run_addr_seq(run_entry(run, after - 1, 16));
        if (after < run->count) {
            const uint8_t *next = run_entry(run, after, 16);
            if (memcmp(next, prefix, 8) == 0 && run_addr_node(next) == node) oldest = run_addr_seq(next);
        }
        spread(map, level, node, newest, oldest);
        run_addr_key(key, map->space.id, level, node, RUN_SEQ_MAX);
        k = gallop(run, after, key);
    }
}

static void fill_window(struct chv_map *map)
{
    snapshot_touch(map->store);
    map->window = map->window_end;
    map->window_end = map->end - map->window > WINDOW ? map->window + WINDOW : map->end;
    map->empty = true;
    map->upcoming = map->end;
    memset(map->newest, 0, sizeof map->newest);
    memset(map->oldest, 0, sizeof map->oldest);
    for (size_t i = 0; i < snapshot_run_count(map->store); i++) {
        const struct run *run = snapshot_run(map->store, RUN_ADDR, i).run;
        for (unsigned level = 0; level < RUN_LEVELS; level++)
            if (run->levels & 1u << level) walk_level(map, run, level);
    }
    if (map->empty) map->window_end = map->upcoming; /* a sparse space is crossed in strides */
}

static int event_of(struct chv_map *map, uint64_t seq, struct chv_event *out, struct chv_err *err)
{
    int64_t segment = snapshot_segment_of(map->store, seq);
    if (segment < 0) return version_misfit(map->store, seq, err);
    int64_t at = snapshot_position(map->store, (size_t)segment, seq, err);
    if (at < 0) return (int)at;
    for (unsigned w = 0; w < CACHE_WAYS; w++) {
        const struct event_cache *c = &map->caches[w];
        if (c->count && c->segment == (uint64_t)segment && (uint64_t)at >= c->first && (uint64_t)at - c->first < c->count) {
            *out = c->events[(uint64_t)at - c->first];
            return 0;
        }
    }
    struct event_cache *c = &map->caches[map->clock++ % CACHE_WAYS];
    uint64_t first = (uint64_t)at - (uint64_t)at % EVENT_CACHE;
    int64_t n = snapshot_read_events(map->store, (size_t)segment, first, c->events, EVENT_CACHE, err);
    c->count = n < 0 ? 0 : (size_t)n;
    if (n < 0) return (int)n;
    c->segment = (uint64_t)segment;
    c->first = first;
    if ((uint64_t)at - first >= c->count || c->events[(uint64_t)at - first].seq != seq)
        return version_misfit(map->store, seq, err);
    *out = c->events[(uint64_t)at - first];
    return 0;
}

static int resolve(struct chv_map *map, uint64_t block, struct chv_extent *out, struct chv_err *err)
{
    struct chv_event newest, oldest;
    uint64_t n = map->empty ? 0 : map->newest[block - map->window], o = n || map->empty ? 0 : map->oldest[block - map->window];
    int r = n ? event_of(map, n, &newest, err) : 0;
    if (r == 0 && o) r = event_of(map, o, &oldest, err);
    if (r < 0) return r;
    if (n && !version_covers(map->store, &newest, map->space.id, block)) return version_misfit(map->store, n, err);
    if (o && !version_covers(map->store, &oldest, map->space.id, block)) return version_misfit(map->store, o, err);
    return version_resolve(map->store, &map->space, block, map->seq, n ? &newest : NULL, o ? &oldest : NULL, out);
}

int chv_map_next(struct chv_map *map, struct chv_extent *out, struct chv_err *err)
{
    while (map->next < map->end) {
        struct chv_extent extent;
        if (map->next == map->window_end) fill_window(map);
        int r = resolve(map, map->next, &extent, err);
        if (r < 0) return r;
        if (map->empty) extent.blocks = map->window_end - map->next;
        map->next += extent.blocks;
        if (!map->has_pending) {
            map->pending = extent;
            map->has_pending = true;
        } else if (extent.state != CHV_STATE_DATA && extent.state == map->pending.state && extent.seq == map->pending.seq) {
            map->pending.blocks += extent.blocks;
        } else {
            *out = map->pending;
            map->pending = extent;
            return 1;
        }
    }
    if (!map->has_pending) return 0;
    map->has_pending = false;
    *out = map->pending;
    return 1;
}

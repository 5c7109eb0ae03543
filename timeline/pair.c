#include "timeline/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pair_walk_init(struct pair_walk *walk, const struct chv_store *store, const struct chv_space *space, uint64_t seq_a,
                   uint64_t seq_b, struct chv_err *err)
{
    static const uint8_t zeros[4096];
    uint32_t block_bytes = chv_store_block_bytes(store);
    uint16_t entropy;
    memset(walk, 0, sizeof *walk);
    struct chv_space a, b;
    chv_store_space_as_of(store, space, seq_a, &a);
    chv_store_space_as_of(store, space, seq_b, &b);
    walk->end = ((a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes) + block_bytes - 1) / block_bytes;
    chv_digest_blocks(zeros, block_bytes, 1, &walk->zero_hash, &entropy);
    int r = chv_map_open(store, space->id, 0, walk->end, seq_a, &walk->map_a, err);
    if (r < 0) return r;
    r = chv_map_open(store, space->id, 0, walk->end, seq_b, &walk->map_b, err);
    if (r < 0) chv_map_close(walk->map_a);
    return r;
}

void pair_walk_fini(struct pair_walk *walk)
{
    chv_map_close(walk->map_a);
    chv_map_close(walk->map_b);
}

/* Extents that name the same event (or no event at all, in the same state) had nothing happen in between. */
static enum pair_verdict judge(const struct pair_walk *walk, const struct chv_extent *a, const struct chv_extent *b)
{
    if (a->state == b->state && a->seq == b->seq) return PAIR_SAME;
    if (a->state == CHV_STATE_SOURCE && b->state == CHV_STATE_SOURCE) return PAIR_SAME;
    bool known_a = a->state == CHV_STATE_ZERO || a->state == CHV_STATE_DATA;
    bool known_b = b->state == CHV_STATE_ZERO || b->state == CHV_STATE_DATA;
    if (!known_a || !known_b) return PAIR_UNKNOWN;
    const uint8_t *hash_a = a->state == CHV_STATE_DATA ? a->hash : walk->zero_hash;
    const uint8_t *hash_b = b->state == CHV_STATE_DATA ? b->hash : walk->zero_hash;
    return memcmp(hash_a, hash_b, CHV_HASH_BYTES) == 0 ? PAIR_REWRITTEN : PAIR_CHANGED;
}

/* The extent that holds walk->at, from its map. */
static int advance(struct pair_walk *walk, struct chv_map *map, struct chv_extent *extent, struct chv_err *err)
{
    while (extent->first_block + extent->blocks <= walk->at) {
        int r = chv_map_next(map, extent, err);
        if (r < 0) return r;
        if (r == 0 || extent->first_block > walk->at || extent->blocks == 0)
            return chv_err_set(err, EPROTO, "the map of a space leaves out block %llu", (unsigned long long)walk->at);
    }
    return 0;
}

int pair_walk_next(struct pair_walk *walk, struct pair *out, struct chv_err *err)
{
    if (walk->at >= walk->end) return 0;
    struct pair *p = &walk->next;
    int r = advance(walk, walk->map_a, &p->a, err);
    if (r == 0) r = advance(walk, walk->map_b, &p->b, err);
    if (r < 0) return r;
    uint64_t end_a = p->a.first_block + p->a.blocks, end_b = p->b.first_block + p->b.blocks;
    uint64_t end = end_a < end_b ? end_a : end_b;
    if (end > walk->end) end = walk->end;
    p->first_block = walk->at;
    p->blocks = end - walk->at;
    p->verdict = judge(walk, &p->a, &p->b);
    p->b_zeros = p->b.state == CHV_STATE_ZERO ||
                 (p->b.state == CHV_STATE_DATA && memcmp(p->b.hash, walk->zero_hash, CHV_HASH_BYTES) == 0);
    walk->at = end;
    *out = *p;
    return 1;
}

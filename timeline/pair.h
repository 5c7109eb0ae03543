/* Two instants of one space side by side: the walk under diff and rewind. */
#ifndef CHV_TIMELINE_PAIR_H
#define CHV_TIMELINE_PAIR_H

#include "chronovisor/store.h"

enum pair_verdict {
    PAIR_SAME,      /* nothing happened to it in between */
    PAIR_REWRITTEN, /* something was recorded in between, and the content is the same */
    PAIR_CHANGED,
    PAIR_UNKNOWN, /* at one of the instants the content is not known */
};

/* Blocks [first_block, first_block + blocks), in one state at each instant; one block when either is DATA. */
struct pair {
    uint64_t first_block, blocks;
    struct chv_extent a, b;
    enum pair_verdict verdict;
    bool b_zeros; /* zeros at b, by state or by content */
};

struct pair_walk {
    struct chv_map *map_a, *map_b;
    struct pair next;
    uint64_t at, end;
    uint8_t zero_hash[CHV_HASH_BYTES];
};

/* Walk what the space has as of both seq_a and seq_b (it may have been resized). Holds two maps open on the store. */
int pair_walk_init(struct pair_walk *walk, const struct chv_store *store, const struct chv_space *space, uint64_t seq_a,
                   uint64_t seq_b, struct chv_err *err);
/* 1 with *out filled, 0 at the end, or -errno. */
int pair_walk_next(struct pair_walk *walk, struct pair *out, struct chv_err *err);
void pair_walk_fini(struct pair_walk *walk);

#endif

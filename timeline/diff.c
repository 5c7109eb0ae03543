#include "timeline/diff.h"

#include <string.h>

#include "timeline/pair.h"

struct diff {
    uint64_t size_bytes; /* the larger of the two */
    uint32_t block_bytes;
    diff_fn *fn;
    void *arg;
    struct diff_totals *totals;
    struct diff_extent run; /* blocks 0: none */
};

static int emit(struct diff *diff)
{
    struct diff_extent *run = &diff->run;
    if (run->blocks == 0) return 0;
    run->offset = run->first_block * diff->block_bytes;
    run->bytes = run->blocks * diff->block_bytes;
    if (run->offset + run->bytes > diff->size_bytes) run->bytes = diff->size_bytes - run->offset;
    struct diff_totals *t = diff->totals;
    t->extents++;
    if (run->kind == DIFF_RESIZED) {
        t->resized_bytes += run->bytes;
    } else {
        *(run->kind == DIFF_UNKNOWN ? &t->unknown_blocks : &t->changed_blocks) += run->blocks;
        *(run->kind == DIFF_UNKNOWN ? &t->unknown_bytes : &t->changed_bytes) += run->bytes;
    }
    int r = diff->fn(diff->arg, run);
    run->blocks = 0;
    return r;
}

static int add(struct diff *diff, const struct pair *pair)
{
    if (pair->verdict == PAIR_REWRITTEN) diff->totals->rewritten_blocks += pair->blocks;
    if (pair->verdict == PAIR_SAME || pair->verdict == PAIR_REWRITTEN) return 0;
    enum diff_kind kind = pair->verdict == PAIR_UNKNOWN ? DIFF_UNKNOWN : pair->b_zeros ? DIFF_ZERO : DIFF_DATA;
    struct diff_extent *run = &diff->run;
    if (run->blocks > 0 && run->kind == kind && run->first_block + run->blocks == pair->first_block) {
        run->blocks += pair->blocks;
        return 0;
    }
    int r = emit(diff);
    *run = (struct diff_extent){.first_block = pair->first_block, .blocks = pair->blocks, .kind = kind};
    return r;
}

int diff_run(const struct chv_store *store, const struct chv_space *space, uint64_t from_seq, uint64_t to_seq,
             diff_fn *fn, void *arg, struct diff_totals *totals, struct chv_err *err)
{
    struct chv_space a, b;
    chv_store_space_as_of(store, space, from_seq, &a);
    chv_store_space_as_of(store, space, to_seq, &b);
    struct diff diff = {.size_bytes = a.size_bytes > b.size_bytes ? a.size_bytes : b.size_bytes,
                        .block_bytes = chv_store_block_bytes(store),
                        .fn = fn,
                        .arg = arg,
                        .totals = totals};
    struct pair_walk walk;
    struct pair pair;
    memset(totals, 0, sizeof *totals);
    int r = pair_walk_init(&walk, store, space, from_seq, to_seq, err);
    if (r < 0) return r;
    while ((r = pair_walk_next(&walk, &pair, err)) > 0)
        if ((r = add(&diff, &pair)) != 0) break;
    if (r == 0) r = emit(&diff);
    uint64_t blocks = (diff.size_bytes + diff.block_bytes - 1) / diff.block_bytes;
    if (r == 0 && blocks > walk.end) {
        diff.run = (struct diff_extent){.first_block = walk.end, .blocks = blocks - walk.end, .kind = DIFF_RESIZED};
        r = emit(&diff);
    }
    pair_walk_fini(&walk);
    return r;
}

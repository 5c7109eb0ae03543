/* What changed in a space between two instants, by content. */
#ifndef CHV_TIMELINE_DIFF_H
#define CHV_TIMELINE_DIFF_H

#include "chronovisor/store.h"

enum diff_kind {
    DIFF_DATA,    /* other content than before */
    DIFF_ZERO,    /* zeros now, and something else before */
    DIFF_UNKNOWN, /* at one of the instants the content is not known */
    DIFF_RESIZED, /* the space had this part at one of the instants only */
};

struct diff_extent {
    uint64_t first_block, blocks;
    uint64_t offset, bytes; /* the same in bytes, cut at the end of the space */
    enum diff_kind kind;
};

struct diff_totals {
    uint64_t extents;
    uint64_t changed_blocks, changed_bytes;
    uint64_t unknown_blocks, unknown_bytes;
    uint64_t resized_bytes;
    uint64_t rewritten_blocks; /* recorded in between, and the content is the same: not in any extent */
};

/* Called for each extent in address order; non-zero stops and is returned. */
typedef int diff_fn(void *arg, const struct diff_extent *extent);

int diff_run(const struct chv_store *store, const struct chv_space *space, uint64_t from_seq, uint64_t to_seq,
             diff_fn *fn, void *arg, struct diff_totals *totals, struct chv_err *err);

#endif

/* A space as it was at one instant, readable like a disk, never copied to be looked at. */
#ifndef CHRONOVISOR_TIMELINE_H
#define CHRONOVISOR_TIMELINE_H

#include "chronovisor/store.h"

struct chv_view;

struct chv_view_options {
    const char *source;    /* overrides the recorded device's path; NULL: as recorded */
    bool assume_unchanged; /* read the device for never-captured blocks even across a gap */
    bool zero_unknown;     /* read unknown blocks as zeros instead of EIO (counted) */
};

/* Open `space` as of `seq`. The store must outlive the view; the view may be read by many threads.
 * Blocks the recorder never captured come from the recorded device itself, checked against
 * later baselines, so that a view stays exact while the guest goes on writing. */
int chv_view_open(struct chv_store *store, const struct chv_space *space, uint64_t seq,
                  const struct chv_view_options *options, struct chv_view **out, struct chv_err *err);
void chv_view_close(struct chv_view *view);

uint64_t chv_view_size_bytes(const struct chv_view *view);
uint64_t chv_view_seq(const struct chv_view *view);

/* Read any byte range inside the size. 0, or -EIO with the block, reason and what to do. */
int chv_view_pread(struct chv_view *view, void *buf, size_t bytes, uint64_t offset, struct chv_err *err);
/* How many unknown blocks were read as zeros so far (zero_unknown). */
uint64_t chv_view_unknown_blocks(const struct chv_view *view);

/* Walk the extents of the whole view (chv_map_next, chv_map_close): runs of one state, DATA a block
 * at a time. Before the view closes. SOURCE extents may have versions by now; chv_view_pread sees to that. */
int chv_view_map(struct chv_view *view, struct chv_map **out, struct chv_err *err);

#endif

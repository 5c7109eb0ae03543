/* A stream of accesses as pictures: one of each window of time in which something happened. */
#ifndef CHV_DETECT_PICTURE_STREAM_H
#define CHV_DETECT_PICTURE_STREAM_H

#include "detect/access.h"
#include "detect/features.h"
#include "detect/picture.h"

#define PICTURE_WINDOW_SECONDS_MAX 3600u
#define PICTURE_COLOURS 3u
#define PICTURE_ACCESSES_MAX (4u << 20) /* 128 MiB; what a window has beyond is left out, and counted */
#define PICTURE_ROWS_MAX (1u << 16)     /* 64 MiB of features, the same; a tick of them may be shorter than a second */

struct picture_options {
    uint32_t width, height;         /* pixels */
    uint32_t window_seconds;        /* 1..PICTURE_WINDOW_SECONDS_MAX */
    bool heatmap;                   /* else angular fields of features, which follow */
    enum feature_set set;
    size_t chosen[PICTURE_COLOURS]; /* of the set's features, `colours` of them */
    size_t colours;                 /* 0: all of the set, as tiles */
};

/* Window number `window`, counted from time 0. `p` is the callee's until it returns. Not 0: stop, and push returns that. */
typedef int picture_fn(void *arg, const struct picture *p, uint64_t window);

struct picture_stream;
/* EINVAL: an option out of range. ENOMEM. */
int picture_stream_new(const struct picture_options *options, picture_fn *fn, void *arg, struct picture_stream **out);
void picture_stream_free(struct picture_stream *s);
/* Take an access; its time counts from the stream's beginning. Calls fn for a window that ended before it. 0, what fn said,
 * or -errno; after that only the next stream can be pushed (picture_stream_begin). */
int picture_stream_push(struct picture_stream *s, const struct access *a);
/* The end of the stream: the window that is not full yet. */
int picture_stream_finish(struct picture_stream *s);
/* Forget what was pushed: what comes next is another stream. -ENOMEM. */
int picture_stream_begin(struct picture_stream *s);
/* Accesses, or rows of features, left out of crowded windows, of all streams so far. */
uint64_t picture_stream_dropped(const struct picture_stream *s);

#endif

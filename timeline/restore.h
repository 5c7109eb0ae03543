/* Write a view out: a sparse raw file, or a stream of raw bytes. */
#ifndef CHV_TIMELINE_RESTORE_H
#define CHV_TIMELINE_RESTORE_H

#include <signal.h>

#include "chronovisor/timeline.h"

struct restore_options {
    bool stream;      /* fd is written in order, zeros included; else a file, and zeros become holes */
    unsigned workers; /* 0: as many as cores, at most 8 */
    void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes); /* one call at a time; may be NULL */
    void *arg;
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: give up with -EINTR */
};

struct restore_result {
    uint64_t size_bytes, data_bytes; /* data_bytes: not holes */
};

/* The file must be empty (or all zeros up to its end). On an error it is left half written: remove it. */
int restore_write(struct chv_view *view, int fd, const struct restore_options *options, struct restore_result *result,
                  struct chv_err *err);

#endif

/* One write at a time, done by a thread of its own: the caller prepares the next meanwhile. */
#ifndef CHV_STORE_BEHIND_H
#define CHV_STORE_BEHIND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

struct behind {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool running, stop, busy;
    int result;

    const struct io *io;
    int fd;
    const void *data;
    size_t bytes;
    uint64_t offset;
};

/* Write data, which stays as it is until behind_wait. Nothing may be under way. Without a thread it is done at once. */
void behind_write(struct behind *b, const struct io *io, int fd, const void *data, size_t bytes, uint64_t offset);
/* Wait until nothing is under way; 0 or the -errno of what was. */
int behind_wait(struct behind *b);
void behind_stop(struct behind *b);

#endif

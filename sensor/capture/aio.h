/* Reads and writes of a disk through io_uring: put in many at a time, done in any order.
 *
 * Any thread submits. What the kernel has done by the end of a submission (a read out of the page cache, say) is
 * finished by the thread that submitted it; the rest by a thread of the ring, which sleeps when there is no rest. */
#ifndef CHV_SENSOR_AIO_H
#define CHV_SENSOR_AIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sensor/capture/disk.h"

#define AIO_DEPTH 256u /* most under way in a ring: a submission waits above that */
#define AIO_BATCH 32u  /* worth a system call of their own */

/* All of it is the caller's until `done`, which gets 0 or -errno: everything or an error, as with disk_pread(). It is
 * called from any thread and without a lock, and may submit nothing. */
struct aio_op {
    struct aio_op *next;
    void (*done)(struct aio_op *op, int error);
    const struct iovec *iov;
    unsigned iovs;
    bool write;
    uint64_t offset, bytes; /* is changed */
};

/* What is to be submitted together. */
struct aio_batch {
    struct aio_op *head, **tail;
    unsigned count;
};

struct aio;

/* May this process use io_uring? One line that says what to do when not. */
int aio_check(struct chv_err *err);
/* A ring for a disk, which stays open longer. */
int aio_new(const struct disk *disk, struct aio **out, struct chv_err *err);
/* NULL is fine. Waits for what is under way. */
void aio_free(struct aio *a);

static inline void aio_add(struct aio_batch *b, struct aio_op *op)
{
    op->next = NULL;
    if (!b->head) b->tail = &b->head;
    *b->tail = op;
    b->tail = &op->next;
    b->count++;
}

/* Start all of it; the batch is empty then. In no order: what overlaps must not be under way together. */
void aio_submit(struct aio *a, struct aio_batch *b);

#endif

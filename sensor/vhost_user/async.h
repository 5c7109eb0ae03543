/* Reads and writes whose disk part io_uring does: the thread that took the request goes on with the next one. */
#ifndef CHV_SENSOR_VHOST_ASYNC_H
#define CHV_SENSOR_VHOST_ASYNC_H

#include "sensor/capture/aio.h"
#include "sensor/vhost_user/blk.h"

#define ASYNC_BYTES_MAX (8u << 20) /* of data copied out of the guest, in a queue; above that its threads wait */

struct async {
    struct aio_op op; /* the first member */
    struct iovec one, *places; /* places: `one`, or memory of its own */
    uint8_t *data;             /* of a write */
    struct job *job;
};

enum async_state {
    ASYNC_NO,      /* not this one: nothing has happened */
    ASYNC_STARTED, /* it is in the batch */
    ASYNC_DONE,    /* it is over: async_end() */
};

/* May a request be tried? */
bool async_may(const struct capture *c, const struct blk_request *request, bool durable);
/* Record it, and put its disk part into the batch, which is submitted first when the request has to wait for another.
 * a->op.done is the caller's, called with the error that async_end() gets. A failure is a line in `err`. */
enum async_state async_begin(struct async *a, struct capture *c, const struct chain *chain,
                             const struct blk_request *request, struct aio *aio, struct aio_batch *batch,
                             struct chv_err *err);
/* Set the status; returns how many bytes were written to the chain. */
uint32_t async_end(struct async *a, struct capture *c, const struct chain *chain, const struct blk_request *request,
                   int error, struct chv_err *err);

#endif

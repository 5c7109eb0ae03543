#include "sensor/vhost_user/async.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool async_may(const struct capture *c, const struct blk_request *q, bool durable)
{
    if (q->bytes == 0 || !blk_within(c, q->sector, q->bytes)) return false;
    if (q->kind == BLK_READ) return true;
    return q->kind == BLK_WRITE && !durable && q->bytes <= BLK_BOUNCE_BYTES &&
           capture_one_chunk(c, q->bytes, q->sector * 512);
}

static void release(struct async *a)
{
    if (a->places != &a->one) free(a->places);
    free(a->data);
    a->places = NULL;
    a->data = NULL;
}

static enum async_state begin_read(struct async *a, struct capture *c, const struct chain *chain,
                                   const struct blk_request *q, struct chv_err *err)
{
    unsigned n = blk_places(chain, q, &a->one, 1);
    if (n == 0) {
        a->places = malloc(CHAIN_SEGMENTS_MAX * sizeof *a->places);
        if (!a->places) return ASYNC_NO;
        n = blk_places(chain, q, a->places, CHAIN_SEGMENTS_MAX);
    }
    int r = capture_read_begin(c, (uint32_t)q->bytes, q->sector * 512, err);
    if (r == -EAGAIN) {
        release(a);
        return ASYNC_NO;
    }
    a->op.iovs = n;
    return r < 0 ? ASYNC_DONE : ASYNC_STARTED;
}

static enum async_state begin_write(struct async *a, struct capture *c, const struct chain *chain,
                                    const struct blk_request *q, struct aio *aio, struct aio_batch *batch,
                                    struct chv_err *err)
{
    a->data = malloc(q->bytes);
    if (!a->data) return ASYNC_NO;
    /* log and disk must get the same bytes, whatever the guest does to its own meanwhile */
    blk_gather(chain, q, a->data);
    if (guest_memory_lost(chain->memory)) {
        chv_err_set(err, EFAULT, "a request's data is gone");
        return ASYNC_DONE;
    }
    int r = capture_write_begin(c, a->data, (uint32_t)q->bytes, q->sector * 512, false, &a->job, err);
    if (r == -EAGAIN) { /* whom this waits for may be in the batch, or wait for what is */
        aio_submit(aio, batch);
        r = capture_write_begin(c, a->data, (uint32_t)q->bytes, q->sector * 512, true, &a->job, err);
    }
    a->one = (struct iovec){a->data, q->bytes};
    a->op.iovs = 1;
    return r > 0 ? ASYNC_STARTED : ASYNC_DONE;
}

enum async_state async_begin(struct async *a, struct capture *c, const struct chain *chain, const struct blk_request *q,
                             struct aio *aio, struct aio_batch *batch, struct chv_err *err)
{
    err->code = 0;
    a->places = &a->one;
    a->data = NULL;
    a->job = NULL;
    enum async_state state = q->kind == BLK_READ ? begin_read(a, c, chain, q, err)
                                                 : begin_write(a, c, chain, q, aio, batch, err);
    if (state != ASYNC_STARTED) return state;
    a->op.iov = a->places;
    a->op.write = q->kind == BLK_WRITE;
    a->op.offset = q->sector * 512;
    a->op.bytes = q->bytes;
    aio_add(batch, &a->op);
    return state;
}

uint32_t async_end(struct async *a, struct capture *c, const struct chain *chain, const struct blk_request *q,
                   int error, struct chv_err *err)
{
    if (a->job) error = capture_write_end(c, a->job, error, err);
    else if (q->kind == BLK_READ && err->code == 0)
        error = capture_read_end(c, error, (uint32_t)q->bytes, q->sector * 512, err);
    release(a);
    return blk_done(chain, q, error == 0 && err->code == 0);
}

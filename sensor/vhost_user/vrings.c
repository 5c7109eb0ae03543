#include "sensor/vhost_user/vrings.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool in_use(const struct queue *q)
{
    return q->ring.desc != NULL;
}

static int set_size(struct queue *q, uint32_t size, struct chv_err *err)
{
    if (in_use(q)) return chv_err_set(err, EBUSY, "SET_VRING_NUM: queue %u is in use", q->index);
    if (size == 0 || size > VRING_SIZE_MAX || (!q->ring.packed && (size & (size - 1))))
        return chv_err_set(err, EINVAL, "SET_VRING_NUM: queue %u of %u; a power of 2 up to %u is possible", q->index,
                           size, VRING_SIZE_MAX);
    q->ring.size = size;
    return 0;
}

/* The queue is paused: its threads do not look at the ring. */
static void map_or_break(struct queue *q, struct guest_memory *memory)
{
    struct chv_err err;
    if (vring_map(&q->ring, memory, &err) == 0) return;
    vring_unmap(&q->ring);
    if (!q->broken) queue_break(q, &err);
}

static int set_addr(struct queue *q, struct guest_memory *memory, const struct vu_addr *addr, struct chv_err *err)
{
    if (addr->flags & ~VU_ADDR_LOG) return chv_err_set(err, EINVAL, "SET_VRING_ADDR: flags 0x%x", addr->flags);
    q->ring.addr = *addr;
    if (in_use(q)) map_or_break(q, memory);
    return 0;
}

static int set_base(struct queue *q, uint32_t base, struct chv_err *err)
{
    if (in_use(q)) return chv_err_set(err, EBUSY, "SET_VRING_BASE: queue %u is in use", q->index);
    uint32_t most = q->ring.size ? q->ring.size : VRING_SIZE_MAX;
    if (q->ring.packed ? (base & 0x7fff) >= most || (base >> 16 & 0x7fff) >= most : base > UINT16_MAX)
        return chv_err_set(err, EINVAL, "SET_VRING_BASE: queue %u cannot be at 0x%x", q->index, base);
    vring_set_base(&q->ring, base);
    return 0;
}

/* The kick's descriptor starts the ring. */
static int set_kick(struct queue *q, struct guest_memory *memory, const struct inflight_map *inflight,
                    struct vu_msg *msg, struct chv_err *err)
{
    if (msg->fds == 0)
        return chv_err_set(err, EINVAL, "SET_VRING_KICK: queue %u has none, and is not polled", q->index);
    if (!memory || q->ring.size == 0)
        return chv_err_set(err, EINVAL, "SET_VRING_KICK: queue %u has no memory or no size yet", q->index);
    uint32_t base = vring_base(&q->ring);
    if (q->ring.packed && ((base & 0x7fff) >= q->ring.size || (base >> 16 & 0x7fff) >= q->ring.size))
        return chv_err_set(err, EINVAL, "SET_VRING_KICK: queue %u of %u is at 0x%x", q->index, q->ring.size, base);
    fcntl(msg->fd[0], F_SETFL, O_NONBLOCK); /* a peer that empties it first must not keep us */
    queue_set_fd(&q->kick, vu_take_fd(msg));
    if (in_use(q)) return 0;
    q->broken = false;
    map_or_break(q, memory);
    if (q->broken) return 0;
    if (!q->ring.packed) q->ring.used_next = ring_load16(q->ring.used + 2);
    return inflight_start(&q->inflight, inflight, q->index, &q->ring, err);
}

static int stop(struct queue *q, struct vu_msg *msg)
{
    queue_drain(q);
    msg->payload.state.number = vring_base(&q->ring);
    vring_unmap(&q->ring);
    queue_set_fd(&q->kick, -1);
    q->broken = false;
    return 1;
}

static void set_call(struct queue *q, struct vu_msg *msg)
{
    if (msg->fds) fcntl(msg->fd[0], F_SETFL, O_NONBLOCK);
    pthread_mutex_lock(&q->mutex);
    queue_set_fd(&q->call, vu_take_fd(msg));
    /* what was answered meanwhile was told to nobody */
    ssize_t ignored = q->call >= 0 && in_use(q) ? write(q->call, &(uint64_t){1}, 8) : 0;
    (void)ignored;
    pthread_mutex_unlock(&q->mutex);
}

int vrings_message(struct queue *q, struct guest_memory *memory, const struct inflight_map *inflight,
                   struct vu_msg *msg, struct chv_err *err)
{
    int r = 0;
    if (msg->request == VU_SET_VRING_CALL) {
        set_call(q, msg);
        return 0;
    }
    queue_pause(q);
    switch (msg->request) {
    case VU_SET_VRING_NUM: r = set_size(q, msg->payload.state.number, err); break;
    case VU_SET_VRING_ADDR: r = set_addr(q, memory, &msg->payload.addr, err); break;
    case VU_SET_VRING_BASE: r = set_base(q, msg->payload.state.number, err); break;
    case VU_GET_VRING_BASE: r = stop(q, msg); break;
    case VU_SET_VRING_KICK: r = set_kick(q, memory, inflight, msg, err); break;
    case VU_SET_VRING_ENABLE: q->enabled = msg->payload.state.number != 0; break;
    default: break; /* SET_VRING_ERR: a broken ring is said on standard error */
    }
    queue_resume(q);
    return r;
}

void vrings_memory(struct queue *q, struct guest_memory *memory)
{
    queue_pause(q);
    if (in_use(q)) map_or_break(q, memory);
    queue_resume(q);
}

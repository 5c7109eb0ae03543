#include "sensor/vhost_user/device.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sensor/vhost_user/vrings.h"

#define BIT(n) (UINT64_C(1) << (n))
enum { F_LOG_ALL = 26, F_INDIRECT = 28, F_EVENT_IDX = 29, F_PROTOCOL = 30, F_VERSION_1 = 32, F_PACKED = 34 };

#define PROTOCOL_OFFERED                                                                                       \
    (BIT(VU_PROTOCOL_MQ) | BIT(VU_PROTOCOL_LOG_SHMFD) | BIT(VU_PROTOCOL_REPLY_ACK) | BIT(VU_PROTOCOL_CONFIG) | \
     BIT(VU_PROTOCOL_INFLIGHT_SHMFD) | BIT(VU_PROTOCOL_MEM_SLOTS))

uint64_t device_features(const struct device *d)
{
    return blk_features(d->shared.capture) | BIT(F_LOG_ALL) | BIT(F_INDIRECT) | BIT(F_EVENT_IDX) | BIT(F_PROTOCOL) |
           BIT(F_VERSION_1) | BIT(F_PACKED);
}

int device_new(struct session *session, struct capture *capture, struct device **out, struct chv_err *err)
{
    struct device *d = calloc(1, sizeof *d);
    if (!d) return chv_err_set(err, ENOMEM, "out of memory");
    long cores = sysconf(_SC_NPROCESSORS_ONLN), threads = 2 * (cores > 0 ? cores : 1);
    d->shared.session = session;
    d->shared.capture = capture;
    d->shared.threads = threads < 4 ? 4 : threads > (long)QUEUE_THREADS_MAX ? QUEUE_THREADS_MAX : (unsigned)threads;
    int r = 0;
    for (; r == 0 && d->queues < BLK_QUEUES_MAX; d->queues += r == 0)
        r = queue_init(&d->queue[d->queues], &d->shared, d->queues);
    if (r == 0) {
        *out = d;
        return 0;
    }
    device_free(d);
    return chv_err_set(err, -r, "eventfd: %s", strerror(-r));
}

void device_free(struct device *d)
{
    if (!d) return;
    for (unsigned i = 0; i < d->queues; i++) queue_fini(&d->queue[i]);
    guest_memory_drop(d->memory);
    for (unsigned i = 0; i < d->table.count; i++) close(d->table_fd[i]);
    inflight_close(&d->inflight);
    dirty_log_free(d->log);
    free(d);
}

static void share_log(struct device *d)
{
    for (unsigned i = 0; i < d->queues; i++) {
        pthread_mutex_lock(&d->queue[i].mutex);
        d->queue[i].log = d->features & BIT(F_LOG_ALL) ? d->log : NULL;
        pthread_mutex_unlock(&d->queue[i].mutex);
    }
}

static int set_features(struct device *d, uint64_t features, struct chv_err *err)
{
    if (features & ~device_features(d))
        return chv_err_set(err, EINVAL, "SET_FEATURES: 0x%llx was not offered",
                           (unsigned long long)(features & ~device_features(d)));
    d->features = features;
    for (unsigned i = 0; i < d->queues; i++) {
        struct queue *q = &d->queue[i];
        queue_pause(q);
        if (!q->ring.desc) { /* a ring that is in use stays what it is: only logging may change then */
            q->ring.packed = features & BIT(F_PACKED);
            q->ring.event_idx = features & BIT(F_EVENT_IDX);
            q->ring.indirect = features & BIT(F_INDIRECT);
        }
        if (!(features & BIT(F_PROTOCOL))) q->enabled = true;
        queue_resume(q);
    }
    /* a driver that knows of no flush: a write is durable when it is answered (virtio 1.2, 5.2.6.2) */
    atomic_store(&d->shared.durable, !(features & BIT(VIRTIO_BLK_F_FLUSH)));
    share_log(d);
    return 0;
}

/* Map this instead of what is mapped. The descriptors stay the caller's. */
static int use_table(struct device *d, const struct vu_memory *table, const int *fd, struct chv_err *err)
{
    struct guest_memory *memory;
    int r = guest_memory_new(table, fd, &memory, err);
    if (r < 0) return r;
    guest_memory_drop(d->memory);
    d->memory = memory;
    d->table = *table;
    for (unsigned i = 0; i < d->queues; i++) vrings_memory(&d->queue[i], memory);
    return 0;
}

static int set_memory(struct device *d, struct vu_msg *msg, struct chv_err *err)
{
    int before[VU_FDS_MAX];
    unsigned count = d->table.count;
    memcpy(before, d->table_fd, sizeof before);
    int r = use_table(d, &msg->payload.memory, msg->fd, err);
    if (r < 0) return r;
    for (unsigned i = 0; i < count; i++) close(before[i]);
    for (unsigned i = 0; i < d->table.count; i++) {
        d->table_fd[i] = msg->fd[i];
        msg->fd[i] = -1;
    }
    return 0;
}

static int add_region(struct device *d, struct vu_msg *msg, struct chv_err *err)
{
    struct vu_memory table = d->table;
    if (table.count == VU_FDS_MAX) return chv_err_set(err, EINVAL, "ADD_MEM_REG: more than %u regions", VU_FDS_MAX);
    table.region[table.count] = msg->payload.slot.region;
    d->table_fd[table.count++] = msg->fd[0];
    int r = use_table(d, &table, d->table_fd, err);
    if (r == 0) vu_take_fd(msg);
    return r;
}

static int remove_region(struct device *d, const struct vu_msg *msg, struct chv_err *err)
{
    const struct vu_region *gone = &msg->payload.slot.region;
    struct vu_memory table = d->table;
    unsigned at = 0;
    while (at < table.count && (table.region[at].gpa != gone->gpa || table.region[at].uva != gone->uva ||
                                table.region[at].bytes != gone->bytes))
        at++;
    if (at == table.count) return chv_err_set(err, EINVAL, "REM_MEM_REG: there is no such region");
    const int fd = d->table_fd[at];
    table.count--;
    for (unsigned i = at; i < table.count; i++) {
        table.region[i] = table.region[i + 1];
        d->table_fd[i] = d->table_fd[i + 1];
    }
    d->table = table; /* also if it cannot be mapped: that ends the connection */
    int r = use_table(d, &table, d->table_fd, err);
    close(fd);
    return r;
}

static int set_log(struct device *d, struct vu_msg *msg, struct chv_err *err)
{
    struct dirty_log *log, *before = d->log;
    int r = dirty_log_new(msg->fd[0], msg->payload.log.bytes, msg->payload.log.offset, &log, err);
    if (r < 0) return r;
    d->log = log;
    share_log(d);
    dirty_log_free(before);
    msg->payload.u64 = 0;
    msg->size = 8;
    return DEVICE_ANSWER;
}

static int get_config(struct device *d, struct vu_msg *msg)
{
    uint8_t all[VU_CONFIG_BYTES] = {0};
    blk_config(d->shared.capture, all);
    memcpy(msg->payload.config.data, all + msg->payload.config.offset, msg->payload.config.bytes);
    return DEVICE_ANSWER;
}

static int get_inflight(struct vu_msg *msg, struct chv_err *err)
{
    struct vu_inflight *w = &msg->payload.inflight;
    if (w->queues == 0 || w->queues > BLK_QUEUES_MAX || w->queue_size == 0 || w->queue_size > VRING_SIZE_MAX)
        return chv_err_set(err, EINVAL, "GET_INFLIGHT_FD: %u queues of %u", w->queues, w->queue_size);
    int r = inflight_create(w->queues, w->queue_size, &msg->fd[0], &w->bytes, err);
    if (r < 0) return r;
    msg->fds = 1;
    w->offset = 0;
    return DEVICE_ANSWER_FD;
}

static int set_inflight(struct device *d, const struct vu_msg *msg, struct chv_err *err)
{
    for (unsigned i = 0; i < d->queues; i++)
        if (d->queue[i].ring.desc) return chv_err_set(err, EBUSY, "SET_INFLIGHT_FD while queue %u is in use", i);
    return inflight_open(&d->inflight, msg->fd[0], &msg->payload.inflight, err);
}

static int answer_u64(struct vu_msg *msg, uint64_t value)
{
    msg->payload.u64 = value;
    msg->size = 8;
    return DEVICE_ANSWER;
}

static int set_protocol(struct device *d, uint64_t protocol, struct chv_err *err)
{
    if (protocol & ~PROTOCOL_OFFERED)
        return chv_err_set(err, EINVAL, "SET_PROTOCOL_FEATURES: 0x%llx was not offered",
                           (unsigned long long)(protocol & ~PROTOCOL_OFFERED));
    d->protocol = protocol;
    return 0;
}

int device_message(struct device *d, struct vu_msg *msg, struct chv_err *err)
{
    uint32_t index;
    switch (msg->request) {
    case VU_GET_FEATURES: return answer_u64(msg, device_features(d));
    case VU_SET_FEATURES: return set_features(d, msg->payload.u64, err);
    case VU_GET_PROTOCOL_FEATURES: return answer_u64(msg, PROTOCOL_OFFERED);
    case VU_SET_PROTOCOL_FEATURES: return set_protocol(d, msg->payload.u64, err);
    case VU_SET_OWNER:
    case VU_RESET_OWNER:
    case VU_SET_LOG_FD: return 0; /* only a signal that the log changed: it is written to all the same */
    case VU_GET_QUEUE_NUM: return answer_u64(msg, BLK_QUEUES_MAX);
    case VU_SET_MEM_TABLE: return set_memory(d, msg, err);
    case VU_GET_MAX_MEM_SLOTS: return answer_u64(msg, VU_FDS_MAX);
    case VU_ADD_MEM_REG: return add_region(d, msg, err);
    case VU_REM_MEM_REG: return remove_region(d, msg, err);
    case VU_SET_LOG_BASE: return set_log(d, msg, err);
    case VU_GET_CONFIG: return get_config(d, msg);
    case VU_SET_CONFIG:
        return chv_err_set(err, EINVAL, "SET_CONFIG: nothing of the configuration is the guest's to set");
    case VU_GET_INFLIGHT_FD: return get_inflight(msg, err);
    case VU_SET_INFLIGHT_FD: return set_inflight(d, msg, err);
    default: break;
    }
    /* what is left is about one ring */
    bool by_byte =
        msg->request == VU_SET_VRING_KICK || msg->request == VU_SET_VRING_CALL || msg->request == VU_SET_VRING_ERR;
    index = by_byte ? (uint32_t)(msg->payload.u64 & 0xff) : msg->payload.state.index;
    if (index >= d->queues)
        return chv_err_set(err, EINVAL, "%s: there is no queue %u", vu_name(msg->request), index);
    return vrings_message(&d->queue[index], d->memory, &d->inflight, msg, err);
}

/* 0 or -errno: the connection is over. */
static int answer(struct device *d, int fd, struct vu_msg *msg, int r)
{
    bool wants = (msg->flags & VU_FLAG_NEED_REPLY) && (d->protocol & BIT(VU_PROTOCOL_REPLY_ACK));
    if (r > 0) return vu_send_reply(fd, msg, r == DEVICE_ANSWER_FD);
    if (!wants) return 0;
    answer_u64(msg, r < 0);
    return vu_send_reply(fd, msg, false);
}

void device_serve(struct device *d, int fd, int stop)
{
    struct vu_msg msg;
    struct chv_err err = {0};
    int r;
    while ((r = vu_receive(fd, stop, &msg, &err)) > 0) {
        r = device_message(d, &msg, &err);
        int sent = answer(d, fd, &msg, r);
        vu_close(&msg);
        if (r < 0 || sent < 0) break;
    }
    if (r < 0)
        fprintf(stderr, "chronovisor record: %s: the front-end is sent away: %s\n", d->shared.capture->space_name,
                err.text);
}

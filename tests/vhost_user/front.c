#include "tests/vhost_user/front.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096u
#define UVA 0x100000000u /* nothing is there: the back-end must not believe it to be an address of its own */
enum { DESC_NEXT = 1, DESC_WRITE = 2 };
enum { PACKED_AVAIL = 1 << 7, PACKED_USED = 1 << 15, PACKED_DISABLE = 1 };
#define F_LOG_ALL (UINT64_C(1) << 26)
#define F_EVENT_IDX (UINT64_C(1) << 29)
#define F_PROTOCOL (UINT64_C(1) << 30)
#define F_PACKED (UINT64_C(1) << 34)

static void die(const char *what)
{
    fprintf(stderr, "front: %s: %s\n", what, strerror(errno));
    exit(1);
}

bool front_send(struct front *f, uint32_t request, const void *payload, uint32_t bytes, const int *fds, unsigned count)
{
    uint8_t all[VU_HEADER_BYTES + 512];
    const uint32_t header[3] = {request, VU_FLAG_VERSION, bytes};
    memcpy(all, header, sizeof header);
    if (bytes) memcpy(all + sizeof header, payload, bytes);
    union {
        struct cmsghdr align;
        uint8_t room[CMSG_SPACE(8 * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = all, .iov_len = sizeof header + bytes};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.align = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
        memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
    }
    return sendmsg(f->fd, &h, MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

bool front_answer(struct front *f, struct vu_msg *msg)
{
    union {
        struct cmsghdr align;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control;
    uint32_t header[3];
    struct iovec iov = {.iov_base = header, .iov_len = sizeof header};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(msg, 0, sizeof *msg);
    if (recvmsg(f->fd, &h, MSG_WAITALL) != sizeof header) return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_type == SCM_RIGHTS) {
        memcpy(&msg->fd[0], CMSG_DATA(c), sizeof(int));
        msg->fds = 1;
    }
    msg->request = header[0];
    msg->flags = header[1];
    msg->size = header[2];
    if (msg->size > sizeof msg->payload || !(msg->flags & VU_FLAG_REPLY)) return false;
    return recv(f->fd, msg->payload.bytes, msg->size, MSG_WAITALL) == (ssize_t)msg->size;
}

uint64_t front_ask(struct front *f, uint32_t request)
{
    struct vu_msg msg;
    if (!front_send(f, request, NULL, 0, NULL, 0) || !front_answer(f, &msg)) die(vu_name(request));
    return msg.payload.u64;
}

static void tell(struct front *f, uint32_t request, const void *payload, uint32_t bytes, const int *fds, unsigned count)
{
    if (!front_send(f, request, payload, bytes, fds, count)) die(vu_name(request));
}

int front_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die(path);
    return fd;
}

static void lay_out(struct front *f)
{
    uint8_t *at = f->ram;
    for (unsigned i = 0; i < f->queues; i++) {
        struct front_queue *q = &f->queue[i];
        q->desc = at;
        q->avail = at + PAGE;
        q->used = at + 2 * PAGE;
        q->headers = at + 3 * PAGE;
        q->data = at + 4 * PAGE;
        at = q->data + (uint64_t)f->slot_bytes * FRONT_DEPTH_MAX;
        q->kick = q->call = -1;
    }
}

static void negotiate(struct front *f)
{
    if (f->features & F_PROTOCOL) tell(f, VU_SET_PROTOCOL_FEATURES, &f->protocol, 8, NULL, 0);
    tell(f, VU_SET_OWNER, NULL, 0, NULL, 0);
    tell(f, VU_SET_FEATURES, &f->features, 8, NULL, 0);
    struct vu_memory table = {.count = 1, .region = {{.gpa = FRONT_GPA, .bytes = f->ram_bytes, .uva = UVA}}};
    struct vu_slot slot = {.region = table.region[0]};
    if (f->packed) tell(f, VU_ADD_MEM_REG, &slot, 40, &f->ram_fd, 1); /* either way */
    else tell(f, VU_SET_MEM_TABLE, &table, 40, &f->ram_fd, 1);
}

static void open_with(struct front *f, int fd, unsigned queues, uint32_t slot_bytes, uint64_t wanted)
{
    memset(f, 0, sizeof *f);
    f->fd = fd;
    f->inflight = -1;
    f->queues = queues;
    f->slot_bytes = (slot_bytes + PAGE - 1) / PAGE * PAGE;
    f->ram_bytes = queues * (4 * PAGE + (uint64_t)f->slot_bytes * FRONT_DEPTH_MAX);
    f->ram_fd = memfd_create("front", MFD_CLOEXEC);
    if (f->ram_fd < 0 || ftruncate(f->ram_fd, (off_t)f->ram_bytes) < 0) die("memfd");
    f->ram = mmap(NULL, f->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, f->ram_fd, 0);
    if (f->ram == MAP_FAILED) die("mmap");
    lay_out(f);
    f->features = front_ask(f, VU_GET_FEATURES) & wanted & ~F_LOG_ALL;
    f->packed = f->features & F_PACKED;
    if (f->features & F_PROTOCOL)
        f->protocol = front_ask(f, VU_GET_PROTOCOL_FEATURES) &
                      (1u << VU_PROTOCOL_MQ | 1u << VU_PROTOCOL_CONFIG | 1u << VU_PROTOCOL_INFLIGHT_SHMFD);
    negotiate(f);
}

void front_open(struct front *f, int fd, unsigned queues, uint32_t slot_bytes, uint64_t wanted)
{
    open_with(f, fd, queues, slot_bytes, wanted & ~F_PACKED);
}

void front_open_packed(struct front *f, int fd, unsigned queues, uint32_t slot_bytes)
{
    open_with(f, fd, queues, slot_bytes, ~UINT64_C(0));
    if (!f->packed) die("no packed rings");
}

void front_track(struct front *f)
{
    struct vu_inflight what = {.queues = (uint16_t)f->queues, .queue_size = FRONT_RING};
    struct vu_msg msg;
    tell(f, VU_GET_INFLIGHT_FD, &what, 24, NULL, 0);
    if (!front_answer(f, &msg) || msg.fds != 1) die("GET_INFLIGHT_FD");
    f->inflight_area = msg.payload.inflight;
    f->inflight = msg.fd[0];
    tell(f, VU_SET_INFLIGHT_FD, &f->inflight_area, 24, &f->inflight, 1);
}

static uint64_t uva(const struct front *f, const uint8_t *p)
{
    return UVA + (uint64_t)(p - f->ram);
}

static void set_ring(struct front *f, unsigned queue, uint32_t at)
{
    struct front_queue *q = &f->queue[queue];
    struct vu_state size = {queue, FRONT_RING}, base = {queue, at}, enable = {queue, 1};
    struct vu_addr addr = {.index = queue, .desc = uva(f, q->desc), .used = uva(f, q->used), .avail = uva(f, q->avail)};
    uint64_t index = queue;
    tell(f, VU_SET_VRING_NUM, &size, 8, NULL, 0);
    tell(f, VU_SET_VRING_BASE, &base, 8, NULL, 0);
    tell(f, VU_SET_VRING_ADDR, &addr, 40, NULL, 0);
    tell(f, VU_SET_VRING_CALL, &index, 8, &q->call, 1);
    tell(f, VU_SET_VRING_KICK, &index, 8, &q->kick, 1);
    if (f->features & F_PROTOCOL) tell(f, VU_SET_VRING_ENABLE, &enable, 8, NULL, 0);
}

void front_start(struct front *f, unsigned queue)
{
    struct front_queue *q = &f->queue[queue];
    memset(q->desc, 0, 3 * PAGE);
    q->avail_index = q->used_seen = 0;
    q->avail_wrap = q->used_wrap = true;
    if (q->kick >= 0) close(q->kick), close(q->call);
    q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    set_ring(f, queue, f->packed ? 1u << 15 | 1u << 31 : 0);
}

void front_again(struct front *f, int fd)
{
    close(f->fd);
    f->fd = fd;
    negotiate(f);
    if (f->inflight >= 0) tell(f, VU_SET_INFLIGHT_FD, &f->inflight_area, 24, &f->inflight, 1);
    for (unsigned i = 0; i < f->queues; i++) {
        set_ring(f, i, f->packed ? 1u << 15 | 1u << 31 : 0); /* where it is, the notes say */
        if (write(f->queue[i].kick, &(uint64_t){1}, 8) != 8) die("kick");
    }
}

uint16_t front_stop(struct front *f, unsigned queue)
{
    struct vu_state state = {queue, 0};
    struct vu_msg msg;
    tell(f, VU_GET_VRING_BASE, &state, 8, NULL, 0);
    if (!front_answer(f, &msg)) die("GET_VRING_BASE");
    return (uint16_t)msg.payload.state.number;
}

void front_close(struct front *f)
{
    close(f->fd);
    for (unsigned i = 0; i < f->queues; i++)
        if (f->queue[i].kick >= 0) close(f->queue[i].kick), close(f->queue[i].call);
    munmap(f->ram, f->ram_bytes);
    close(f->ram_fd);
    if (f->inflight >= 0) close(f->inflight);
}

uint64_t front_capacity(struct front *f)
{
    struct vu_config config = {.bytes = 60};
    struct vu_msg msg;
    uint64_t sectors;
    tell(f, VU_GET_CONFIG, &config, 12 + 60, NULL, 0);
    if (!front_answer(f, &msg) || msg.size != 72) die("GET_CONFIG");
    memcpy(&sectors, msg.payload.config.data, 8);
    return sectors;
}

uint8_t *front_data(struct front *f, unsigned queue, unsigned slot)
{
    return f->queue[queue].data + (size_t)f->slot_bytes * slot;
}

struct piece {
    const uint8_t *at;
    uint32_t bytes;
    bool in;
};

static void put_desc(struct front *f, uint8_t *to, const struct piece *p, uint16_t a, uint16_t b)
{
    const uint64_t gpa = FRONT_GPA + (uint64_t)(p->at - f->ram);
    memcpy(to, &gpa, 8);
    memcpy(to + 8, &p->bytes, 4);
    memcpy(to + 12, &a, 2);
    __atomic_store_n((uint16_t *)(to + 14), b, __ATOMIC_RELEASE);
}

static void put_split(struct front *f, struct front_queue *q, unsigned slot, const struct piece *piece, unsigned n)
{
    const uint16_t head = (uint16_t)(3 * slot);
    for (unsigned i = 0; i < n; i++) {
        unsigned flags = (i + 1 < n ? DESC_NEXT : 0u) | (piece[i].in ? DESC_WRITE : 0u);
        put_desc(f, q->desc + 16 * (size_t)(head + i), &piece[i], (uint16_t)flags, (uint16_t)(head + i + 1));
    }
    memcpy(q->avail + 4 + 2 * (size_t)(q->avail_index % FRONT_RING), &head, 2);
    __atomic_store_n((uint16_t *)(q->avail + 2), ++q->avail_index, __ATOMIC_RELEASE);
}

/* The first descriptor last: it is what publishes the others. */
static void put_packed(struct front *f, struct front_queue *q, unsigned slot, const struct piece *piece, unsigned n)
{
    for (unsigned left = n; left-- > 0;) {
        unsigned at = q->avail_index + left;
        bool wrap = at >= FRONT_RING ? !q->avail_wrap : q->avail_wrap;
        unsigned flags = (left + 1 < n ? DESC_NEXT : 0u) | (piece[left].in ? DESC_WRITE : 0u) |
                         (unsigned)(wrap ? PACKED_AVAIL : PACKED_USED);
        put_desc(f, q->desc + 16 * (size_t)(at % FRONT_RING), &piece[left], (uint16_t)slot, (uint16_t)flags);
    }
    if (q->avail_index + n >= FRONT_RING) q->avail_wrap = !q->avail_wrap;
    q->avail_index = (uint16_t)((q->avail_index + n) % FRONT_RING);
    q->slots[slot] = (uint8_t)n;
}

void front_submit(struct front *f, unsigned queue, unsigned slot, uint32_t type, uint64_t sector, uint32_t bytes)
{
    struct front_queue *q = &f->queue[queue];
    uint8_t *header = q->headers + 32 * (size_t)slot;
    const uint32_t start[2] = {type, 0};
    memcpy(header, start, 8);
    memcpy(header + 8, &sector, 8);
    header[16] = 0xff;
    struct piece piece[3] = {{header, 16, false}};
    unsigned n = 1;
    if (bytes)
        piece[n++] =
            (struct piece){front_data(f, queue, slot), bytes, type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID};
    piece[n++] = (struct piece){header + 16, 1, true};
    if (f->packed) put_packed(f, q, slot, piece, n);
    else put_split(f, q, slot, piece, n);
}

static bool wants_kick(const struct front *f, const struct front_queue *q)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (f->packed) return __atomic_load_n((uint16_t *)(q->used + 2), __ATOMIC_ACQUIRE) != PACKED_DISABLE;
    if (!(f->features & F_EVENT_IDX)) return !(__atomic_load_n((uint16_t *)q->used, __ATOMIC_ACQUIRE) & 1);
    uint16_t event = __atomic_load_n((uint16_t *)(q->used + 4 + 8 * FRONT_RING), __ATOMIC_ACQUIRE);
    /* submitted one or several: the event lies behind the newest index, but not a ring behind */
    return (uint16_t)(q->avail_index - event - 1) < FRONT_RING;
}

void front_kick(struct front *f, unsigned queue)
{
    struct front_queue *q = &f->queue[queue];
    if (wants_kick(f, q) && write(q->kick, &(uint64_t){1}, 8) != 8) die("kick");
}

/* The slot of a request that was given back, or -1. */
static int take_used(const struct front *f, struct front_queue *q)
{
    if (!f->packed) {
        uint32_t id;
        if (__atomic_load_n((uint16_t *)(q->used + 2), __ATOMIC_ACQUIRE) == q->used_seen) return -1;
        memcpy(&id, q->used + 4 + 8 * (size_t)(q->used_seen++ % FRONT_RING), 4);
        return (int)(id / 3);
    }
    const uint8_t *d = q->desc + 16 * (size_t)q->used_seen;
    uint16_t id, flags = __atomic_load_n((const uint16_t *)(d + 14), __ATOMIC_ACQUIRE);
    if (!!(flags & PACKED_AVAIL) != q->used_wrap || !!(flags & PACKED_USED) != q->used_wrap) return -1;
    memcpy(&id, d + 12, 2);
    unsigned next = q->used_seen + q->slots[id % FRONT_RING];
    if (next >= FRONT_RING) q->used_wrap = !q->used_wrap;
    q->used_seen = (uint16_t)(next % FRONT_RING);
    return id;
}

int front_wait(struct front *f, unsigned queue, int timeout_ms)
{
    struct front_queue *q = &f->queue[queue];
    for (;;) {
        int slot = take_used(f, q);
        if (slot >= 0) return slot;
        if (!f->packed) __atomic_store_n((uint16_t *)(q->avail + 4 + 2 * FRONT_RING), q->used_seen, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if ((slot = take_used(f, q)) >= 0) return slot;
        struct pollfd p = {.fd = q->call, .events = POLLIN};
        uint64_t count;
        if (poll(&p, 1, timeout_ms) == 0) return -1;
        if (read(q->call, &count, 8) < 0 && errno != EAGAIN) die("call");
    }
}

uint8_t front_status(struct front *f, unsigned queue, unsigned slot)
{
    return f->queue[queue].headers[32 * (size_t)slot + 16];
}

int front_do(struct front *f, unsigned queue, uint32_t type, uint64_t sector, uint32_t bytes)
{
    front_submit(f, queue, 0, type, sector, bytes);
    front_kick(f, queue);
    return front_wait(f, queue, 2000) < 0 ? -1 : front_status(f, queue, 0);
}

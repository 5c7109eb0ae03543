#include "sensor/vhost_user/proto.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum fds { FDS_NONE, FDS_MAYBE, FDS_ONE, FDS_REGIONS };

/* What each request must look like: the bounds of its payload, and its descriptors. A request without name is none. */
static const struct {
    const char *name;
    uint16_t size_min, size_max;
    enum fds fds;
} shape[VU_REQUESTS] = {
    [VU_GET_FEATURES] = {"GET_FEATURES", 0, 0, FDS_NONE},
    [VU_SET_FEATURES] = {"SET_FEATURES", 8, 8, FDS_NONE},
    [VU_SET_OWNER] = {"SET_OWNER", 0, 0, FDS_NONE},
    [VU_RESET_OWNER] = {"RESET_OWNER", 0, 0, FDS_NONE},
    [VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", 8 + 32, 8 + 32 * VU_FDS_MAX, FDS_REGIONS},
    [VU_SET_LOG_BASE] = {"SET_LOG_BASE", 16, 16, FDS_ONE},
    [VU_SET_LOG_FD] = {"SET_LOG_FD", 0, 8, FDS_MAYBE},
    [VU_SET_VRING_NUM] = {"SET_VRING_NUM", 8, 8, FDS_NONE},
    [VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", 40, 40, FDS_NONE},
    [VU_SET_VRING_BASE] = {"SET_VRING_BASE", 8, 8, FDS_NONE},
    [VU_GET_VRING_BASE] = {"GET_VRING_BASE", 8, 8, FDS_NONE},
    [VU_SET_VRING_KICK] = {"SET_VRING_KICK", 8, 8, FDS_MAYBE},
    [VU_SET_VRING_CALL] = {"SET_VRING_CALL", 8, 8, FDS_MAYBE},
    [VU_SET_VRING_ERR] = {"SET_VRING_ERR", 8, 8, FDS_MAYBE},
    [VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", 0, 0, FDS_NONE},
    [VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", 8, 8, FDS_NONE},
    [VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", 0, 0, FDS_NONE},
    [VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", 8, 8, FDS_NONE},
    [VU_GET_CONFIG] = {"GET_CONFIG", 12, 12 + VU_CONFIG_BYTES, FDS_NONE},
    [VU_SET_CONFIG] = {"SET_CONFIG", 12, 12 + VU_CONFIG_BYTES, FDS_NONE},
    [VU_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", 20, 24, FDS_NONE},
    [VU_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", 20, 24, FDS_ONE},
    [VU_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", 0, 0, FDS_NONE},
    [VU_ADD_MEM_REG] = {"ADD_MEM_REG", 40, 40, FDS_ONE},
    [VU_REM_MEM_REG] = {"REM_MEM_REG", 40, 40, FDS_MAYBE},
};

const char *vu_name(uint32_t request)
{
    return request < VU_REQUESTS && shape[request].name ? shape[request].name : "?";
}

int vu_check_header(const struct vu_msg *msg, struct chv_err *err)
{
    if ((msg->flags & 3) != VU_FLAG_VERSION || (msg->flags & VU_FLAG_REPLY))
        return chv_err_set(err, EPROTO, "a message with flags 0x%x is not of version 1", msg->flags);
    if (msg->request >= VU_REQUESTS || !shape[msg->request].name)
        return chv_err_set(err, EPROTO, "message %u was not offered", msg->request);
    const char *name = shape[msg->request].name;
    if (msg->size < shape[msg->request].size_min || msg->size > shape[msg->request].size_max)
        return chv_err_set(err, EPROTO, "%s: %u bytes of payload", name, msg->size);
    enum fds fds = shape[msg->request].fds;
    if ((fds == FDS_NONE && msg->fds != 0) || (fds == FDS_ONE && msg->fds != 1) || (fds == FDS_MAYBE && msg->fds > 1))
        return chv_err_set(err, EPROTO, "%s: %u descriptors", name, msg->fds);
    return 0;
}

int vu_check_payload(const struct vu_msg *msg, struct chv_err *err)
{
    const char *name = vu_name(msg->request);
    const struct vu_config *config = &msg->payload.config;
    switch (msg->request) {
    case VU_SET_MEM_TABLE:
        if (msg->payload.memory.count == 0 || msg->payload.memory.count != msg->fds ||
            msg->size != 8 + 32 * msg->payload.memory.count)
            return chv_err_set(err, EPROTO, "%s: %u regions, %u descriptors, %u bytes", name, msg->payload.memory.count,
                               msg->fds, msg->size);
        return 0;
    case VU_SET_VRING_KICK:
    case VU_SET_VRING_CALL:
    case VU_SET_VRING_ERR:
        if ((msg->payload.u64 & VU_NO_FD ? 0u : 1u) != msg->fds || msg->payload.u64 > (VU_NO_FD | 0xff))
            return chv_err_set(err, EPROTO, "%s: 0x%llx with %u descriptors", name,
                               (unsigned long long)msg->payload.u64, msg->fds);
        return 0;
    case VU_GET_CONFIG:
    case VU_SET_CONFIG:
        if (config->bytes != msg->size - 12 || config->offset > VU_CONFIG_BYTES ||
            config->bytes > VU_CONFIG_BYTES - config->offset)
            return chv_err_set(err, EPROTO, "%s: %u bytes at %u in %u", name, config->bytes, config->offset, msg->size);
        return 0;
    default: return 0;
    }
}

static int wait_readable(int fd, int stop)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            if (errno != EINTR) return -errno;
            continue;
        }
        return fds[1].revents ? 0 : 1;
    }
}

/* The first bytes, and whatever descriptors came with them. */
static ssize_t receive_start(int fd, uint8_t *to, struct vu_msg *msg)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * VU_FDS_MAX)];
    } control;
    struct iovec iov = {.iov_base = to, .iov_len = VU_HEADER_BYTES};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    while ((n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
            if (msg->fds < VU_FDS_MAX)
                msg->fd[msg->fds++] = got;
            else
                close(got);
        }
    }
    return header.msg_flags & MSG_CTRUNC ? -EPROTO : n; /* more of them than any message has */
}

/* 1, 0 at the end of the stream or of the server, -errno. */
static int receive_all(int fd, int stop, uint8_t *to, size_t bytes)
{
    while (bytes > 0) {
        int r = wait_readable(fd, stop);
        if (r <= 0) return r;
        ssize_t n = recv(fd, to, bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 ? 0 : -errno;
        to += n;
        bytes -= (size_t)n;
    }
    return 1;
}

int vu_receive(int fd, int stop, struct vu_msg *msg, struct chv_err *err)
{
    uint8_t header[VU_HEADER_BYTES];
    memset(msg, 0, sizeof *msg);
    int r = wait_readable(fd, stop);
    if (r > 0) {
        ssize_t n = receive_start(fd, header, msg);
        r = n <= 0 ? (int)n : receive_all(fd, stop, header + n, sizeof header - (size_t)n);
    }
    if (r > 0) {
        memcpy(&msg->request, header, 4);
        memcpy(&msg->flags, header + 4, 4);
        memcpy(&msg->size, header + 8, 4);
        if ((r = vu_check_header(msg, err)) < 0) goto out;
        r = receive_all(fd, stop, msg->payload.bytes, msg->size);
    }
    if (r > 0 && (r = vu_check_payload(msg, err)) == 0) return 1;
    if (r < 0 && r != -EPROTO) chv_err_set(err, -r, "reading a message: %s", strerror(-r));
    if (r == -EPROTO && msg->size == 0 && msg->request == 0)
        chv_err_set(err, EPROTO, "a message with too many descriptors");
out:
    vu_close(msg);
    return r;
}

int vu_send_reply(int fd, const struct vu_msg *msg, bool with_fd)
{
    uint8_t bytes[VU_HEADER_BYTES + sizeof msg->payload];
    const uint32_t header[3] = {msg->request, VU_FLAG_VERSION | VU_FLAG_REPLY, msg->size};
    memcpy(bytes, header, sizeof header);
    memcpy(bytes + sizeof header, msg->payload.bytes, msg->size);
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof header + msg->size};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (with_fd) {
        h.msg_control = &control;
        h.msg_controllen = sizeof control;
        control.align =
            (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.align), &msg->fd[0], sizeof(int));
    }
    ssize_t n;
    /* A reply is smaller than any socket's buffer; a peer that lets it fill up is not waited for. */
    while ((n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR) continue;
    return n < 0 ? -errno : (size_t)n == iov.iov_len ? 0 : -EPIPE;
}

void vu_close(struct vu_msg *msg)
{
    for (unsigned i = 0; i < msg->fds; i++)
        if (msg->fd[i] >= 0) close(msg->fd[i]);
    msg->fds = 0;
}

int vu_take_fd(struct vu_msg *msg)
{
    if (msg->fds == 0) return -1;
    int fd = msg->fd[0];
    msg->fd[0] = -1;
    return fd;
}

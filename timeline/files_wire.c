#include "timeline/files_wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

int wire_send(int socket, uint32_t type, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    struct wire_header header = {.type = type, .bytes = (uint32_t)(a_bytes + b_bytes)};
    struct iovec iov[3] = {{&header, sizeof header}, {(void *)a, a_bytes}, {(void *)b, b_bytes}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    while (msg.msg_iovlen > 0) {
        ssize_t n = sendmsg(socket, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == ECONNRESET ? -EPIPE : -errno;
        while (msg.msg_iovlen > 0 && (size_t)n >= msg.msg_iov->iov_len) {
            n -= (ssize_t)msg.msg_iov->iov_len;
            msg.msg_iov++, msg.msg_iovlen--;
        }
        if (msg.msg_iovlen > 0) {
            msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + n;
            msg.msg_iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int wire_receive(int socket, void *buf, size_t bytes, uint32_t stall_seconds)
{
    for (char *p = buf; bytes > 0;) {
        if (stall_seconds > 0) {
            struct pollfd waiting = {.fd = socket, .events = POLLIN};
            int r = poll(&waiting, 1, (int)stall_seconds * 1000);
            if (r == 0) return -ETIMEDOUT;
            if (r < 0 && errno != EINTR) return -errno;
            if (r < 0) continue;
        }
        ssize_t n = recv(socket, p, bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == ECONNRESET ? -EPIPE : -errno;
        if (n == 0) return -EPIPE;
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

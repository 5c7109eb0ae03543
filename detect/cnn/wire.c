#include "detect/cnn/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

int wire_send_all(int socket, const void *data, size_t bytes)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = bytes};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    while (iov.iov_len > 0) {
        ssize_t n = sendmsg(socket, &msg, MSG_NOSIGNAL); /* the jail has no sendto */
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == ECONNRESET ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
        iov.iov_base = (char *)iov.iov_base + n;
        iov.iov_len -= (size_t)n;
    }
    return 0;
}

int wire_receive_all(int socket, void *data, size_t bytes, unsigned stall_seconds)
{
    for (char *p = data; bytes > 0;) {
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

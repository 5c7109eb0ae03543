#include "guest/helper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define STALL_MS 10000 /* who asks and does not read is not waited for longer */

/* The port blocks while nobody is connected, so it is written without blocking and given up when the other side is gone. */
static void send_all(struct answer *a, const uint8_t *data, size_t bytes)
{
    while (bytes > 0 && a->error == 0) {
        ssize_t n = write(a->fd, data, bytes);
        if (n > 0) {
            data += n;
            bytes -= (size_t)n;
            continue;
        }
        struct pollfd p = {.fd = a->fd, .events = POLLOUT};
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN)
            a->error = -errno;
        else if (poll(&p, 1, STALL_MS) <= 0)
            a->error = -ETIMEDOUT;
        else if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
            a->error = -EPIPE;
    }
}

static void flush(struct answer *a, uint8_t kind, int status, uint64_t value)
{
    a->header = (struct chv_helper_frame){.magic = CHV_HELPER_MAGIC, .version = CHV_HELPER_VERSION, .kind = kind, .id = a->id,
                                          .flags = kind == CHV_HELPER_END ? a->flags : 0, .bytes = (uint32_t)a->bytes,
                                          .pid = a->pid, .status = (uint32_t)status, .value = value};
    send_all(a, (const uint8_t *)&a->header, sizeof a->header + a->bytes);
    a->bytes = 0;
}

_Static_assert(offsetof(struct answer, data) == offsetof(struct answer, header) + sizeof(struct chv_helper_frame), "one write");

void answer_begin(struct answer *a, int fd, const struct chv_helper_frame *request)
{
    a->fd = fd;
    a->id = request->id;
    a->pid = request->pid;
    a->kind = 0;
    a->flags = 0;
    a->sent = 0;
    a->error = 0;
    a->bytes = 0;
}

void answer_add(struct answer *a, uint8_t kind, const void *head, size_t head_bytes, const void *rest, size_t rest_bytes)
{
    size_t padded = (rest_bytes + 7) / 8 * 8;
    if (a->take) {
        a->take(a->arg, kind, head, rest, rest_bytes);
        a->sent++;
        return;
    }
    if (a->bytes > 0 && (a->kind != kind || a->bytes + head_bytes + padded > sizeof a->data)) flush(a, a->kind, 0, 0);
    a->kind = kind;
    memcpy(a->data + a->bytes, head, head_bytes);
    if (padded > 0) {
        memset(a->data + a->bytes + head_bytes, 0, padded);
        memcpy(a->data + a->bytes + head_bytes, rest, rest_bytes);
    }
    a->bytes += head_bytes + padded;
    a->sent++;
}

void answer_end(struct answer *a, int status)
{
    if (a->bytes > 0) flush(a, a->kind, 0, 0);
    flush(a, CHV_HELPER_END, status, a->sent);
}

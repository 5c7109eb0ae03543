/* Bytes to the collector's socket, as from another program of this host. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/control.h"

static void on_ask(void *arg, const struct chv_request *request)
{
    struct control *c = arg;
    uint8_t reply[CHV_WIRE_REPLY_BYTES_MAX] = {0};
    control_answer(c, (struct control_message){.kind = CONTROL_REPLY, .bytes = (uint32_t)(request->id % sizeof reply)}, reply);
}

static int on_note(void *arg, const char *space, const char *text)
{
    if (strlen(space) > CHV_WIRE_NAME_BYTES || strlen(text) > CONTROL_PAYLOAD_MAX) abort();
    control_answer(arg, (struct control_message){.kind = CONTROL_NOTED}, NULL);
    return 0;
}

static void on_gone(void *arg)
{
    if (((struct control *)arg)->client >= 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct control_ops ops = {on_ask, on_note, on_gone};
    static struct control c;
    int ends[2];
    c = (struct control){.dir_fd = -1, .listener = -1};
    if (size > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return 0;
    c.client = ends[0];
    while (c.client >= 0) {
        ssize_t n = size ? send(ends[1], data, size, MSG_NOSIGNAL) : 0; /* less than all, if the socket is full */
        if (n > 0) data += n, size -= (size_t)n;
        if (!size) shutdown(ends[1], SHUT_WR);
        struct pollfd fds[2] = {{.fd = -1}, {.fd = c.client, .events = POLLIN, .revents = POLLIN}};
        if (control_serve(&c, fds, &ops, &c) < 0) abort();
    }
    control_close(&c);
    close(ends[1]);
    return 0;
}

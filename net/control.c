#include "net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int control_check(const struct control_message *m, bool request)
{
    bool good = m->magic == CONTROL_MAGIC && m->bytes <= CONTROL_PAYLOAD_MAX;
    switch (m->kind) {
    case CONTROL_ASK:
        good = good && request && m->bytes == sizeof(struct chv_request);
        break;
    case CONTROL_NOTE:
        good = good && request && m->bytes > CHV_WIRE_NAME_BYTES;
        break;
    case CONTROL_REPLY:
        good = good && !request && m->bytes >= sizeof(struct chv_reply) && m->bytes <= CHV_WIRE_REPLY_BYTES_MAX;
        break;
    case CONTROL_NOTED:
        good = good && !request && m->bytes == 0;
        break;
    case CONTROL_ERROR:
        good = good && !request && m->code > 0 && m->code < 4096 && m->bytes <= 400;
        break;
    default:
        good = false;
    }
    return good && (request ? m->code == 0 : m->code == 0 || m->kind == CONTROL_ERROR) ? 0 : -EPROTO;
}

/* The path of a socket is short, that of a store is not: by way of the open folder it fits. */
static int address_of(int dir, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/" CONTROL_SOCKET, dir);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int control_open(struct control *c, const char *store_dir, struct chv_err *err)
{
    struct sockaddr_un address;
    *c = (struct control){.listener = -1, .client = -1};
    c->dir_fd = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd < 0) return chv_err_set(err, errno, "%s: %s", store_dir, strerror(errno));
    c->listener = address_of(c->dir_fd, &address);
    if (c->listener >= 0) fchmod(c->listener, 0600); /* of the socket that bind makes */
    unlinkat(c->dir_fd, CONTROL_SOCKET, 0); /* of a collector that was killed: the store's lock is ours */
    if (c->listener >= 0 && bind(c->listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(c->listener, 4) == 0) return 0;
    int code = errno;
    control_close(c);
    return chv_err_set(err, code, "%s/" CONTROL_SOCKET ": %s", store_dir, strerror(code));
}

void control_close(struct control *c)
{
    if (c->client >= 0) close(c->client);
    if (c->listener >= 0) {
        unlinkat(c->dir_fd, CONTROL_SOCKET, 0);
        close(c->listener);
    }
    if (c->dir_fd >= 0) close(c->dir_fd);
    c->client = c->listener = c->dir_fd = -1;
}

void control_poll(const struct control *c, struct pollfd out[2])
{
    out[0] = (struct pollfd){.fd = c->client < 0 ? c->listener : -1, .events = POLLIN}; /* others wait */
    out[1] = (struct pollfd){.fd = c->client, .events = POLLIN};
}

static void let_go(struct control *c)
{
    close(c->client);
    c->client = -1;
    c->have = 0;
}

void control_answer(struct control *c, struct control_message m, const void *payload)
{
    m.magic = CONTROL_MAGIC;
    uint8_t out[sizeof m + CHV_WIRE_CHUNK_BYTES];
    if (c->client < 0 || m.bytes > CHV_WIRE_CHUNK_BYTES) return;
    memcpy(out, &m, sizeof m);
    if (m.bytes) memcpy(out + sizeof m, payload, m.bytes);
    ssize_t n = send(c->client, out, sizeof m + m.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != (ssize_t)(sizeof m + m.bytes)) shutdown(c->client, SHUT_RDWR); /* noticed when it is read from */
}

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

/* A whole message is in c->in; its payload has a zero byte behind it. */
static int serve_one(const struct control_message *m, const uint8_t *payload, const struct control_ops *ops, void *arg)
{
    struct chv_request request;
    char space[CHV_WIRE_NAME_BYTES + 1] = {0}, text[CONTROL_PAYLOAD_MAX + 1];
    if (m->kind == CONTROL_ASK) {
        memcpy(&request, payload, sizeof request);
        ops->ask(arg, &request);
        return 0;
    }
    memcpy(space, payload, CHV_WIRE_NAME_BYTES);
    memcpy(text, payload + CHV_WIRE_NAME_BYTES, m->bytes - CHV_WIRE_NAME_BYTES);
    text[m->bytes - CHV_WIRE_NAME_BYTES] = 0;
    return ops->note(arg, space, text);
}

int control_serve(struct control *c, const struct pollfd fds[2], const struct control_ops *ops, void *arg)
{
    struct control_message m;
    if (fds[0].revents && c->client < 0) {
        c->client = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        c->have = 0;
        if (c->client >= 0 && !is_trusted(c->client)) let_go(c);
    }
    if (!fds[1].revents || c->client < 0) return 0;
    size_t want = c->have < sizeof m ? sizeof m : 0;
    if (!want) {
        memcpy(&m, c->in, sizeof m);
        want = sizeof m + m.bytes;
    }
    ssize_t n = recv(c->client, c->in + c->have, want - c->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n > 0) c->have += (size_t)n;
    if (c->have >= sizeof m) memcpy(&m, c->in, sizeof m);
    if (n <= 0 || (c->have >= sizeof m && control_check(&m, true) < 0)) {
        let_go(c);
        ops->gone(arg);
        return 0;
    }
    if (c->have < sizeof m || c->have < sizeof m + m.bytes) return 0;
    c->have = 0;
    return serve_one(&m, c->in + sizeof m, ops, arg);
}

/* --- the other side ------------------------------------------------------------------------------------ */

int control_connect(const char *store_dir, int *fd, struct chv_err *err)
{
    struct sockaddr_un address;
    struct timeval limit = {.tv_sec = 30};
    int dir = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = 0;
    if (dir < 0) return chv_err_set(err, errno, "%s: %s", store_dir, strerror(errno));
    *fd = address_of(dir, &address);
    if (*fd < 0 || connect(*fd, (struct sockaddr *)&address, sizeof address) < 0) code = errno;
    close(dir);
    if (code == 0) {
        setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return 0;
    }
    if (*fd >= 0) close(*fd);
    return code == ENOENT || code == ECONNREFUSED
               ? chv_err_set(err, ENOENT, "no collector records into %s; 'chronovisor collect' is one", store_dir)
               : chv_err_set(err, code, "%s/" CONTROL_SOCKET ": %s", store_dir, strerror(code));
}

/* The next message, in `limit_ms`; -ETIMEDOUT without text. payload[CHV_WIRE_CHUNK_BYTES + 1]. */
static int receive(int fd, int limit_ms, struct control_message *m, uint8_t *payload, struct chv_err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = poll(&p, 1, limit_ms);
    if (ready == 0) return -ETIMEDOUT;
    if (ready < 0) return chv_err_set(err, errno, "poll: %s", strerror(errno));
    ssize_t n = recv(fd, m, sizeof *m, MSG_WAITALL);
    if (n == (ssize_t)sizeof *m && control_check(m, false) < 0) return chv_err_set(err, EPROTO, "the collector's answer makes no sense");
    if (n == (ssize_t)sizeof *m && m->bytes) n = recv(fd, payload, m->bytes, MSG_WAITALL) == (ssize_t)m->bytes ? n : 0;
    if (n != (ssize_t)sizeof *m) return chv_err_set(err, EPIPE, "the collector ended meanwhile, or serves somebody else");
    payload[m->bytes] = 0;
    if (m->kind != CONTROL_ERROR) return 0;
    return chv_err_set(err, (int)m->code, "%s", m->bytes ? (const char *)payload : strerror((int)m->code));
}

static int transmit(int fd, uint32_t kind, const void *a, size_t an, const void *b, size_t bn, struct chv_err *err)
{
    uint8_t out[sizeof(struct control_message) + CONTROL_PAYLOAD_MAX];
    struct control_message m = {.magic = CONTROL_MAGIC, .kind = kind, .bytes = (uint32_t)(an + bn)};
    if (an + bn > CONTROL_PAYLOAD_MAX) return chv_err_set(err, E2BIG, "too much to be noted");
    memcpy(out, &m, sizeof m);
    memcpy(out + sizeof m, a, an);
    if (bn) memcpy(out + sizeof m + an, b, bn);
    ssize_t n = send(fd, out, sizeof m + m.bytes, MSG_NOSIGNAL);
    return n == (ssize_t)(sizeof m + m.bytes) ? 0 : chv_err_set(err, EPIPE, "the collector ended meanwhile, or serves somebody else");
}

int control_ask(int fd, const struct chv_request *request, uint8_t *reply, size_t *bytes, struct control_message *m, struct chv_err *err)
{
    enum { AGAIN_MS = 250, TRIES = 40 };
    uint8_t payload[CHV_WIRE_CHUNK_BYTES + 1];
    struct chv_reply r;
    for (unsigned i = 0; i < TRIES; i++) {
        int code = transmit(fd, CONTROL_ASK, request, sizeof *request, NULL, 0, err);
        if (code == 0) code = receive(fd, AGAIN_MS, m, payload, err);
        while (code == 0 && m->kind == CONTROL_REPLY) { /* answers to what was asked before may still come */
            memcpy(&r, payload, sizeof r);
            if (r.id >= request->id) {
                memcpy(reply, payload, m->bytes);
                *bytes = m->bytes;
                return 0;
            }
            code = receive(fd, AGAIN_MS, m, payload, err);
        }
        if (code == -EHOSTDOWN) poll(NULL, 0, AGAIN_MS); /* between two sessions */
        if (code < 0 && code != -ETIMEDOUT && code != -EHOSTDOWN) return code;
    }
    return chv_err_set(err, EHOSTDOWN, "no sensor answers the collector: it is off, or has not 'requests' configured");
}

int control_note(int fd, const char *space, const char *text, uint64_t *last_seq, bool *part, struct chv_err *err)
{
    char name[CHV_WIRE_NAME_BYTES] = {0};
    uint8_t payload[CHV_WIRE_CHUNK_BYTES + 1];
    struct control_message m = {0};
    memcpy(name, space, strlen(space));
    int code = transmit(fd, CONTROL_NOTE, name, sizeof name, text, strlen(text), err);
    while (code == 0 && m.kind != CONTROL_NOTED) code = receive(fd, 30000, &m, payload, err);
    if (code == -ETIMEDOUT) code = chv_err_set(err, ETIMEDOUT, "the collector does not answer");
    *last_seq = m.last_seq;
    *part = m.code == E2BIG;
    return code;
}

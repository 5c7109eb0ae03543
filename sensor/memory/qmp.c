#include "sensor/memory/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "sensor/memory/qmp_message.h"

#define GREETING_NS UINT64_C(5000000000)
#define COMMAND_NS UINT64_C(30000000000)

struct qmp {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    char version[48];
    int fd;
    pid_t peer;
    json_int_t last_id;
    qmp_event_fn *on_event; /* or NULL */
    void *on_event_context;
    struct qmp_reader reader;
};

/* Wait until the socket can be read (or written); 0 or -errno. */
static int wait_for(const struct qmp *qmp, short events, uint64_t until_ns)
{
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= until_ns) return -ETIMEDOUT;
        struct pollfd p = {.fd = qmp->fd, .events = events};
        int r = poll(&p, 1, (int)((until_ns - now) / 1000000) + 1);
        if (r > 0) return 0;
        if (r < 0 && errno != EINTR) return -errno;
    }
}

static int failed(const struct qmp *qmp, int r, const char *doing, struct chv_err *err)
{
    return chv_err_set(err, -r, "%s: %s: %s", qmp->path, doing,
                       r == -EPIPE      ? "the connection ended"
                       : r == -EMSGSIZE ? "a line longer than 1 MiB"
                                        : strerror(-r));
}

/* The next message, whatever it is. */
static int receive(struct qmp *qmp, uint64_t until_ns, struct qmp_message *out, struct chv_err *err)
{
    char *line;
    size_t bytes;
    int r;
    while ((r = qmp_reader_next(&qmp->reader, &line, &bytes)) == 0) {
        size_t room;
        char *at = qmp_reader_room(&qmp->reader, &room);
        r = wait_for(qmp, POLLIN, until_ns);
        ssize_t n = r < 0 ? 0 : recv(qmp->fd, at, room, MSG_DONTWAIT);
        if (r == 0 && n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (r == 0 && n <= 0) r = n < 0 ? -errno : -EPIPE;
        if (r < 0) return failed(qmp, r, "QMP", err);
        qmp_reader_filled(&qmp->reader, (size_t)n);
    }
    if (r < 0) return failed(qmp, r, "QMP", err);
    r = qmp_message_parse(line, bytes, out, err);
    return r < 0 ? chv_err_prefix(err, "%s", qmp->path) : 0;
}

/* As send(), with a file descriptor if `pass` is one. */
static ssize_t send_some(const struct qmp *qmp, const char *text, size_t bytes, int pass)
{
    union {
        char data[CMSG_SPACE(sizeof pass)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec piece = {.iov_base = (void *)text, .iov_len = bytes};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    if (pass >= 0) {
        m.msg_control = control.data;
        m.msg_controllen = sizeof control.data;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof pass)};
        memcpy(CMSG_DATA(c), &pass, sizeof pass);
    }
    return sendmsg(qmp->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int transmit(struct qmp *qmp, const char *text, size_t bytes, int pass, uint64_t until_ns, struct chv_err *err)
{
    while (bytes > 0) {
        ssize_t n = send_some(qmp, text, bytes, pass);
        if (n > 0) pass = -1;
        int r = n < 0 ? -errno : 0;
        if (r == -EAGAIN || r == -EINTR) {
            r = wait_for(qmp, POLLOUT, until_ns);
            n = 0;
        }
        if (r < 0) return failed(qmp, r, "QMP", err);
        text += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static void pass_event(const struct qmp *qmp, const struct qmp_message *m)
{
    if (m->kind != QMP_EVENT || !qmp->on_event) return;
    const json_t *time = json_object_get(m->value, "timestamp");
    json_int_t s = json_integer_value(json_object_get(time, "seconds")), us = json_integer_value(json_object_get(time, "microseconds"));
    bool known = s > 0 && s < INT32_MAX * (json_int_t)4 && us >= 0 && us < 1000000;
    qmp->on_event(qmp->on_event_context, m->text, known ? (uint64_t)s * 1000000000u + (uint64_t)us * 1000u : 0, m->value);
}

void qmp_on_event(struct qmp *qmp, qmp_event_fn *fn, void *context)
{
    qmp->on_event = fn;
    qmp->on_event_context = context;
}

int qmp_listen(struct qmp *qmp, uint64_t timeout_ns, struct chv_err *err)
{
    struct qmp_message m;
    int r = receive(qmp, clock_monotonic_ns() + timeout_ns, &m, err);
    if (r < 0) return r;
    pass_event(qmp, &m);
    qmp_message_fini(&m);
    return 0;
}

/* The answer with this id. Events come whenever they like; answers to others' ids are nobody's. */
static int answer(struct qmp *qmp, json_int_t id, uint64_t until_ns, json_t **result, struct chv_err *err)
{
    for (;;) {
        struct qmp_message m;
        int r = receive(qmp, until_ns, &m, err);
        if (r < 0) return r;
        bool ours = (m.kind == QMP_RETURN || m.kind == QMP_ERROR) && (m.id == id || (m.kind == QMP_ERROR && m.id == 0));
        if (!ours) {
            pass_event(qmp, &m);
            qmp_message_fini(&m);
            continue;
        }
        if (m.kind == QMP_ERROR) r = chv_err_set(err, EIO, "%s: %s", qmp->path, m.text);
        if (r == 0 && result) *result = json_incref(m.value);
        qmp_message_fini(&m);
        return r;
    }
}

static int execute(struct qmp *qmp, const char *command, json_t *arguments, int pass, json_t **result, struct chv_err *err)
{
    uint64_t until_ns = clock_monotonic_ns() + COMMAND_NS;
    json_int_t id = ++qmp->last_id;
    json_t *request = arguments ? json_pack("{s:s, s:I, s:o}", "execute", command, "id", id, "arguments", arguments)
                                : json_pack("{s:s, s:I}", "execute", command, "id", id);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text) return chv_err_set(err, EINVAL, "%s: %s: a name that is not UTF-8", qmp->path, command);
    size_t n = strlen(text);
    text[n] = '\n'; /* over the terminator; sent by length */
    int r = transmit(qmp, text, n + 1, pass, until_ns, err);
    free(text);
    if (r == 0) r = answer(qmp, id, until_ns, result, err);
    return r < 0 ? chv_err_prefix(err, "%s", command) : 0;
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **result, struct chv_err *err)
{
    return execute(qmp, command, arguments, -1, result, err);
}

int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd, struct chv_err *err)
{
    return execute(qmp, command, arguments, fd, NULL, err);
}

int qmp_human(struct qmp *qmp, const char *command, char **text, struct chv_err *err)
{
    json_t *result = NULL;
    int r = qmp_execute(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", command), &result, err);
    if (r < 0) return r;
    const char *value = json_string_value(result);
    *text = value ? strdup(value) : NULL;
    if (!*text) r = chv_err_set(err, value ? ENOMEM : EPROTO, "%s: '%s' was not answered with text", qmp->path, command);
    json_decref(result);
    return r;
}

static int greet(struct qmp *qmp, struct chv_err *err)
{
    struct qmp_message m;
    int r = receive(qmp, clock_monotonic_ns() + GREETING_NS, &m, err);
    if (r == -ETIMEDOUT)
        return chv_err_set(err, ETIMEDOUT, "%s: no greeting; QMP serves one client at a time: is another one connected?", qmp->path);
    if (r < 0) return r;
    json_t *v = json_object_get(m.value, "qemu");
    if (m.kind != QMP_GREETING)
        r = chv_err_set(err, EPROTO, "%s: does not greet like QMP; is it the socket of -qmp?", qmp->path);
    else
        snprintf(qmp->version, sizeof qmp->version, "%d.%d.%d", (int)json_integer_value(json_object_get(v, "major")),
                 (int)json_integer_value(json_object_get(v, "minor")), (int)json_integer_value(json_object_get(v, "micro")));
    qmp_message_fini(&m);
    return r < 0 ? r : qmp_execute(qmp, "qmp_capabilities", NULL, NULL, err);
}

int qmp_connect(const char *path, struct qmp **out, struct chv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {.pid = 0};
    socklen_t length = sizeof peer;
    if (strlen(path) >= sizeof address.sun_path)
        return chv_err_set(err, ENAMETOOLONG, "%.60s…: a socket's path has at most %zu bytes", path, sizeof address.sun_path - 1);
    struct qmp *qmp = calloc(1, sizeof *qmp);
    if (!qmp) return chv_err_set(err, ENOMEM, "out of memory");
    strcpy(qmp->path, path);
    strcpy(address.sun_path, path);
    qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = qmp->fd < 0 ? -errno : 0;
    if (r == 0 && connect(qmp->fd, (struct sockaddr *)&address, sizeof address) < 0) r = -errno;
    if (r == 0 && getsockopt(qmp->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) r = -errno;
    if (r < 0)
        chv_err_set(err, -r, "%s: %s%s", path, strerror(-r),
                    r == -ECONNREFUSED ? "; is QEMU running with -qmp unix:PATH,server=on,wait=off?" : "");
    qmp->peer = peer.pid;
    if (r == 0) r = qmp_reader_init(&qmp->reader, err);
    if (r == 0) r = greet(qmp, err);
    if (r < 0) {
        qmp_close(qmp);
        return r;
    }
    *out = qmp;
    return 0;
}

void qmp_close(struct qmp *qmp)
{
    if (!qmp) return;
    if (qmp->fd >= 0) close(qmp->fd);
    qmp_reader_fini(&qmp->reader);
    free(qmp);
}

const char *qmp_path(const struct qmp *qmp)
{
    return qmp->path;
}

const char *qmp_version(const struct qmp *qmp)
{
    return qmp->version;
}

pid_t qmp_peer(const struct qmp *qmp)
{
    return qmp->peer;
}

int qmp_fd(const struct qmp *qmp)
{
    return qmp->fd;
}

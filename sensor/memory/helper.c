#include "sensor/memory/helper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define SILENCE_NS UINT64_C(10000000000) /* between two pieces of an answer */
#define ANSWER_NS UINT64_C(120000000000) /* the whole of it */
#define HELLO_NS UINT64_C(5000000000)
#define AGAIN_NS UINT64_C(500000000) /* a helper that has just noticed us may have missed the first question */

struct helper {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    int fd;
    uint32_t last_id;
    struct helper_reader reader;
};

static int failed(const struct helper *h, int code, struct chv_err *err)
{
    return chv_err_set(err, code, "%s: %s", h->path,
                       code == ETIMEDOUT ? "no helper answers; is chronovisor-helper running in the guest, as root?"
                       : code == EPIPE   ? "the connection ended"
                                         : strerror(code));
}

/* 0 when the socket is ready, or -errno. */
static int wait_for(const struct helper *h, short events, uint64_t until_ns)
{
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= until_ns) return -ETIMEDOUT;
        struct pollfd p = {.fd = h->fd, .events = events};
        int r = poll(&p, 1, (int)((until_ns - now) / 1000000) + 1);
        if (r > 0) return 0;
        if (r < 0 && errno != EINTR) return -errno;
    }
}

static int ask(struct helper *h, uint8_t kind, uint32_t pid, uint16_t flags, uint32_t id, struct chv_err *err)
{
    struct chv_helper_frame frame = {.magic = CHV_HELPER_MAGIC, .version = CHV_HELPER_VERSION, .kind = kind, .flags = flags, .id = id, .pid = pid};
    const char *data = (const char *)&frame;
    for (size_t left = sizeof frame; left > 0;) {
        ssize_t n = send(h->fd, data, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        int r = n < 0 ? errno : 0;
        if (r == EAGAIN || r == EINTR) r = -wait_for(h, POLLOUT, clock_monotonic_ns() + SILENCE_NS), n = 0;
        if (r != 0) return failed(h, r, err);
        data += n;
        left -= (size_t)n;
    }
    return 0;
}

/* The next frame. -ETIMEDOUT without text when nothing came until then. */
static int receive(struct helper *h, uint64_t until_ns, struct chv_helper_frame *frame, const uint8_t **payload, struct chv_err *err)
{
    int r;
    while ((r = helper_reader_next(&h->reader, frame, payload, err)) == 0) {
        size_t room;
        uint8_t *at = helper_reader_room(&h->reader, &room);
        r = wait_for(h, POLLIN, until_ns);
        if (r == -ETIMEDOUT) return r;
        ssize_t n = r < 0 ? 0 : recv(h->fd, at, room, MSG_DONTWAIT);
        if (r == 0 && n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (r == 0 && n <= 0) r = n < 0 ? -errno : -EPIPE;
        if (r < 0) return failed(h, -r, err);
        helper_reader_filled(&h->reader, (size_t)n);
    }
    return r < 0 ? chv_err_prefix(err, "%s", h->path) : 0;
}

static int fill_answer(struct helper *h, struct helper_answer *a, struct chv_err *err)
{
    uint64_t whole = clock_monotonic_ns() + ANSWER_NS;
    while (!a->ended) {
        struct chv_helper_frame frame;
        const uint8_t *payload;
        uint64_t until = clock_monotonic_ns() + SILENCE_NS;
        if (clock_monotonic_ns() >= whole) return failed(h, ETIMEDOUT, err);
        int r = receive(h, until < whole ? until : whole, &frame, &payload, err);
        if (r == -ETIMEDOUT) return failed(h, ETIMEDOUT, err);
        if (r < 0) return r;
        if (frame.id - h->reader.first_id < a->id - h->reader.first_id) continue; /* a greeting that was answered late */
        r = helper_answer_add(a, &frame, payload, err);
        if (r < 0) return chv_err_prefix(err, "%s", h->path);
    }
    if (a->status == 0) return 0;
    return chv_err_set(err, a->status, "%s: the helper says: %s%s", h->path, strerror(a->status),
                       a->status == EPERM ? "; it needs to be root" : "");
}

/* After an error the answer is to be thrown away. */
static int question(struct helper *h, uint8_t kind, uint32_t pid, uint16_t flags, struct physmem *mem, struct helper_answer *a,
                    struct chv_err *err)
{
    *a = (struct helper_answer){.asked = kind, .id = ++h->last_id, .pid = pid, .mem = mem};
    int r = ask(h, kind, pid, flags, a->id, err);
    if (r == 0) r = fill_answer(h, a, err);
    if (r < 0) helper_answer_fini(a);
    return r;
}

/* Ask until somebody answers: a helper looks for us every few milliseconds, and what it was sent before that may be lost. */
static int greet(struct helper *h, struct chv_err *err)
{
    struct chv_helper_frame frame;
    const uint8_t *payload;
    for (uint64_t until = clock_monotonic_ns() + HELLO_NS; clock_monotonic_ns() < until;) {
        int r = ask(h, CHV_HELPER_PING, 0, 0, h->last_id, err);
        if (r < 0) return r;
        r = receive(h, clock_monotonic_ns() + AGAIN_NS, &frame, &payload, err);
        if (r == 0 && frame.kind == CHV_HELPER_END) return 0;
        if (r == 0) return chv_err_set(err, EPROTO, "%s: the helper answered what was not asked", h->path);
        if (r != -ETIMEDOUT) return r;
    }
    return failed(h, ETIMEDOUT, err);
}

int helper_connect(const char *path, struct helper **out, struct chv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct helper *h = calloc(1, sizeof *h);
    if (!h) return chv_err_set(err, ENOMEM, "out of memory");
    h->fd = -1;
    int r;
    if (strlen(path) >= sizeof address.sun_path) {
        r = chv_err_set(err, ENAMETOOLONG, "%.200s: too long for a socket's path", path);
        goto err_close;
    }
    snprintf(h->path, sizeof h->path, "%s", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd < 0 || connect(h->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        goto err_close;
    }
    /* What was left of an answer to somebody else cannot carry a number nobody knows. */
    if (getrandom(&h->last_id, sizeof h->last_id, 0) != sizeof h->last_id) h->last_id = (uint32_t)clock_monotonic_ns();
    h->reader.first_id = h->last_id;
    r = greet(h, err);
    if (r < 0) goto err_close;
    *out = h;
    return 0;
err_close:
    helper_close(h);
    return r;
}

void helper_close(struct helper *helper)
{
    if (!helper) return;
    if (helper->fd >= 0) close(helper->fd);
    free(helper);
}

int helper_ping(struct helper *helper, uint64_t *ns, struct chv_err *err)
{
    struct helper_answer a;
    uint64_t began = clock_monotonic_ns();
    int r = question(helper, CHV_HELPER_PING, 0, 0, NULL, &a, err);
    *ns = clock_monotonic_ns() - began;
    if (r == 0) helper_answer_fini(&a);
    return r;
}

int helper_tasks(struct helper *helper, struct linux_task **out, size_t *count, struct chv_err *err)
{
    struct helper_answer a;
    int r = question(helper, CHV_HELPER_LIST, 0, 0, NULL, &a, err);
    if (r < 0) return r;
    *out = a.tasks;
    *count = a.task_count;
    a.tasks = NULL;
    helper_answer_fini(&a);
    return 0;
}

int helper_translate(struct helper *helper, uint32_t pid, bool freeze, struct physmem *mem, struct helper_pages *out,
                     struct chv_err *err)
{
    struct helper_answer a;
    int r = question(helper, CHV_HELPER_PAGES, pid, freeze ? CHV_HELPER_FREEZE : 0, mem, &a, err);
    if (r < 0) return r;
    *out = a.pages;
    a.pages = (struct helper_pages){0};
    helper_answer_fini(&a);
    return 0;
}

int helper_release(struct helper *helper, struct chv_err *err)
{
    struct helper_answer a;
    int r = question(helper, CHV_HELPER_RELEASE, 0, 0, NULL, &a, err);
    if (r == 0) helper_answer_fini(&a);
    return r;
}

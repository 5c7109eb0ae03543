#include "net/collect.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/control.h"

#define BATCH 64u
#define SAY_EVERY_NS UINT64_C(60000000000)
#define RECEIVE_BUFFER (16 << 20)
#define DATAGRAM_COST 2304 /* of the socket's buffer, for a datagram of 1472 bytes */

struct collector {
    const struct collect_options *options;
    struct sink sink;
    struct receiver receiver;
    struct collect_counters *counters;
    struct control control;
    struct chv_request asked; /* the last that was to change something; its id grows */
    bool running;             /* it is not over, for all we know */
    int fd;
    struct sockaddr_storage from, live;
    socklen_t from_bytes, live_bytes;
    uint64_t said, said_ns; /* frames not taken, when last spoken of */
    struct chv_err err;     /* why an operation of the receiver failed */
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_storage addresses[BATCH];
    uint8_t buffers[BATCH][CHV_WIRE_FRAME_BYTES_MAX + 1];
};

static void say(const struct collector *c, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(const struct collector *c, const char *what, const char *fmt, ...)
{
    char text[256];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    if (c->options->say) c->options->say(c->options->arg, what, text);
}

/* --- what the receiver asks for --------------------------------------------------------------------- */

static int on_resume(void *arg, const struct chv_hello *hello, uint64_t *records, bool *known)
{
    struct collector *c = arg;
    return sink_resume(&c->sink, hello, records, known);
}

static int on_devices(void *arg, const struct chv_hello *hello, const struct chv_device *devices, size_t count)
{
    struct collector *c = arg;
    bool fresh;
    c->live = c->from;
    c->live_bytes = c->from_bytes;
    uint64_t durable = c->sink.durable;
    int r = sink_devices(&c->sink, hello, devices, count, &fresh, &c->err);
    if (r == 0)
        say(c, fresh ? "stream" : "session", "sensor %.32s, %zu device%s, %s record %" PRIu64, hello->sensor, count, count == 1 ? "" : "s",
            fresh ? "a new stream from" : "goes on after", fresh ? 1 : durable);
    return r;
}

static int on_record(void *arg, const struct chv_wire_record *record, const void *content)
{
    struct collector *c = arg;
    return sink_record(&c->sink, record, content, &c->err);
}

static int on_missing(void *arg, uint64_t first, uint64_t last)
{
    struct collector *c = arg;
    uint64_t before = c->sink.counters.missing;
    int r = sink_missing(&c->sink, first, last, &c->err);
    if (c->sink.counters.missing > before)
        say(c, "missing", "the sensor no longer has records %" PRIu64 " to %" PRIu64 "; this store never got them: a gap", first, last);
    return r;
}

static void on_send(void *arg, const void *frame, size_t n, bool to_live)
{
    struct collector *c = arg;
    const struct sockaddr_storage *to = to_live ? &c->live : &c->from;
    if (sendto(c->fd, frame, n, MSG_DONTWAIT, (const struct sockaddr *)to, to_live ? c->live_bytes : c->from_bytes) < 0)
        c->counters->unsent++; /* as if lost on the way: the sensor asks again */
}

static void on_random(void *arg, void *buf, size_t n)
{
    (void)arg;
    if (getrandom(buf, n, 0) != (ssize_t)n) abort(); /* never for up to 256 bytes, once the kernel has started */
}

static void on_reply(void *arg, const uint8_t *reply, size_t n)
{
    struct collector *c = arg;
    struct chv_recorder_stats stats;
    struct chv_reply r;
    memcpy(&r, reply, sizeof r);
    if (r.id == c->asked.id) c->running = r.state == CHV_REPLY_RUNNING;
    chv_recorder_stats(c->sink.rec, &stats);
    control_answer(&c->control, (struct control_message){.kind = CONTROL_REPLY, .bytes = (uint32_t)n, .durable = c->sink.durable,
                                                         .last_seq = stats.last_seq}, reply);
}

static const struct receiver_ops ops = {on_resume, on_devices, on_record, on_missing, on_send, on_random, on_reply};

/* --- who asks for memory ----------------------------------------------------------------------------- */

static void on_ask(void *arg, const struct chv_request *request)
{
    static const char text[] = "no sensor has a session with the collector";
    struct collector *c = arg;
    if (request->kind != CHV_REQUEST_LOOK && request->id != c->asked.id) {
        static const char *const kinds[] = {"", "", "RAM", "what page tables map", "nothing more"};
        c->asked = *request;
        c->running = true;
        say(c, "asked", "somebody of this host asks the sensor for %s", request->kind <= CHV_REQUEST_STOP ? kinds[request->kind] : "?");
    }
    if (!receiver_request(&c->receiver, request))
        control_answer(&c->control, (struct control_message){.kind = CONTROL_ERROR, .code = EHOSTDOWN, .bytes = sizeof text - 1}, text);
}

static int on_note(void *arg, const char *space, const char *text)
{
    struct collector *c = arg;
    struct control_message m = {.kind = CONTROL_NOTED};
    struct chv_err err = {0};
    int r = mark_capture(&c->sink, space, text, &m.last_seq, &err);
    m.durable = c->sink.durable;
    if (strncmp(space, "map:", 4) == 0 && c->sink.walked.unlisted_pages > 0) m.code = E2BIG;
    if (r < 0) m = (struct control_message){.kind = CONTROL_ERROR, .code = (uint32_t)err.code, .bytes = (uint32_t)strlen(err.text)};
    control_answer(&c->control, m, err.text);
    if (r < 0 && r != -EINVAL) c->err = err;
    return r == -EINVAL ? 0 : r;
}

/* Nobody waits for what it asked for. If this is lost, the sensor goes on to the end of it, which does no harm. */
static void on_gone(void *arg)
{
    struct collector *c = arg;
    if (!c->running) return;
    c->asked = (struct chv_request){.id = c->asked.id + 1, .kind = CHV_REQUEST_STOP};
    c->running = false;
    receiver_request(&c->receiver, &c->asked);
}

static const struct control_ops control_ops = {on_ask, on_note, on_gone};

/* --- the socket ------------------------------------------------------------------------------------------ */

static int listen_at(const char *text, int *fd, struct chv_err *err)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    if (!colon || !colon[1] || n >= sizeof host)
        return chv_err_set(err, EINVAL, "'%.60s' is no address; HOST:PORT or [V6ADDRESS]:PORT is wanted", text);
    memcpy(host, text, n);
    host[n] = 0;
    char *name = host;
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        name++;
    }
    int g = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found);
    if (g != 0) return chv_err_set(err, EINVAL, "address '%.60s': %s", text, gai_strerror(g));
    *fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = *fd < 0 || bind(*fd, found->ai_addr, found->ai_addrlen) < 0 ? chv_err_set(err, errno, "%s: %s", text, strerror(errno)) : 0;
    freeaddrinfo(found);
    if (r < 0 && *fd >= 0) close(*fd);
    return r;
}

/* As much as the kernel gives; what fits decides how much may be under way, so that the buffer does not overflow. */
static uint32_t make_window(int fd)
{
    int bytes = RECEIVE_BUFFER;
    socklen_t n = sizeof bytes;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &n) < 0) bytes = 0;
    uint32_t window = (uint32_t)bytes / DATAGRAM_COST;
    return window < 16 ? 16 : window > CHV_WIRE_WINDOW ? CHV_WIRE_WINDOW : window;
}

static void say_listening(const struct collector *c)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    char host[128] = "?", port[16] = "?";
    if (getsockname(c->fd, (struct sockaddr *)&address, &n) == 0)
        getnameinfo((struct sockaddr *)&address, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    say(c, "listening", address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Everything that is there, then one acknowledgement. */
static int receive(struct collector *c)
{
    int r = 0;
    for (size_t i = 0; i < BATCH; i++) {
        c->parts[i] = (struct iovec){c->buffers[i], sizeof c->buffers[i]};
        c->messages[i].msg_hdr = (struct msghdr){.msg_name = &c->addresses[i], .msg_namelen = sizeof c->addresses[i],
                                                 .msg_iov = &c->parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(c->fd, c->messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0) return 0; /* nothing there, or the echo of a datagram that did not get through */
    for (int i = 0; r == 0 && i < count; i++) {
        c->from = c->addresses[i];
        c->from_bytes = c->messages[i].msg_hdr.msg_namelen;
        c->counters->datagrams++;
        r = receiver_frame(&c->receiver, c->buffers[i], c->messages[i].msg_len);
    }
    if (r == 0) r = sink_flush(&c->sink, &c->err);
    return r;
}

/* Frames that were not taken: the first at once, what comes after it once a minute. A frame in its place costs an attacker
 * nothing, a line of a log would. */
static void say_hostile(struct collector *c)
{
    const struct receiver_counters *w = &c->receiver.counters;
    uint64_t sum = w->forged + w->replayed + w->malformed + w->refused + w->bad_records, now = clock_monotonic_ns();
    if (sum == c->said || (c->said_ns && now - c->said_ns < SAY_EVERY_NS)) return;
    c->said = sum;
    c->said_ns = now;
    say(c, "hostile", "so far not taken: %" PRIu64 " forged, %" PRIu64 " replayed, %" PRIu64 " malformed, %" PRIu64 " of other sensors, %" PRIu64
        " sessions with a record that makes no sense", w->forged, w->replayed, w->malformed, w->refused, w->bad_records);
}

static int loop(struct collector *c, int stop, struct chv_err *err)
{
    struct pollfd fds[5] = {{.fd = c->fd, .events = POLLIN}, {.fd = committer_fd(c->sink.committer), .events = POLLIN}, {.fd = stop, .events = POLLIN}};
    for (;;) {
        uint64_t records;
        control_poll(&c->control, fds + 3);
        if (poll(fds, 5, 10000) < 0 && errno != EINTR) return chv_err_set(err, errno, "poll: %s", strerror(errno));
        if (fds[2].revents) return 0;
        c->err = (struct chv_err){.code = EIO, .text = "out of memory, or the cipher failed"};
        int r = fds[0].revents ? receive(c) : 0;
        if (r == 0 && fds[1].revents) r = committer_done(c->sink.committer, c->sink.counters.streams, &records, &c->err);
        if (r == 0) r = control_serve(&c->control, fds + 3, &control_ops, c);
        if (r < 0) {
            *err = c->err;
            return r;
        }
        if (fds[1].revents && records > c->sink.durable) {
            c->sink.durable = records;
            receiver_durable(&c->receiver, records);
        }
        receiver_acknowledge(&c->receiver);
        say_hostile(c);
    }
}

int collect_run(const struct collect_options *options, struct collect_counters *counters, struct chv_err *err)
{
    uint8_t key[CHV_WIRE_KEY_BYTES];
    struct collector *c = calloc(1, sizeof *c);
    sigset_t set;
    memset(counters, 0, sizeof *counters);
    if (!c) return chv_err_set(err, ENOMEM, "out of memory");
    c->options = options;
    c->counters = counters;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before the first thread */
    int stop = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), r = seal_load_key(options->key_path, key, err);
    if (r == 0 && stop < 0) r = chv_err_set(err, errno, "signalfd: %s", strerror(errno));
    if (r < 0) goto err_stop;
    r = listen_at(options->address, &c->fd, err);
    if (r < 0) goto err_stop;
    r = sink_open(&c->sink, &options->sink, err);
    if (r < 0) goto err_socket;
    r = control_open(&c->control, options->sink.store_dir, err);
    if (r == 0 && receiver_init(&c->receiver, key, make_window(c->fd), &ops, c) < 0) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) {
        say_listening(c);
        r = loop(c, stop, err);
    }
    counters->wire = c->receiver.counters;
    chv_recorder_stats(c->sink.rec, &counters->recorder);
    counters->store = c->sink.counters;
    control_close(&c->control); /* while the store is still ours */
    struct chv_err closing;
    int closed = sink_close(&c->sink, &closing);
    if (r == 0 && closed < 0) {
        r = closed;
        *err = closing;
    }
    receiver_fini(&c->receiver);
err_socket:
    close(c->fd);
err_stop:
    if (stop >= 0) close(stop);
    free(c);
    return r;
}

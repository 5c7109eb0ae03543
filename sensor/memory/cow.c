#include "sensor/memory/cow.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "sensor/memory/pause.h"

#define FD_NAME "chronovisor"
#define LISTEN_NS UINT64_C(100000000)
#define QUIET_NS UINT64_C(60000000000)  /* no page for so long: QEMU hangs */
#define PASSES_NS UINT64_C(10000000000) /* after the first pass: as long at least, and so many ... */
#define PASSES_MAX 20u
#define STOPPED_NS UINT64_C(5000000000) /* more than any plan: the guest is to go on, whatever becomes of the capture */
#define ROUNDS_MAX 100u                 /* over all of the memory, whatever QEMU says of passes */
#define CANCEL_NS UINT64_C(10000000000)
#define BANDWIDTH (INT64_C(1) << 40)    /* bytes a second: as fast as it goes */
#define SOCKET_BYTES (4 << 20)

enum outcome { UNDER_WAY, COMPLETED, FAILED };

struct cow {
    struct copy *copy;
    struct guest *guest;
    struct qmp *qmp;
    const struct cow_options *options;
    struct cow_result *result;
    struct pause pause;
    json_t *capabilities, *parameters; /* what was changed, as it was; NULL: nothing */
    /* what the events say */
    enum outcome outcome;
    uint64_t stop_ns, resume_ns, second_pass_ns; /* UTC, UTC, monotonic */
    /* the thread that receives */
    pthread_t thread;
    int fd;
    _Atomic uint64_t sent;
    int received;
    struct chv_err receive_err;
};

static void on_event(void *context, const char *name, uint64_t time_ns, const json_t *message)
{
    struct cow *c = context;
    const json_t *data = json_object_get(message, "data");
    const char *status = json_string_value(json_object_get(data, "status"));
    if (strcmp(name, "MIGRATION") == 0 && status) {
        if (strcmp(status, "completed") == 0) c->outcome = COMPLETED;
        if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0) c->outcome = FAILED;
    } else if (strcmp(name, "MIGRATION_PASS") == 0) {
        if (++c->result->passes == 2) c->second_pass_ns = clock_monotonic_ns();
    } else if (strcmp(name, "STOP") == 0 && !c->pause.stopped) {
        c->pause.stopped = true;
        c->pause.begin_ns = clock_monotonic_ns();
        c->stop_ns = time_ns;
    } else if (strcmp(name, "RESUME") == 0) {
        c->resume_ns = time_ns;
    }
}

static void *receive_main(void *arg)
{
    struct cow *c = arg;
    c->received = cow_receive(c->copy, &c->guest->ram, c->fd, &c->sent, &c->receive_err);
    return NULL;
}

/* With TCG, reading the dirty log leaves translations in place that write past it, before QEMU 9.0 ("physmem: Fix migration dirty bitmap
 * coherency with TCG memory access"): pages come stale. Seen with 7.2, in a guest that writes without a pause. */
static int check_log(struct cow *c, struct chv_err *err)
{
    json_t *kvm = NULL;
    if (c->options->trust_dirty_log) return 0;
    int r = qmp_execute(c->qmp, "query-kvm", NULL, &kvm, err);
    bool logs = json_is_true(json_object_get(kvm, "enabled")) || atoi(qmp_version(c->qmp)) >= 9;
    json_decref(kvm);
    if (r < 0 || logs) return r;
    return chv_err_set(err, ENOTSUP, "--mode cow: without KVM, QEMU %s loses some of the guest's writes in its log of them; use --mode paused",
                       qmp_version(c->qmp));
}

/* --- QEMU's settings ------------------------------------------------------------------------------- */

/* Every capability changes what is sent or when the guest stops: all off, but for the events. */
static int set_capabilities(struct cow *c, struct chv_err *err)
{
    json_t *all = NULL, *wanted = json_array();
    int r = qmp_execute(c->qmp, "query-migrate-capabilities", NULL, &all, err);
    c->capabilities = json_array();
    for (size_t i = 0; r == 0 && i < json_array_size(all); i++) {
        json_t *one = json_array_get(all, i);
        const char *name = json_string_value(json_object_get(one, "capability"));
        bool on = json_is_true(json_object_get(one, "state")), want = name && strcmp(name, "events") == 0;
        if (!name || on == want) continue;
        json_array_append_new(wanted, json_pack("{s:s, s:b}", "capability", name, "state", want));
        json_array_append(c->capabilities, one);
    }
    if (r == 0 && json_array_size(wanted) > 0)
        r = qmp_execute(c->qmp, "migrate-set-capabilities", json_pack("{s:O}", "capabilities", wanted), NULL, err);
    if (r < 0) { /* nothing was changed */
        json_decref(c->capabilities);
        c->capabilities = NULL;
    }
    json_decref(wanted);
    json_decref(all);
    return r;
}

static int set_parameters(struct cow *c, struct chv_err *err)
{
    json_t *all = NULL;
    int r = qmp_execute(c->qmp, "query-migrate-parameters", NULL, &all, err);
    if (r < 0) return r;
    const char *tls = json_string_value(json_object_get(all, "tls-creds")), *mode = json_string_value(json_object_get(all, "mode"));
    json_t *bandwidth = json_object_get(all, "max-bandwidth"), *downtime = json_object_get(all, "downtime-limit");
    if ((tls && *tls) || (mode && strcmp(mode, "normal") != 0))
        r = chv_err_set(err, ENOTSUP, "QEMU is set up to migrate with TLS or in mode '%.20s'; use --mode paused", mode ? mode : "normal");
    else if (!json_is_integer(bandwidth) || !json_is_integer(downtime))
        r = chv_err_set(err, EPROTO, "QEMU's query-migrate-parameters has no max-bandwidth and downtime-limit");
    if (r == 0)
        r = qmp_execute(c->qmp, "migrate-set-parameters",
                        json_pack("{s:I, s:I}", "max-bandwidth", (json_int_t)BANDWIDTH, "downtime-limit",
                                  (json_int_t)c->options->pause_ms), NULL, err);
    if (r == 0) c->parameters = json_pack("{s:O, s:O}", "max-bandwidth", bandwidth, "downtime-limit", downtime);
    json_decref(all);
    return r;
}

static void put_back(struct cow *c)
{
    struct chv_err ignored; /* the memory is taken, and a QEMU that is gone needs no settings */
    if (c->parameters) qmp_execute(c->qmp, "migrate-set-parameters", c->parameters, NULL, &ignored);
    if (json_array_size(c->capabilities) > 0)
        qmp_execute(c->qmp, "migrate-set-capabilities", json_pack("{s:O}", "capabilities", c->capabilities), NULL, &ignored);
    json_decref(c->capabilities);
    c->parameters = c->capabilities = NULL;
}

/* --- the migration ----------------------------------------------------------------------------------- */

/* QEMU gets one end of a socket; the other is read by a thread of its own. */
static int begin(struct cow *c, struct chv_err *err)
{
    int ends[2], bytes = SOCKET_BYTES;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return chv_err_set(err, errno, "socketpair: %s", strerror(errno));
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    c->fd = ends[0];
    int r = qmp_execute_fd(c->qmp, "getfd", json_pack("{s:s}", "fdname", FD_NAME), ends[1], err);
    close(ends[1]);
    if (r == 0) {
        r = pthread_create(&c->thread, NULL, receive_main, c);
        if (r > 0) r = chv_err_set(err, r, "threads: %s", strerror(r));
    }
    if (r < 0) {
        close(c->fd);
        return r;
    }
    r = qmp_execute(c->qmp, "migrate", json_pack("{s:s}", "uri", "fd:" FD_NAME), NULL, err);
    if (r == 0) return 0;
    struct chv_err ignored;
    shutdown(c->fd, SHUT_RDWR);
    pthread_join(c->thread, NULL);
    close(c->fd);
    qmp_execute(c->qmp, "closefd", json_pack("{s:s}", "fdname", FD_NAME), NULL, &ignored);
    return chv_err_prefix(err, "--mode cow needs a guest that could be migrated (--mode paused does not)");
}

/* Has it to be given up? */
static int patience(struct cow *c, uint64_t *last_sent, uint64_t *last_ns, struct chv_err *err)
{
    uint64_t now = clock_monotonic_ns(), sent = atomic_load(&c->sent);
    if (sent != *last_sent) {
        *last_sent = sent;
        *last_ns = now;
    }
    if (c->options->stop && *c->options->stop) return chv_err_set(err, EINTR, "interrupted");
    if (c->pause.stopped && now - c->pause.begin_ns > STOPPED_NS)
        return chv_err_set(err, ETIMEDOUT, "QEMU keeps the guest stopped and does not come to an end; use --mode paused");
    if (sent / ROUNDS_MAX > layout_bytes(&c->guest->ram))
        return chv_err_set(err, EBUSY, "QEMU sends the memory over and over again; use --mode paused");
    if (now - *last_ns > QUIET_NS) return chv_err_set(err, ETIMEDOUT, "QEMU sends no more memory");
    if (!c->pause.stopped && c->second_pass_ns && now - c->second_pass_ns > PASSES_NS && c->result->passes > PASSES_MAX)
        return chv_err_set(err, EBUSY, "the guest writes faster than its memory can be taken in a pause of %u ms; allow more with --max-pause, "
                           "or use --mode paused", c->options->pause_ms);
    return 0;
}

/* When the guest stands still: was it us, that is, the migration? */
static int who_stopped(struct cow *c, struct chv_err *err)
{
    json_t *status = NULL;
    int r = qmp_execute(c->qmp, "query-status", NULL, &status, err);
    const char *name = json_string_value(json_object_get(status, "status"));
    if (r == 0 && name && strcmp(name, "paused") == 0) {
        c->pause.stopped = false; /* not ours to let go on */
        r = chv_err_set(err, EBUSY, "somebody else stopped the guest meanwhile");
    }
    json_decref(status);
    return r;
}

static int wait_until_done(struct cow *c, struct chv_err *err)
{
    uint64_t total = layout_bytes(&c->guest->ram), last_sent = 0, last_ns = clock_monotonic_ns();
    bool asked = false;
    int r = 0;
    while (r == 0 && c->outcome == UNDER_WAY) {
        r = qmp_listen(c->qmp, LISTEN_NS, err);
        if (r == -ETIMEDOUT) r = 0;
        if (r == 0 && c->pause.stopped && !asked) {
            asked = true;
            r = who_stopped(c, err);
        }
        if (r == 0 && c->outcome == UNDER_WAY) r = patience(c, &last_sent, &last_ns, err);
        if (c->options->progress && !c->pause.stopped) c->options->progress("copying", last_sent < total ? last_sent : total, total);
    }
    return r;
}

static void cancel(struct cow *c)
{
    struct chv_err ignored;
    uint64_t until_ns = clock_monotonic_ns() + CANCEL_NS;
    qmp_execute(c->qmp, "migrate_cancel", NULL, NULL, &ignored);
    while (c->outcome == UNDER_WAY && clock_monotonic_ns() < until_ns) {
        int r = qmp_listen(c->qmp, LISTEN_NS, &ignored);
        if (r < 0 && r != -ETIMEDOUT) break;
    }
}

/* While the guest stands still, between the last page and `cont`. */
static int at_instant(struct cow *c, struct chv_err *err)
{
    const uint64_t now = clock_now_ns();
    c->result->time_ns = c->stop_ns && c->stop_ns <= now ? c->stop_ns : now;
    int r = guest_registers(c->guest, c->qmp, err);
    if (r == 0 && c->options->at_instant) r = c->options->at_instant(c->options->context, c->result->time_ns, err);
    return r;
}

static int migrate(struct cow *c, struct chv_err *err)
{
    struct chv_err ending;
    int r = begin(c, err);
    if (r < 0) return r;
    r = wait_until_done(c, err);
    const bool cancelled = r < 0;
    if (cancelled) cancel(c);
    if (r == 0 && c->outcome == FAILED) r = chv_err_set(err, EIO, "QEMU gave up sending its memory");
    if (r == 0 && !c->pause.stopped) r = chv_err_set(err, EBUSY, "somebody else stopped the guest before");
    if (r == 0) r = at_instant(c, err);
    int ended = pause_end(&c->pause, &c->result->pause_ns, &ending);
    if (c->resume_ns > c->stop_ns && c->stop_ns) c->result->pause_ns = c->resume_ns - c->stop_ns;
    if (r < 0) shutdown(c->fd, SHUT_RDWR); /* else it ends by itself */
    pthread_join(c->thread, NULL);
    close(c->fd);
    c->result->sent_bytes = atomic_load(&c->sent);
    /* the reason why QEMU failed, if it did; that the stream ends early is what cancelling does */
    if (c->received < 0 && (r == 0 || c->outcome == FAILED) && !(cancelled && c->received == -EPIPE)) {
        *err = c->receive_err;
        r = c->received;
    }
    if (ended < 0) {
        *err = ending;
        r = ended;
    }
    return r;
}

int cow_run(struct copy *copy, struct guest *guest, struct qmp *qmp, const struct cow_options *options, struct cow_result *result,
            struct chv_err *err)
{
    struct chv_err ignored;
    struct cow c = {.copy = copy, .guest = guest, .qmp = qmp, .options = options, .result = result};
    *result = (struct cow_result){0};
    if (!err) err = &ignored;
    int r = check_log(&c, err);
    if (r == 0) r = pause_promise(&c.pause, qmp, err);
    if (r < 0) return r;
    if (c.pause.was_stopped) return chv_err_set(err, EBUSY, "the guest stands still");
    qmp_on_event(qmp, on_event, &c);
    r = set_capabilities(&c, err);
    if (r == 0) r = set_parameters(&c, err);
    if (r == 0) r = migrate(&c, err);
    put_back(&c);
    pause_end(&c.pause, NULL, &ignored); /* ends the promise, where nothing was stopped */
    qmp_on_event(qmp, NULL, NULL);
    return r;
}

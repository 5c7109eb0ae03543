#include "sensor/memory/pause.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* QEMU throws away what a client said that hung up at once: stay until it has surely read it. */
#define LINGER_MS 2000
#define ROUNDS 20
#define INSIST_NS UINT64_C(5000000000)

/* The guard: async-signal-safe calls only, since this process may have had threads. */
static _Noreturn void guard_main(int pipe_fd, int qmp_socket, bool insist)
{
    static const char text[] = "{\"execute\":\"cont\"}\n";
    char byte, waste[4096];
    ssize_t n;
    int high = pipe_fd > qmp_socket ? pipe_fd : qmp_socket, low = pipe_fd + qmp_socket - high;
    if (low > 0) close_range(0, (unsigned)low - 1, 0);
    close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0u, 0);
    do n = read(pipe_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1) _exit(0);
    if (send(qmp_socket, text, sizeof text - 1, MSG_NOSIGNAL) < 0) _exit(1);
    for (int i = 0; i < ROUNDS; i++) {
        if (insist && i > 0 && send(qmp_socket, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
        struct pollfd p = {.fd = qmp_socket, .events = POLLIN};
        if (poll(&p, 1, LINGER_MS / ROUNDS) > 0 && recv(qmp_socket, waste, sizeof waste, MSG_DONTWAIT) == 0) break;
        if (p.revents) poll(NULL, 0, LINGER_MS / ROUNDS);
    }
    _exit(0);
}

static int start_guard(struct pause *pause, struct chv_err *err)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    int ends[2];
    char byte;
    ssize_t n;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return chv_err_set(err, errno, "socketpair: %s", strerror(errno));
    pause->guard = fork();
    if (pause->guard == 0) {
        setsid(); /* a signal to our group is not for it */
        for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
        close(ends[1]);
        if (write(ends[0], "", 1) != 1) _exit(1);
        guard_main(ends[0], qmp_fd(pause->qmp), pause->insist);
    }
    int code = pause->guard < 0 ? errno : 0;
    close(ends[0]);
    pause->pipe = ends[1];
    if (code == 0) { /* nothing is stopped before it stands guard */
        do n = read(ends[1], &byte, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1) return 0;
        code = ECHILD;
        while (waitpid(pause->guard, NULL, 0) < 0 && errno == EINTR) {}
    }
    close(ends[1]);
    pause->pipe = -1;
    return chv_err_set(err, code, "the process that would let the guest go on cannot be made: %s", strerror(code));
}

/* Its promise is no longer needed (`kept`), or it shall keep it now. */
static void dismiss_guard(struct pause *pause, bool kept)
{
    if (pause->pipe < 0) return;
    if (kept && send(pause->pipe, "", 1, MSG_NOSIGNAL) != 1) errno = 0; /* a guard that is gone needs no word */
    close(pause->pipe);
    pause->pipe = -1;
    while (waitpid(pause->guard, NULL, 0) < 0 && errno == EINTR) {}
}

int pause_look(struct qmp *qmp, bool *running, struct chv_err *err)
{
    json_t *status = NULL;
    int r = qmp_execute(qmp, "query-status", NULL, &status, err);
    *running = json_is_true(json_object_get(status, "running"));
    json_decref(status);
    return r;
}

static int look(struct pause *pause, struct qmp *qmp, bool insist, struct chv_err *err)
{
    bool running;
    *pause = (struct pause){.qmp = qmp, .pipe = -1, .insist = insist};
    int r = pause_look(qmp, &running, err);
    if (r < 0) return r;
    pause->was_stopped = !running;
    pause->time_ns = clock_now_ns();
    return running ? start_guard(pause, err) : 0;
}

int pause_promise(struct pause *pause, struct qmp *qmp, struct chv_err *err)
{
    return look(pause, qmp, true, err);
}

int pause_begin(struct pause *pause, struct qmp *qmp, struct chv_err *err)
{
    int r = look(pause, qmp, false, err);
    if (r < 0 || pause->was_stopped) return r;
    pause->begin_ns = clock_monotonic_ns();
    pause->stopped = true;
    r = qmp_execute(qmp, "stop", NULL, NULL, err);
    if (r < 0) { /* whether it stopped is not known */
        struct chv_err second;
        pause_end(pause, NULL, &second);
        return r;
    }
    pause->time_ns = clock_now_ns();
    return 0;
}

static int go_on(const struct pause *pause, struct chv_err *err)
{
    uint64_t until_ns = clock_monotonic_ns() + INSIST_NS;
    int r;
    while ((r = qmp_execute(pause->qmp, "cont", NULL, NULL, err)) == -EIO && pause->insist && clock_monotonic_ns() < until_ns)
        poll(NULL, 0, 1);
    return r;
}

int pause_end(struct pause *pause, uint64_t *pause_ns, struct chv_err *err)
{
    if (pause_ns) *pause_ns = 0;
    if (!pause->stopped) dismiss_guard(pause, true);
    if (!pause->stopped) return 0;
    pause->stopped = false;
    int r = go_on(pause, err);
    if (pause_ns) *pause_ns = clock_monotonic_ns() - pause->begin_ns;
    if (r < 0) {
        struct qmp *again;
        struct chv_err second;
        dismiss_guard(pause, false);
        if (qmp_connect(qmp_path(pause->qmp), &again, &second) == 0) {
            r = qmp_execute(again, "cont", NULL, NULL, err);
            qmp_close(again);
        }
        if (pause_ns) *pause_ns = clock_monotonic_ns() - pause->begin_ns;
        return r < 0 ? chv_err_prefix(err, "the guest may stand still; say cont in its monitor") : 0;
    }
    dismiss_guard(pause, true);
    return 0;
}

#include "sensor/vhost_user/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sensor/vhost_user/device.h"

static int listen_at(const char *path, struct chv_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path)
        return chv_err_set(err, ENAMETOOLONG, "%.60s…: a socket's path has at most %zu bytes", path,
                           sizeof addr.sun_path - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return chv_err_set(err, errno, "socket: %s", strerror(errno));
    mode_t mask = umask(0077);
    int r = bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 1) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0) return fd;
    close(fd);
    return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
}

int vhost_server_loop(struct session *session, struct capture *capture, int listener, int stop, struct chv_err *err)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = listener, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return chv_err_set(err, errno, "poll: %s", strerror(errno));
        if (fds[1].revents) return 0;
        if (!(fds[0].revents & POLLIN)) continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN)) continue;
        if (fd < 0) return chv_err_set(err, errno, "accept: %s", strerror(errno));
        struct device *d;
        int r = device_new(session, capture, &d, err);
        if (r == 0) device_serve(d, fd, stop);
        /* The queues first: as long as the connection lasts, a front-end does not think of another. */
        if (r == 0) device_free(d);
        close(fd);
        if (r < 0) return r;
    }
}

int vhost_server_run(const struct session_options *options, const char *path, struct chv_err *err)
{
    struct session *session;
    struct chv_err closing;
    char summary[256];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before the first thread */
    signal(SIGPIPE, SIG_IGN); /* a front-end may hand over a pipe where an eventfd should be, and close it */
    int stop = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (stop < 0) return chv_err_set(err, errno, "signalfd: %s", strerror(errno));
    int r = session_open(options, &session, err);
    if (r < 0) goto err_stop;
    int listener = listen_at(path, err);
    r = listener < 0 ? listener : vhost_server_loop(session, &session->captures[0], listener, stop, err);
    if (listener >= 0) {
        unlink(path);
        close(listener);
    }
    int closed = session_close(session, summary, sizeof summary, r == 0 ? err : &closing);
    if (r == 0) r = closed;
    fprintf(stderr, "chronovisor record: %s\n", summary);
err_stop:
    close(stop);
    return r;
}

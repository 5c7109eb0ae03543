#include "cli/nbdkit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_ACTIVATED_FD = 3, ARGUMENTS_MAX = 32 };

int nbd_plugin_path(const char *room, const char *name, char *path, size_t size, struct chv_err *err)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/'); /* BUILD/cli/chronovisor */
        if (slash) *slash = 0;
        snprintf(path, size, "%s/../%s/nbdkit-%s-plugin.so", self, room, name);
        if (access(path, R_OK) == 0) return 0;
    }
    snprintf(path, size, "%s/nbdkit-%s-plugin.so", CHV_NBDKIT_PLUGIN_DIR, name);
    if (access(path, R_OK) == 0) return 0;
    return chv_err_set(err, ENOENT, "nbdkit-%s-plugin.so is neither next to this program nor in %s", name,
                       CHV_NBDKIT_PLUGIN_DIR);
}

static int listen_unix(struct nbd_server *server, const char *path, struct chv_err *err)
{
    if (path) {
        if (strlen(path) >= sizeof server->socket)
            return chv_err_set(err, ENAMETOOLONG, "--socket %.40s…: too long", path);
        memcpy(server->socket, path, strlen(path) + 1);
    } else {
        const char *base = getenv("XDG_RUNTIME_DIR");
        snprintf(server->directory, sizeof server->directory, "%.80s/chronovisor-XXXXXX",
                 base && strlen(base) < 60 && access(base, W_OK) == 0 ? base : "/tmp");
        if (!mkdtemp(server->directory)) {
            int r = chv_err_set(err, errno, "%s: %s", server->directory, strerror(errno));
            server->directory[0] = 0;
            return r;
        }
        snprintf(server->socket, sizeof server->socket, "%s/socket", server->directory);
    }
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(server->socket) >= sizeof addr.sun_path)
        return chv_err_set(err, ENAMETOOLONG, "%.60s…: a socket's path has at most %zu bytes", server->socket,
                           sizeof addr.sun_path - 1);
    memcpy(addr.sun_path, server->socket, strlen(server->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return chv_err_set(err, errno, "socket: %s", strerror(errno));
    /* A socket that nobody listens on is what a killed server left behind. */
    struct stat st;
    if (lstat(server->socket, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 && errno == ECONNREFUSED)
        unlink(server->socket);
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return chv_err_set(err, errno, "socket: %s", strerror(errno));
    mode_t mask = umask(0077);
    int r = bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, SOMAXCONN) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0) return fd;
    close(fd);
    chv_err_set(err, -r, "%s: %s", server->socket, r == -EADDRINUSE ? "is there already" : strerror(-r));
    server->socket[0] = 0; /* not ours to remove */
    return r;
}

static int listen_tcp(struct nbd_server *server, int port, struct chv_err *err)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) return chv_err_set(err, errno, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof addr;
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &length) < 0) {
        int r = chv_err_set(err, errno, "--port %d: %s", port, strerror(errno));
        close(fd);
        return r;
    }
    server->port = ntohs(addr.sin_port);
    return fd;
}

static void make_uri(struct nbd_server *server)
{
    if (!server->socket[0]) {
        snprintf(server->uri, sizeof server->uri, "nbd://127.0.0.1:%d", server->port);
        return;
    }
    char *to = server->uri + sprintf(server->uri, "nbd+unix:///?socket=");
    for (const char *p = server->socket; *p; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("/-._~", *p);
        to += plain ? sprintf(to, "%c", *p) : sprintf(to, "%%%02X", (unsigned char)*p);
    }
}

/* In the child: descriptor 3 is the listening socket, and nbdkit is told so. */
static void become_nbdkit(int fd, const char *const *arguments, pid_t parent)
{
    const char *argv[ARGUMENTS_MAX + 4] = {"nbdkit", "-f"};
    int argc = 2;
    for (int i = 0; arguments[i] && i < ARGUMENTS_MAX; i++) argv[argc++] = arguments[i];
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    if (fd != FIRST_ACTIVATED_FD) dup2(fd, FIRST_ACTIVATED_FD);
    execvp("nbdkit", (char *const *)argv);
    fprintf(stderr, "chronovisor: nbdkit: %s; install the package nbdkit\n", strerror(errno));
    _exit(127);
}

static void our_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

int nbd_server_start(struct nbd_server *server, const struct nbd_server_options *options, struct chv_err *err)
{
    memset(server, 0, sizeof *server);
    int fd = options->port < 0 ? listen_unix(server, options->socket, err) : listen_tcp(server, options->port, err);
    if (fd < 0) {
        nbd_server_stop(server);
        return fd;
    }
    make_uri(server);
    sigset_t set;
    our_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL); /* for nbd_server_wait; the child undoes it */
    pid_t self = getpid();
    server->pid = fork();
    if (server->pid == 0) become_nbdkit(fd, options->arguments, self);
    int r = server->pid < 0 ? chv_err_set(err, errno, "fork: %s", strerror(errno)) : 0;
    close(fd);
    if (r < 0) nbd_server_stop(server);
    return r;
}

static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Has this child ended? Then *code is how. */
static bool reap(pid_t pid, int *code)
{
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid) return false;
    *code = exit_status(status);
    return true;
}

int nbd_server_wait(struct nbd_server *server)
{
    sigset_t set;
    our_signals(&set);
    for (;;) {
        int signal = sigwaitinfo(&set, NULL), code;
        if (signal < 0) continue; /* EINTR */
        if (signal != SIGCHLD) return 0;
        if (reap(server->pid, &code)) {
            server->pid = 0;
            return code;
        }
    }
}

int nbd_server_run(struct nbd_server *server, const char *command)
{
    setenv("uri", server->uri, 1);
    if (server->socket[0]) setenv("unixsocket", server->socket, 1);
    pid_t pid = fork();
    if (pid < 0) return 127;
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    sigset_t set;
    our_signals(&set);
    int code;
    while (!reap(pid, &code)) {
        int signal = sigwaitinfo(&set, NULL);
        if (signal > 0 && signal != SIGCHLD) kill(pid, signal);
    }
    return code;
}

void nbd_server_stop(struct nbd_server *server)
{
    if (server->pid > 0) {
        int status;
        kill(server->pid, SIGTERM);
        while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR) continue;
    }
    if (server->socket[0]) unlink(server->socket);
    if (server->directory[0]) rmdir(server->directory);
    server->pid = 0;
    server->socket[0] = server->directory[0] = 0;
}

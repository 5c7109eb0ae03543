#include "guest/helper.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOLD_NS UINT64_C(60000000000)   /* who asked may have died */
#define SETTLE_NS UINT64_C(1000000000)  /* a thread deep in the kernel stops when it comes back */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Stopped, traced or dead; a thread that sleeps or waits would still have to notice the signal. */
static bool all_stand(pid_t pid)
{
    char folder[32], path[64], state;
    struct chv_helper_process ignored;
    bool stand = true;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(folder);
    if (!dir) return false;
    for (struct dirent *e; stand && (e = readdir(dir));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        snprintf(path, sizeof path, "%s/%.10s/stat", folder, e->d_name);
        stand = !procfs_stat(path, &ignored, &state) || strchr("TtZX", state) != NULL;
    }
    closedir(dir);
    return stand;
}

/* --- the watch: a child that lets the process go on when the helper has died, however it did, or stands still itself */

enum { WATCH_LONGER = 'l', WATCH_END = 'e' };
#define WATCH_MS 65000 /* a little longer than the helper itself would wait */
#define FDS 64         /* more than the helper ever has */

static void watch(int sock, pid_t pid)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    char word;
    for (int fd = 0; fd < FDS; fd++) /* the port above all: its other end must see that the helper is gone */
        if (fd != sock) close(fd);
    prctl(PR_SET_NAME, "chv-watch", 0, 0, 0); /* nor what is meant for all of its name */
    while (poll(&p, 1, WATCH_MS) > 0 && recv(sock, &word, 1, 0) == 1)
        if (word == WATCH_END) _exit(0);
    kill(pid, SIGCONT);
    _exit(0);
}

static bool watch_begin(struct hold *h, pid_t pid)
{
    sigset_t all, before;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
    sigfillset(&all); /* from its first instruction on: what ends the helper, as a group, must not end the watch first */
    sigprocmask(SIG_SETMASK, &all, &before);
    h->watch = fork();
    if (h->watch == 0) watch(pair[1], pid);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    if (h->watch > 0) h->sock = pair[0];
    else close(pair[0]);
    return h->watch > 0;
}

static void watch_tell(const struct hold *h, char word)
{
    ssize_t ignored = send(h->sock, &word, 1, MSG_NOSIGNAL);
    (void)ignored; /* it was killed: the helper itself is still there */
}

static void watch_end(struct hold *h)
{
    if (h->watch <= 0) return;
    watch_tell(h, WATCH_END);
    close(h->sock);
    waitpid(h->watch, NULL, 0);
    h->watch = 0;
}

bool hold_take(struct hold *h, pid_t pid)
{
    if (h->pid != pid) hold_release(h);
    if (pid == 1 || pid == getpid()) return false; /* the machine, and who would let it go on again */
    if (h->pid == 0) {
        bool stood = all_stand(pid);
        if (!stood && !watch_begin(h, pid)) return false; /* nothing is stopped that nobody would let go on */
        if (!stood && kill(pid, SIGSTOP) < 0) {
            watch_end(h);
            return false;
        }
        h->pid = pid;
        h->ours = !stood;
    }
    if (h->ours) watch_tell(h, WATCH_LONGER);
    uint64_t began = now_ns();
    h->until_ns = began + HOLD_NS;
    while (!all_stand(pid)) {
        if (now_ns() - began > SETTLE_NS) return false;
        usleep(1000);
    }
    return true;
}

void hold_release(struct hold *h)
{
    if (h->pid > 0 && h->ours) kill(h->pid, SIGCONT);
    watch_end(h);
    *h = (struct hold){0};
}

void hold_expire(struct hold *h)
{
    if (h->pid > 0 && now_ns() >= h->until_ns) hold_release(h);
}

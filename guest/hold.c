#include "guest/helper.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

bool hold_take(struct hold *h, pid_t pid)
{
    if (h->pid != pid) hold_release(h);
    if (pid == 1 || pid == getpid()) return false; /* the machine, and who would let it go on again */
    if (h->pid == 0) {
        bool stood = all_stand(pid);
        if (!stood && kill(pid, SIGSTOP) < 0) return false;
        *h = (struct hold){.pid = pid, .ours = !stood};
    }
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
    *h = (struct hold){0};
}

void hold_expire(struct hold *h)
{
    if (h->pid > 0 && now_ns() >= h->until_ns) hold_release(h);
}

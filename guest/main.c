/* chronovisor-helper: inside a guest, as root. Waits at a virtio-serial port; says which processes there are, and where in
 * guest-physical memory the pages of one lie. It sends no page: those are collected from outside.
 *
 *   chronovisor-helper [PORT]     a device; without it the port named org.chronovisor.helper
 *   chronovisor-helper --record PID --key FILE [--freeze]
 *                                 under the hypervisor: has it record the pages of one process, and ends
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/helper.h"

#define IDLE_MS 50 /* how often a port without anybody at its other end is looked at */

/* Handlers take no argument, and a held process must go on when we are told to end. */
static volatile sig_atomic_t ending;

static void on_signal(int signal)
{
    (void)signal;
    ending = 1;
}

/* Without udev there is no /dev/virtio-ports; the kernel names them in /sys. */
static bool find_port(char *path, size_t size)
{
    snprintf(path, size, "/dev/virtio-ports/" CHV_HELPER_PORT);
    if (access(path, F_OK) == 0) return true;
    bool found = false;
    DIR *dir = opendir("/sys/class/virtio-ports");
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        char name[320], text[64] = {0};
        if (e->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "/sys/class/virtio-ports/%s/name", e->d_name);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        found = n > 0 && strncmp(text, CHV_HELPER_PORT "\n", sizeof CHV_HELPER_PORT) == 0;
        if (found) snprintf(path, size, "/dev/%.200s", e->d_name);
    }
    if (dir) closedir(dir);
    return found;
}

static void serve(struct answer *a, int fd, struct hold *hold, const struct chv_helper_frame *request)
{
    int status = 0;
    answer_begin(a, fd, request);
    switch (request->kind) {
    case CHV_HELPER_LIST:
        status = procfs_list(a);
        break;
    case CHV_HELPER_PAGES:
        if (!(request->flags & CHV_HELPER_FREEZE))
            hold_release(hold);
        else if (hold_take(hold, (pid_t)request->pid))
            a->flags |= CHV_HELPER_HELD;
        status = translate(a, (pid_t)request->pid);
        break;
    case CHV_HELPER_RELEASE:
        hold_release(hold);
        break;
    default:
        break;
    }
    answer_end(a, status);
}

static int run(int fd)
{
    struct request_reader reader = {.have = 0};
    struct hold hold = {0};
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer) return ENOMEM;
    while (!ending) {
        uint8_t bytes[4096];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, 1000);
        hold_expire(&hold);
        if (ready <= 0) continue;
        ssize_t n = p.revents & POLLIN ? read(fd, bytes, sizeof bytes) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) { /* nobody is there, or any more */
            hold_release(&hold);
            reader.have = 0;
            usleep(IDLE_MS * 1000);
            continue;
        }
        const uint8_t *data = bytes;
        size_t left = (size_t)n;
        struct chv_helper_frame request;
        while (request_next(&reader, &data, &left, &request)) serve(answer, fd, &hold, &request);
    }
    hold_release(&hold);
    free(answer);
    return 0;
}

int main(int argc, char **argv)
{
    char path[256];
    bool freeze = argc == 6 && strcmp(argv[5], "--freeze") == 0;
    if ((argc == 5 || freeze) && strcmp(argv[1], "--record") == 0 && strcmp(argv[3], "--key") == 0) {
        char *end;
        long pid = strtol(argv[2], &end, 10);
        if (*end == 0 && pid > 0 && pid <= (long)CHV_HELPER_PID_MAX) return record((pid_t)pid, argv[4], freeze);
    }
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: chronovisor-helper [PORT]\n       chronovisor-helper --record PID --key FILE [--freeze]\n");
        return 2;
    }
    if (argc == 2) {
        snprintf(path, sizeof path, "%s", argv[1]);
    } else if (!find_port(path, sizeof path)) {
        fprintf(stderr, "chronovisor-helper: no port " CHV_HELPER_PORT "; give QEMU -device virtserialport with that name\n");
        return 1;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        fprintf(stderr, "chronovisor-helper: %s: %s\n", path, strerror(errno));
        return 1;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int status = run(fd);
    close(fd);
    return status == 0 ? 0 : 1;
}

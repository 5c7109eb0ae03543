/* What decoy and ghost share: they run in the throwaway guest and nowhere else. */
#include "decoy.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void die(int code, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, fmt, list);
    fputc('\n', stderr);
    exit(code);
}

bool slurp(const char *path, char *buf, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buf, bytes - 1);
    close(fd);
    if (n < 0) return false;
    buf[n] = 0;
    if (n > 0 && buf[n - 1] == '\n') buf[n - 1] = 0;
    return true;
}

/* --- the guard: every condition must hold, or nothing is touched -------------------------- */

void guard(void)
{
    char text[4096], token[64], want[96];
    if (!slurp("/etc/chronovisor-guest", token, sizeof token) || strlen(token) != TOKEN_TEXT - 1)
        die(REFUSED, "refuses: this is not the throwaway guest (no /etc/chronovisor-guest)");
    snprintf(want, sizeof want, " chronovisor.guest=%s", token);
    if (!slurp("/proc/cmdline", text, sizeof text) || !strstr(text, want))
        die(REFUSED, "refuses: the kernel was not started with this guest's token");
    if (!slurp("/proc/mounts", text, sizeof text) || strncmp(text, "rootfs / rootfs ", 16) != 0)
        die(REFUSED, "refuses: the root file system is not an initramfs");
    if (!slurp("/proc/1/comm", text, sizeof text) || strcmp(text, "init") != 0)
        die(REFUSED, "refuses: process 1 is not the guest's init");
    unsigned a, b, c = 0, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31)) die(REFUSED, "refuses: not in a virtual machine");
    DIR *net = opendir("/sys/class/net");
    for (struct dirent *e; net && (e = readdir(net));)
        if (e->d_name[0] != '.' && strcmp(e->d_name, "lo") != 0)
            die(REFUSED, "refuses: there is a network interface (%.32s)", e->d_name);
    if (net) closedir(net);
}

#include "base/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A sanitizer reserves terabytes of addresses and reports through system calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define JAIL_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define JAIL_ARCH AUDIT_ARCH_AARCH64
#endif

static void jail_syscalls(void)
{
#ifdef JAIL_ARCH
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, JAIL_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(__NR_sendmsg), ALLOW(__NR_recvfrom), ALLOW(__NR_read), ALLOW(__NR_write),
        ALLOW(__NR_brk), ALLOW(__NR_mmap), ALLOW(__NR_munmap), ALLOW(__NR_mremap), ALLOW(__NR_madvise),
        ALLOW(__NR_mprotect), ALLOW(__NR_futex), ALLOW(__NR_clock_gettime), ALLOW(__NR_getrandom),
        ALLOW(__NR_rt_sigprocmask), ALLOW(__NR_rt_sigreturn), ALLOW(__NR_getpid), ALLOW(__NR_gettid), ALLOW(__NR_tgkill),
        ALLOW(__NR_exit), ALLOW(__NR_exit_group),
        /* Anything else, such as opening a file, is refused rather than fatal: libraries look around. */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA)),
    };
#undef ALLOW
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    /* Without seccomp in the kernel the process boundary and the closed descriptors remain. */
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

/* What the program has mapped already (an index may be much), on top of which a parser gets its allowance. */
static rlim_t data_bytes(void)
{
    char text[256] = "", *p = text;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    for (int field = 0; field < 5; field++) strtoull(p, &p, 10); /* the sixth is data and stack, in pages */
    return (rlim_t)strtoull(p, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

void jail_enter(int socket, const struct jail *limits)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGINT, SIG_IGN); /* the caller decides what an interrupt means, and ends us by closing the socket */
    /* Local times (FAT) are taken as UTC, and no time zone file is read. */
    setenv("TZ", "UTC0", 1);
    tzset();
    struct rlimit none = {0, 0}, cpu = {limits->cpu_seconds, limits->cpu_seconds};
    if (limits->cpu_seconds) setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &none);
    if (SANITIZED) return; /* keeps stderr and its reports */
    rlim_t allowance = data_bytes() + limits->memory_bytes;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
    if (socket > 3) syscall(__NR_close_range, 3u, (unsigned)socket - 1, 0u);
    syscall(__NR_close_range, (unsigned)socket + 1, ~0u, 0u);
    struct rlimit files = {0, 0};
    setrlimit(RLIMIT_NOFILE, &files);
    struct rlimit stack = {8u << 20, 8u << 20}, data = {allowance, allowance};
    setrlimit(RLIMIT_STACK, &stack);
    setrlimit(RLIMIT_DATA, &data);
    jail_syscalls();
}

/* Runs inside the throwaway guest: a process whose memory the test knows.
 *
 *   resident pattern NAME   fills pages with bytes that depend on NAME, prints their address, and sleeps
 *   resident memfd          copies itself into a memfd, runs that copy (resident asleep), which exists in memory only
 *   resident anonymous      makes an anonymous mapping that is writable and executable, and sleeps
 *   resident paged NAME     like pattern, and gives the first 100 pages to the swap device
 *   resident fill MIB       like pattern, but so many MiB
 *   resident asleep         sleeps
 *
 * Lines that begin with "@@" are for the host.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 300 };

static void sleep_for_ever(void)
{
    fflush(stdout);
    for (;;) pause();
}

static int run_memfd(void)
{
    char buf[65536];
    int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("ghost", MFD_CLOEXEC);
    ssize_t n;
    if (from < 0 || to < 0) return 1;
    while ((n = read(from, buf, sizeof buf)) > 0)
        if (write(to, buf, (size_t)n) != n) return 1;
    char *const argv[] = {"innocent-name", "asleep", NULL}, *const env[] = {NULL};
    fexecve(to, argv, env);
    return 1;
}

/* xorshift64 from the name: tests/memory/agentless.sh makes the same bytes in Python. */
static void fill(uint8_t *p, size_t bytes, const char *name)
{
    uint64_t x = 88172645463325252u;
    for (const char *c = name; *c; c++) x = x * 31 + (uint8_t)*c;
    for (size_t i = 0; i < bytes; i += sizeof x) {
        x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
        memcpy(p + i, &x, sizeof x);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    if (strcmp(argv[1], "memfd") == 0) return run_memfd();
    if (strcmp(argv[1], "asleep") == 0) sleep_for_ever();
    int prot = PROT_READ | PROT_WRITE | (strcmp(argv[1], "anonymous") == 0 ? PROT_EXEC : 0);
    size_t bytes = strcmp(argv[1], "fill") == 0 && argc > 2 ? strtoul(argv[2], NULL, 10) << 20 : (size_t)PAGES * PAGE;
    uint8_t *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 1;
    fill(p, bytes, argc > 2 ? argv[2] : argv[1]);
    if (strcmp(argv[1], "paged") == 0 && madvise(p, (size_t)100 * PAGE, MADV_PAGEOUT) < 0) perror("MADV_PAGEOUT");
    printf("@@ memory %s %d 0x%llx %zu\n", argv[1], (int)getpid(), (unsigned long long)(uintptr_t)p, bytes);
    sleep_for_ever();
}

/* Runs as root inside the watched machine and looks for the hypervisor: its memory, its instructions, what CPUID says.
 * intrude ADDRESS BYTES: prints one word for each attempt that got somewhere; "nothing" if none did. */
#include <cpuid.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf back;
static int found;

static void caught(int signal)
{
    siglongjmp(back, signal);
}

static void got(const char *what)
{
    printf("%s ", what);
    found = 1;
}

/* Reads and writes every page of it by /dev/mem, with the widths there are. */
static void memory(uint64_t address, uint64_t bytes)
{
    int fd = open("/dev/mem", O_RDWR | O_SYNC);
    volatile uint8_t *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)address);
    if (p == MAP_FAILED) {
        got("no-dev-mem"); /* nothing was tried, so nothing was shown */
        return;
    }
    for (uint64_t at = 0; at < bytes; at += 4096) {
        volatile uint64_t *q = (volatile uint64_t *)(p + at + at / 4096 % 500 * 8);
        if (*q != UINT64_MAX || *(volatile uint32_t *)q != UINT32_MAX || *(volatile uint8_t *)q != 0xff) got("read");
    }
    for (uint64_t at = 0; at < bytes; at += bytes / 64) {
        volatile uint64_t *q = (volatile uint64_t *)(p + at);
        *q = 0;
        *(volatile uint16_t *)q = 0x1234;
        *(volatile uint8_t *)q = 0;
        *(volatile uint32_t *)q |= 1;
        *q = *q - 1;
        if (*q != UINT64_MAX) got("write");
    }
    /* what firmware and libraries do: REP STOS */
    void *to = (void *)(uintptr_t)p;
    uint64_t count = 64;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    if (count || *(volatile uint64_t *)p != UINT64_MAX) got("stos");
}

#define TRY(name, instruction)                                                                                         \
    do {                                                                                                               \
        int signal = sigsetjmp(back, 1);                                                                               \
        if (!signal) {                                                                                                 \
            __asm__ volatile(instruction : : "a"(0), "b"(0), "c"(0), "d"(0) : "memory");                               \
            got(name);                                                                                                 \
        } else if (signal != SIGILL && signal != SIGSEGV) {                                                            \
            got(name "-odd");                                                                                          \
        }                                                                                                              \
    } while (0)

int main(int argc, char **argv)
{
    unsigned a, b, c, d;
    if (argc != 3) return 2;
    signal(SIGILL, caught);
    signal(SIGSEGV, caught);
    signal(SIGBUS, caught);
    memory(strtoull(argv[1], NULL, 0), strtoull(argv[2], NULL, 0));
    __cpuid(0x80000001, a, b, c, d);
    if (c & 1 << 2) got("cpuid-svm");
    __cpuid(0x8000000a, a, b, c, d);
    if (a | b | c | d) got("cpuid-8000000a");
    TRY("vmmcall", "vmmcall");
    TRY("vmrun", "vmrun %%rax");
    TRY("vmload", "vmload %%rax");
    TRY("stgi", "stgi");
    TRY("clgi", "clgi");
    TRY("invlpga", "invlpga %%rax, %%ecx");
    puts(found ? "" : "nothing");
    return 0;
}

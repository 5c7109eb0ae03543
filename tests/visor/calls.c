/* Runs as root in the watched machine: what may VMMCALL do, with the key and without it?
 *
 *   calls KEYFILE ADDRESS BYTES   a row of hostile calls; prints one word for each that got further than it should, or "nothing".
 *                                 ADDRESS, BYTES: the hypervisor's memory, as /proc/iomem has it
 *   calls KEYFILE measure         nanoseconds of a call, and bytes a second of pages of 2 MiB of its own
 *
 * With the key the hypervisor's own code answers, so what it may answer is checked; without it there is SIGILL. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/hypercall.h"

enum { PAGE = 4096, ENDLESS = 2000, PAGES = 512 };

static sigjmp_buf back;
static uint64_t low, high;
static int found;

static void caught(int signal)
{
    siglongjmp(back, signal);
}

static void got(const char *what, long value)
{
    printf("%s=%ld ", what, value);
    found = 1;
}

/* A status; -1: SIGILL; -2: something else. */
static long call(uint64_t rax, uint64_t rbx, uint64_t rcx, uint64_t rdx, uint64_t *number)
{
    int signal = sigsetjmp(back, 1);
    if (signal) return signal == SIGILL ? -1 : -2;
    uint64_t r8 = 0x1234567812345678, r9 = ~r8;
    __asm__ volatile("mov %4, %%r8\n mov %5, %%r9\n vmmcall\n cmp %4, %%r8\n jne 1f\n cmp %5, %%r9\n je 2f\n 1: ud2\n 2:"
                     : "+a"(rax), "+d"(rdx)
                     : "b"(rbx), "c"(rcx), "r"(r8), "r"(r9)
                     : "memory", "r8", "r9", "cc");
    if (number) *number = rdx;
    return (long)rax;
}

static long ask(const void *request, uint64_t *number)
{
    return call(CHV_HYPERCALL, low, high, (uintptr_t)request, number);
}

static void expect(const char *what, long is, long wanted)
{
    if (is != wanted) got(what, is);
}

struct request {
    struct chv_hypercall head;
    struct chv_hypercall_run runs[CHV_HYPERCALL_RUNS];
};

static struct request request(uint32_t kind, const char *space, uint64_t bytes, uint64_t frame, uint32_t pages)
{
    struct request r = {.head = {.version = 1, .kind = kind, .bytes = bytes, .runs = kind == CHV_HYPERCALL_RECORD}};
    snprintf(r.head.space, sizeof r.head.space, "%s", space);
    r.runs[0] = (struct chv_hypercall_run){0x1000, frame, pages, 0};
    return r;
}

static void without_key(void)
{
    struct request r = request(CHV_HYPERCALL_BEGIN, "proc:1", 4096, 0, 0);
    expect("plain", call(0, 0, 0, 0, NULL), -1);
    expect("number", call(CHV_HYPERCALL, 0, 0, (uintptr_t)&r, NULL), -1);
    expect("low", call(CHV_HYPERCALL, low, 0, (uintptr_t)&r, NULL), -1);
    expect("high", call(CHV_HYPERCALL, 0, high, (uintptr_t)&r, NULL), -1);
    expect("bit", call(CHV_HYPERCALL, low ^ 1, high, (uintptr_t)&r, NULL), -1);
    expect("rax", call(CHV_HYPERCALL | UINT64_C(1) << 63, low, high, (uintptr_t)&r, NULL), -1);
    srandom(1);
    for (int i = 0; i < 200; i++)
        expect("random", call(i % 2 ? CHV_HYPERCALL : (uint64_t)random(), (uint64_t)random() << 32 | (uint64_t)random(), high, (uint64_t)random() << 20, NULL), -1);
}

static void hostile(uint64_t own, uint64_t own_bytes)
{
    struct request r = request(CHV_HYPERCALL_BEGIN, "proc:666", UINT64_C(1) << 47, 0, 0);
    uint64_t n;
    expect("begin", ask(&r, NULL), CHV_HYPERCALL_OK);
    static const char *const names[] = {"ram", "disk:nvme0n1", "wire", "capture:ram", "proc:", "proc:../x", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        r = request(CHV_HYPERCALL_BEGIN, names[i], 4096, 0, 0);
        expect(names[i], ask(&r, NULL), CHV_HYPERCALL_INVALID);
    }
    /* the hypervisor's memory, every 16th page of it, and devices' registers */
    for (uint64_t at = own; at < own + own_bytes; at += 16 * PAGE) {
        r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, at / PAGE, 1);
        expect("own", ask(&r, &n), CHV_HYPERCALL_NOT_RAM);
        if (n) got("own-pages", (long)n);
    }
    static const uint64_t frames[] = {0xfee00, 0xb0000, 0xfec00, 0xfed00, UINT64_C(0x8000000), (UINT64_C(1) << 40) - 1};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, frames[i], UINT32_MAX >> 4);
        expect("device", ask(&r, &n), CHV_HYPERCALL_NOT_RAM);
        if (n) got("device-pages", (long)n);
    }
    /* counts, and numbers that run over */
    r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, UINT64_MAX, 1);
    expect("frame", ask(&r, NULL), CHV_HYPERCALL_INVALID);
    r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, 0x100, UINT32_MAX);
    r.runs[0].address = UINT64_MAX & ~UINT64_C(4095);
    expect("address", ask(&r, NULL), CHV_HYPERCALL_INVALID);
    r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, 0x100, 1);
    r.head.runs = UINT32_MAX;
    expect("count", ask(&r, NULL), CHV_HYPERCALL_INVALID);
    r = request(99, "proc:666", 0, 0, 0);
    expect("kind", ask(&r, NULL), CHV_HYPERCALL_INVALID);
    /* requests where there is none: nowhere, at the end of a mapping, in the kernel, in the hypervisor's memory */
    static const uint64_t at[] = {0, 8, 0xffffffffffffffff, 0xfffffffffffffff0, 0x7fffffffeff0, 0x4000000000000000};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        expect("pointer", call(CHV_HYPERCALL, low, high, at[i], NULL), CHV_HYPERCALL_FAULT);
    uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(two, 0, 2 * PAGE);
    munmap(two + PAGE, PAGE);
    r = request(CHV_HYPERCALL_BEGIN, "proc:666", 4096, 0, 0);
    memcpy(two + PAGE - 40, &r, 40);
    expect("torn", ask(two + PAGE - 40, NULL), CHV_HYPERCALL_FAULT);
    int fd = open("/dev/mem", O_RDWR | O_SYNC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)own);
    if (p == MAP_FAILED)
        got("no-dev-mem", 0);
    else if (*(volatile uint64_t *)p != UINT64_MAX)
        got("read", 0);
    else
        expect("own-request", ask(p, NULL), CHV_HYPERCALL_FAULT);
    /* with the key, also as nobody */
    if (seteuid(65534) == 0) {
        r = request(CHV_HYPERCALL_SETTLED, "", 1, 0, 0);
        long status = ask(&r, NULL);
        if (status != CHV_HYPERCALL_OK && status != CHV_HYPERCALL_AGAIN) got("nobody", status);
    }
    if (seteuid(0) < 0) got("root", 0);
    /* endless calls: each one ends, and records at most a batch */
    for (uint64_t i = 0; i < ENDLESS; i++) {
        r = request(CHV_HYPERCALL_RECORD, "proc:666", 0, own / PAGE, UINT32_MAX >> 4);
        expect("endless", ask(&r, NULL), CHV_HYPERCALL_NOT_RAM);
        if (call(i, i, i, i, NULL) != -1) got("endless-plain", (long)i);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(void)
{
    enum { CALLS = 5000 };
    struct request r = request(CHV_HYPERCALL_SETTLED, "", 1, 0, 0);
    double begun = seconds(), call_ns, record;
    uint64_t n, done = 0, entry;
    for (int i = 0; i < CALLS; i++) ask(&r, NULL);
    call_ns = (seconds() - begun) / CALLS * 1e9;
    uint8_t *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < PAGES * PAGE; i++) p[i] = (uint8_t)(i * 2654435761u >> 13);
    if (mlock(p, PAGES * PAGE) < 0) got("mlock", 0);
    int fd = open("/proc/self/pagemap", O_RDONLY);
    r = request(CHV_HYPERCALL_BEGIN, "proc:777", UINT64_C(1) << 47, 0, 0);
    while (ask(&r, NULL) == CHV_HYPERCALL_AGAIN) usleep(1000);
    begun = seconds();
    unsigned calls = 0;
    while (done < PAGES) {
        r = request(CHV_HYPERCALL_RECORD, "proc:777", 0, 0, 1);
        for (r.head.runs = 0; r.head.runs < CHV_HYPERCALL_RUNS && done + r.head.runs < PAGES; r.head.runs++) {
            uint64_t page = done + r.head.runs;
            if (pread(fd, &entry, 8, (off_t)(((uintptr_t)p / PAGE + page) * 8)) != 8) return;
            r.runs[r.head.runs] = (struct chv_hypercall_run){page * PAGE, entry & ((UINT64_C(1) << 55) - 1), 1, 0};
        }
        long status = ask(&r, &n);
        if (status == CHV_HYPERCALL_AGAIN) usleep(1000);
        else if (status) got("record", status);
        done += n;
        calls++;
    }
    record = seconds() - begun;
    r = request(CHV_HYPERCALL_SETTLED, "", 0, 0, 0);
    ask(&r, &n);
    r.head.bytes = n;
    while (ask(&r, NULL) == CHV_HYPERCALL_AGAIN) usleep(1000);
    printf("call %.0f ns, %u calls for %d pages: %.1f MB/s taken, %.1f MB/s durable ", call_ns, calls, PAGES, PAGES * PAGE / 1e6 / record,
           PAGES * PAGE / 1e6 / (seconds() - begun));
    found = 1;
}

int main(int argc, char **argv)
{
    char text[33] = "";
    int fd = argc >= 3 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0 || read(fd, text, 32) != 32) return 2;
    for (int i = 15; i >= 0; i--) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) return 2;
        if (i < 8) low = low << 8 | byte;
        else high = high << 8 | byte;
    }
    signal(SIGILL, caught);
    signal(SIGSEGV, caught);
    signal(SIGBUS, caught);
    if (argc == 3) {
        measure();
    } else {
        without_key();
        hostile(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
    }
    puts(found ? "" : "nothing");
    return 0;
}

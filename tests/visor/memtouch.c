/* Touches memory that the kernel leaves alone, by /dev/mem, each page in one way by its number modulo 6: 0 is read, 1
 * written, 2 written and, the time later, executed, 3 read and then written, 4 left alone, 5 written again and again by
 * two processors.
 * memtouch ADDRESS PAGES MILLISECONDS: prints "fine" if what is read back is what was written. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, WAYS = 6 };

static uint8_t *memory;
static long pages, wait_ms;

static void rest(void)
{
    struct timespec t = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static uint8_t pattern(long page, unsigned i)
{
    return (uint8_t)((unsigned)page + i * 7 + i / 256);
}

static void fill(long page)
{
    volatile uint8_t *to = memory + page * PAGE;
    for (unsigned i = 0; i < PAGE; i++) to[i] = pattern(page, i);
}

static int filled(long page)
{
    volatile uint8_t *from = memory + page * PAGE;
    for (unsigned i = 0; i < PAGE; i++)
        if (from[i] != pattern(page, i)) return 0;
    return 1;
}

static int run(long page)
{
    int (*call)(void);
    uint8_t *at = memory + page * PAGE;
    memcpy(&call, &at, sizeof call);
    return call();
}

/* One half of each page of way 5: what was written is there, every time. */
static void *count(void *half)
{
    for (uint32_t turn = 1; turn <= 20; turn++)
        for (long page = 5; page < pages; page += WAYS) {
            volatile uint32_t *word = (uint32_t *)(void *)(memory + page * PAGE + (half ? PAGE / 2 : 0));
            for (uint32_t i = 0; i < 32; i++) word[i] = turn * i;
            for (uint32_t i = 0; i < 32; i++)
                if (word[i] != turn * i) return "lost";
        }
    return NULL;
}

int main(int argc, char **argv)
{
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    if (argc != 4) return 2;
    int fd = open("/dev/mem", O_RDWR), ok = 1;
    pages = atol(argv[2]);
    wait_ms = atol(argv[3]);
    memory = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_POPULATE, fd,
                  (off_t)strtoull(argv[1], NULL, 0));
    if (memory == MAP_FAILED) return puts("no memory"), 1;
    rest();
    for (long page = 0; page < pages; page++) {
        volatile uint8_t *at = memory + page * PAGE;
        if (page % WAYS == 0) (void)at[page % PAGE];
        if (page % WAYS == 1) fill(page);
        for (unsigned i = 0; page % WAYS == 2 && i < sizeof code; i++) at[i] = code[i];
    }
    rest();
    for (long page = 2; page < pages; page += WAYS) ok = ok && run(page) == 42;
    for (long page = 3; page < pages; page += WAYS) {
        (void)*(volatile uint8_t *)(memory + page * PAGE);
        fill(page);
    }
    rest();
    pthread_t other;
    void *lost = NULL;
    pthread_create(&other, NULL, count, memory);
    ok = !count(NULL) && ok;
    pthread_join(other, &lost);
    rest();
    for (long page = 1; page < pages; page += 2)
        if (page % WAYS != 5) ok = ok && filled(page);
    puts(ok && !lost ? "fine" : "wrong");
    return !ok || lost;
}

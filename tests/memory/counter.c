/* In the guest: one counter in many pages, over and over, and with a path also in the first block of that disk.
 *
 * At every instant the pages, in their order, hold N, ..., N, N-1, ..., N-1, and the disk N-1 or N. An image of memory that does not is
 * not of one instant. counter PAGES MICROSECONDS [DISK]: sleep that long after each round.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct page {
    char magic[16];
    uint64_t index, pages;
    volatile uint64_t counter;
    uint8_t rest[4096 - 40];
};

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    uint64_t pages = strtoull(argv[1], NULL, 10);
    useconds_t pause = (useconds_t)strtoul(argv[2], NULL, 10);
    struct page *p = mmap(NULL, (pages + 1) * sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) return 1;
    uint8_t *block = (uint8_t *)&p[pages];
    int disk = argc > 3 ? open(argv[3], O_WRONLY | O_DIRECT | O_DSYNC) : -1;
    if (argc > 3 && disk < 0) {
        perror(argv[3]);
        return 1;
    }
    for (uint64_t n = 1;; n++) {
        for (uint64_t i = 0; i < pages; i++) {
            if (n == 1) {
                memcpy(p[i].magic, "Counter:in:Pages", 16);
                p[i].index = i;
                p[i].pages = pages;
            }
            __atomic_store_n(&p[i].counter, n, __ATOMIC_SEQ_CST);
        }
        memcpy(block, &n, sizeof n);
        if (disk >= 0 && pwrite(disk, block, 4096, 0) != 4096) return 1;
        if (pause) usleep(pause);
    }
}

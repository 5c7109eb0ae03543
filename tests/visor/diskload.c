/* Random load on a disk from a seed, many requests at once and never two on the same blocks at a time, so that what the
 * disk holds afterwards is certain: diskload DEVICE SEED REQUESTS [no-erase]. Needs a disk that may be overwritten. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH = 32, SECTOR = 512, MOST = 256 * 1024 };

static struct slot {
    struct iocb cb;
    uint64_t first, last; /* sectors; under way unless last is 0 */
    uint8_t *data;
} slots[DEPTH];
static uint64_t state;
static unsigned busy;
static aio_context_t context;

static uint64_t number(uint64_t below) /* xorshift64* */
{
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (state * 2685821657736338717ull >> 11) % below;
}

static void die(const char *what)
{
    printf("diskload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void reap(unsigned least)
{
    struct io_event events[DEPTH];
    long n = least ? syscall(SYS_io_getevents, context, least, DEPTH, events, NULL) : 0;
    if (n < 0) die("io_getevents");
    for (long i = 0; i < n; i++) {
        struct slot *s = &slots[events[i].data];
        if (events[i].res != (int64_t)s->cb.aio_nbytes) errno = (int)-events[i].res, die("a request");
        s->last = 0;
        busy--;
    }
}

static int meets(uint64_t first, uint64_t last)
{
    for (int i = 0; i < DEPTH; i++)
        if (slots[i].last && first / 8 <= slots[i].last / 8 && slots[i].first / 8 <= last / 8) return 1;
    return 0;
}

static void submit(int fd, uint64_t sectors)
{
    uint64_t n = 1 + (number(3) ? number(16) : number(MOST / SECTOR)), first = number(sectors - n);
    if (number(2)) first &= ~7ull, n = (n + 7) & ~7ull; /* half of them whole blocks */
    if (first + n > sectors) return;
    while (meets(first, first + n - 1) || busy == DEPTH) reap(1);
    int i = 0;
    while (slots[i].last) i++;
    struct slot *s = &slots[i];
    struct iocb *one = &s->cb;
    int is_write = number(4) != 0;
    for (uint64_t k = 0; is_write && k < n * SECTOR / 8; k++)
        ((uint64_t *)(void *)s->data)[k] = number(16) ? state * k : 0;
    s->cb = (struct iocb){
        .aio_data = (unsigned)i, .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)s->data, .aio_nbytes = n * SECTOR};
    s->cb.aio_offset = (int64_t)(first * SECTOR);
    s->cb.aio_lio_opcode = is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    s->first = first, s->last = first + n - 1;
    if (syscall(SYS_io_submit, context, 1, &one) != 1) die("io_submit");
    busy++;
}

/* Discards and zeroes a range, with nothing else under way. */
static void erase(int fd, uint64_t sectors)
{
    uint64_t range[2] = {number(sectors - 512) / 8 * 8 * SECTOR, (1 + number(64)) * 4096};
    while (busy) reap(1);
    if (ioctl(fd, number(2) ? BLKZEROOUT : BLKDISCARD, range) && errno != EOPNOTSUPP) die("ioctl");
}

int main(int argc, char **argv)
{
    uint64_t bytes;
    int fd = argc == 4 || argc == 5 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) || syscall(SYS_io_setup, DEPTH, &context))
        die("diskload DEVICE SEED REQUESTS");
    state = strtoull(argv[2], NULL, 0) * 2 + 1;
    for (int i = 0; i < DEPTH; i++)
        if (posix_memalign((void **)&slots[i].data, 4096, MOST + 4096)) die("memory");
    for (uint64_t i = strtoull(argv[3], NULL, 0); i; i--) {
        submit(fd, bytes / SECTOR);
        if (argc == 4 && !number(64)) erase(fd, bytes / SECTOR);
        if (!number(64)) fdatasync(fd);
    }
    while (busy) reap(1);
    if (fsync(fd)) die("fsync");
    return 0;
}

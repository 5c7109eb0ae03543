/* visor_write DEVICE DEPTH COUNT: 4 KiB writes at random places of a disk that may be overwritten, so many at once. */
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

enum { BLOCK = 4096, DEPTH_MAX = 64 };

int main(int argc, char **argv)
{
    int fd = argc == 4 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
    unsigned depth = fd >= 0 ? (unsigned)atoi(argv[2]) : 0, left = fd >= 0 ? (unsigned)atoi(argv[3]) : 0, busy = 0;
    static struct iocb cbs[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
    aio_context_t context = 0;
    uint64_t bytes = 0, state = 1;
    uint8_t *data = NULL;
    if (!depth || depth > DEPTH_MAX || ioctl(fd, BLKGETSIZE64, &bytes) || syscall(SYS_io_setup, depth, &context) ||
        posix_memalign((void **)&data, BLOCK, depth * BLOCK)) {
        fprintf(stderr, "visor_write DEVICE DEPTH COUNT\n");
        return 2;
    }
    for (unsigned i = 0; i < depth; i++) {
        cbs[i] = (struct iocb){.aio_data = i, .aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_nbytes = BLOCK};
        cbs[i].aio_buf = (uintptr_t)(data + i * BLOCK);
    }
    unsigned next[DEPTH_MAX], idle = depth;
    for (unsigned i = 0; i < depth; i++) next[i] = i;
    while (left || busy) {
        struct iocb *list[DEPTH_MAX];
        unsigned n = 0;
        while (left && idle) {
            struct iocb *cb = list[n++] = &cbs[next[--idle]];
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            memcpy((void *)(uintptr_t)cb->aio_buf, &state, sizeof state);
            cb->aio_offset = (int64_t)(state % (bytes / BLOCK) * BLOCK);
            left--;
        }
        if (n && syscall(SYS_io_submit, context, n, list) != (long)n) return 1;
        busy += n;
        long done = syscall(SYS_io_getevents, context, 1, DEPTH_MAX, events, NULL);
        if (done < 1) return 1;
        for (long i = 0; i < done; i++) {
            if (events[i].res != BLOCK) return 1;
            next[idle++] = (unsigned)events[i].data;
            busy--;
        }
    }
    return 0;
}

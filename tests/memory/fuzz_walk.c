/* Any bytes as a machine's memory: address spaces, a kernel and its processes are looked for, and it always ends. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sensor/memory/linux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *arg, const struct walk_leaf *leaf)
{
    if (leaf->bytes < PHYSMEM_PAGE_BYTES || leaf->va % leaf->bytes || leaf->pa % leaf->bytes) abort();
    ++*(uint64_t *)arg;
    return 0;
}

/* The first byte chooses the number of levels and the second the table; the rest is memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct physmem *mem;
    struct roots roots;
    struct chv_err err;
    static struct walk w;
    if (size < 2 || size > 1 << 20) return 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data + 2, size - 2) != (ssize_t)(size - 2)) abort();
    if (physmem_open_image(path, &mem, &err) == 0) {
        uint64_t leaves = 0;
        walk_init(&w, mem, (uint64_t)data[1] * PHYSMEM_PAGE_BYTES, 4 + data[0] % 2);
        walk_each(&w, 0, walk_user_last(w.levels), 64, count, &leaves);
        walk_each(&w, walk_kernel_first(w.levels), UINT64_MAX, 64, count, &leaves);
        if (roots_find(mem, NULL, NULL, &roots, &err) == 0) {
            struct linux_kernel *k;
            if (linux_open(mem, &roots, &k, &err) == 0) linux_close(k);
        }
        roots_fini(&roots);
        physmem_close(mem);
    }
    close(fd);
    return 0;
}

/* Files that fail when told to, behind `struct io`. */
#ifndef CHV_TESTS_STORE_FAULT_H
#define CHV_TESTS_STORE_FAULT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/io.h"

struct fault {
    struct io io;
    atomic_ulong steps; /* writes, syncs, creations, renames, truncations so far */
    unsigned long at;   /* the step that fails, from 1; 0: none */
    bool stays;         /* and every one after it */
    int code;
    unsigned slow_us;   /* each write takes this long */
};

static inline int fault_step(const struct io *io)
{
    struct fault *f = (struct fault *)(uintptr_t)io;
    unsigned long step = atomic_fetch_add(&f->steps, 1) + 1;
    return f->at && (step == f->at || (f->stays && step > f->at)) ? -f->code : 0;
}

static inline int fault_open(const struct io *io, const char *path, int flags, mode_t mode)
{
    int r = fault_step(io);
    return r < 0 ? r : io_real.open(&io_real, path, flags, mode);
}

static inline int fault_pwrite(const struct io *io, int fd, const void *buf, size_t bytes, uint64_t offset)
{
    const struct fault *f = (const struct fault *)io;
    if (f->slow_us) {
        struct timespec t = {f->slow_us / 1000000, f->slow_us % 1000000 * 1000L};
        nanosleep(&t, NULL);
    }
    int r = fault_step(io);
    if (r < 0) bytes = bytes * 3 / 7; /* a full disk takes some of it */
    int written = io_real.pwrite(&io_real, fd, buf, bytes, offset);
    return r < 0 ? r : written;
}

static inline int fault_truncate(const struct io *io, int fd, uint64_t bytes)
{
    int r = fault_step(io);
    return r < 0 ? r : io_real.truncate(&io_real, fd, bytes);
}

static inline int fault_datasync(const struct io *io, int fd)
{
    (void)fd; /* the machine stays up: nothing has to reach the disk */
    return fault_step(io);
}

static inline int fault_sync_dir(const struct io *io, const char *path)
{
    (void)path;
    return fault_step(io);
}

static inline int fault_rename(const struct io *io, const char *from, const char *to)
{
    int r = fault_step(io);
    return r < 0 ? r : io_real.rename(&io_real, from, to);
}

static inline int fault_unlink(const struct io *io, const char *path)
{
    return io_real.unlink(&io_real, path);
}

static inline int fault_close(const struct io *io, int fd)
{
    return io_real.close(&io_real, fd);
}

static inline void fault_init(struct fault *f)
{
    memset(f, 0, sizeof *f);
    f->io = (struct io){fault_open, fault_pwrite, fault_truncate, fault_datasync,
                        fault_sync_dir, fault_rename, fault_unlink, fault_close};
}

#endif

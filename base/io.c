#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_open(const struct io *io, const char *path, int flags, mode_t mode)
{
    (void)io;
    int fd = open(path, flags | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

static int real_pwrite(const struct io *io, int fd, const void *buf, size_t bytes, uint64_t offset)
{
    (void)io;
    const uint8_t *p = buf;
    while (bytes > 0) {
        ssize_t n = pwrite(fd, p, bytes, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int real_truncate(const struct io *io, int fd, uint64_t bytes)
{
    (void)io;
    return ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
}

static int real_datasync(const struct io *io, int fd)
{
    (void)io;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int real_sync_dir(const struct io *io, const char *path)
{
    (void)io;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int real_rename(const struct io *io, const char *from, const char *to)
{
    (void)io;
    return rename(from, to) < 0 ? -errno : 0;
}

static int real_unlink(const struct io *io, const char *path)
{
    (void)io;
    return unlink(path) < 0 ? -errno : 0;
}

static int real_close(const struct io *io, int fd)
{
    (void)io;
    return close(fd) < 0 ? -errno : 0;
}

const struct io io_real = {
    .open = real_open,
    .pwrite = real_pwrite,
    .truncate = real_truncate,
    .datasync = real_datasync,
    .sync_dir = real_sync_dir,
    .rename = real_rename,
    .unlink = real_unlink,
    .close = real_close,
};

int io_pread_full(int fd, void *buf, size_t bytes, uint64_t offset)
{
    uint8_t *p = buf;
    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (n == 0) return -ENODATA;
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int io_replace(const struct io *io, const char *dir, const char *name, const void *buf, size_t bytes)
{
    char path[4096], tmp[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path ||
        (size_t)snprintf(tmp, sizeof tmp, "%s/%s.tmp", dir, name) >= sizeof tmp)
        return -ENAMETOOLONG;
    int fd = io->open(io, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return fd;
    int r = io->pwrite(io, fd, buf, bytes, 0);
    if (r == 0) r = io->datasync(io, fd);
    int closed = io->close(io, fd);
    if (r == 0) r = closed;
    if (r == 0) r = io->rename(io, tmp, path);
    if (r == 0) r = io->sync_dir(io, dir);
    if (r != 0) io->unlink(io, tmp);
    return r;
}

int io_read_file(const char *path, size_t max_bytes, char **buf, size_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max_bytes)) r = -EFBIG;
    char *p = r == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    if (r == 0 && !p) r = -ENOMEM;
    if (r == 0) r = io_pread_full(fd, p, (size_t)st.st_size, 0);
    close(fd);
    if (r != 0) {
        free(p);
        return r;
    }
    p[st.st_size] = 0;
    *buf = p;
    *bytes = (size_t)st.st_size;
    return 0;
}

#include "sensor/capture/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define ZEROS_BYTES (1u << 20)

/* A device's queue limit from sysfs, 0 when it is not told. */
static unsigned long long queue_limit(dev_t device, const char *name)
{
    char path[128];
    unsigned long long value = 0;
    static const char *const places[] = {"/sys/dev/block/%u:%u/queue/%s", "/sys/dev/block/%u:%u/../queue/%s"};
    for (int i = 0; i < 2 && value == 0; i++) {
        if (i == 0)
            snprintf(path, sizeof path, places[0], major(device), minor(device), name);
        else
            snprintf(path, sizeof path, places[1], major(device), minor(device), name); /* a partition */
        FILE *f = fopen(path, "re");
        if (!f) continue;
        if (fscanf(f, "%llu", &value) != 1) value = 0;
        fclose(f);
    }
    return value;
}

static int file_size(struct disk *d, const struct stat *st)
{
    d->size_bytes = (uint64_t)st->st_size;
    d->can_seek = lseek(d->fd, 0, SEEK_HOLE) >= 0 || errno == ENXIO;
    return 0;
}

static int device_size(struct disk *d, const struct stat *st)
{
    uint64_t size = 0;
    if (ioctl(d->fd, BLKGETSIZE64, &size) < 0) return -errno;
    d->size_bytes = size;
    d->is_device = true;
    d->can_punch = queue_limit(st->st_rdev, "write_zeroes_max_bytes") > 0;
    return 0;
}

void disk_probe(struct disk *d)
{
    if (d->is_device) return;
    off_t behind = (off_t)((d->size_bytes + 0xfffff) & ~UINT64_C(0xfffff));
    d->can_punch = fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, behind, 4096) == 0;
}

int disk_open(const char *path, struct disk *d, struct chv_err *err)
{
    struct stat st;
    *d = (struct disk){.fd = -1};
    d->path = realpath(path, NULL);
    if (d->path) d->fd = open(d->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (d->fd < 0 || fstat(d->fd, &st) < 0) {
        int code = errno;
        disk_close(d);
        return chv_err_set(err, code, "disk %s: %s", path, strerror(code));
    }
    int r = S_ISREG(st.st_mode) ? file_size(d, &st) : S_ISBLK(st.st_mode) ? device_size(d, &st) : -ENOTBLK;
    if (r == 0 && d->size_bytes == 0) r = -ENODATA;
    if (r == 0 && d->size_bytes > (UINT64_C(1) << 48) * 512) r = -EFBIG;
    if (r == 0) return 0;
    disk_close(d);
    return chv_err_set(err, -r, "disk %s: %s", path,
                       r == -ENOTBLK   ? "neither a file nor a block device; give a raw image or a device"
                       : r == -ENODATA ? "is empty; make it as large as the disk shall be (truncate -s)"
                                       : strerror(-r));
}

void disk_close(struct disk *d)
{
    if (d->fd >= 0) close(d->fd);
    free(d->path);
    *d = (struct disk){.fd = -1};
}

int disk_stamp(const struct disk *d, struct disk_stamp *out)
{
    return disk_stamp_fd(d->fd, d->size_bytes, out);
}

int disk_pread(const struct disk *d, void *buf, uint64_t bytes, uint64_t offset)
{
    uint8_t *p = buf;
    while (bytes > 0) {
        ssize_t n = pread(d->fd, p, bytes, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (n == 0) {
            if (offset < d->size_bytes) return -EIO; /* the file was cut behind our back */
            memset(p, 0, bytes);
            return 0;
        }
        p += n;
        bytes -= (uint64_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int disk_pwrite(const struct disk *d, const void *buf, uint64_t bytes, uint64_t offset)
{
    const uint8_t *p = buf;
    while (bytes > 0) {
        ssize_t n = pwrite(d->fd, p, bytes, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        p += n;
        bytes -= (uint64_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int disk_pwrite_blocks(const struct disk *d, const void *const *blocks, size_t count, uint32_t block_bytes,
                       uint64_t offset)
{
    struct iovec iov[64];
    uint64_t left = d->size_bytes - offset;
    if (left > count * block_bytes) left = count * block_bytes;
    uint64_t done = 0;
    while (done < left) {
        int n = 0;
        for (uint64_t at = done; at < left && n < 64; n++) {
            uint64_t skip = at % block_bytes, bytes = block_bytes - skip;
            if (bytes > left - at) bytes = left - at;
            iov[n] = (struct iovec){(uint8_t *)(uintptr_t)blocks[at / block_bytes] + skip, bytes};
            at += bytes;
        }
        ssize_t wrote = pwritev(d->fd, iov, n, (off_t)(offset + done));
        if (wrote < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        done += (uint64_t)wrote;
    }
    return 0;
}

static int write_zeros(const struct disk *d, uint64_t bytes, uint64_t offset)
{
    void *zeros = calloc(1, bytes < ZEROS_BYTES ? bytes : ZEROS_BYTES);
    if (!zeros) return -ENOMEM;
    int r = 0;
    while (r == 0 && bytes > 0) {
        uint64_t n = bytes < ZEROS_BYTES ? bytes : ZEROS_BYTES;
        r = disk_pwrite(d, zeros, n, offset);
        offset += n;
        bytes -= n;
    }
    free(zeros);
    return r;
}

int disk_zero(const struct disk *d, uint64_t bytes, uint64_t offset, bool may_punch)
{
    if (bytes == 0) return 0;
    int mode = may_punch && d->can_punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
    for (;;) {
        if (fallocate(d->fd, mode, (off_t)offset, (off_t)bytes) == 0) return 0;
        if (errno == EINTR) continue;
        /* not here, not at this alignment, not on this device */
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == ENODEV)
            return write_zeros(d, bytes, offset);
        return -errno;
    }
}

int disk_sync(const struct disk *d)
{
    return fdatasync(d->fd) < 0 ? -errno : 0;
}

bool disk_hole(const struct disk *d, uint64_t offset, uint64_t end, uint64_t *run_end)
{
    *run_end = end;
    if (!d->can_seek) return false;
    off_t data = lseek(d->fd, (off_t)offset, SEEK_DATA);
    if (data < 0) return errno == ENXIO; /* no data up to the end of the file */
    if ((uint64_t)data > offset) {
        if ((uint64_t)data < end) *run_end = (uint64_t)data;
        return true;
    }
    off_t hole = lseek(d->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset && (uint64_t)hole < end) *run_end = (uint64_t)hole;
    return false;
}

#include "timeline/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int device_open(const struct chv_space *space, const char *path, int flags, struct chv_err *err)
{
    const char *name = path ? path : space->source;
    if (!name)
        return chv_err_set(err, ENOENT,
                           "space %s: the recorded device's path is not in the store; give it with --source",
                           space->name);
    int fd = open(name, flags | O_CLOEXEC);
    if (fd < 0)
        return chv_err_set(err, errno, "%s (device of space %s): %s; if it is elsewhere now, give --source PATH", name,
                           space->name, strerror(errno));
    struct stat st;
    off_t end = -1;
    if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) end = lseek(fd, 0, SEEK_END);
    int r = 0;
    if (end < 0)
        r = chv_err_set(err, ENOTBLK, "%s (device of space %s): neither a file nor a block device", name, space->name);
    else if (((uint64_t)end + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES * CHV_SECTOR_BYTES != space->size_bytes)
        r = chv_err_set(err, ESTALE,
                        "%s has %llu bytes, but space %s was recorded with %llu; give the right device "
                        "with --source PATH",
                        name, (unsigned long long)end, space->name, (unsigned long long)space->size_bytes);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

const char *device_differs(const char *store_dir, const struct chv_space *space, int fd, struct mark *mark, bool *known)
{
    const char *why = NULL;
    off_t end = lseek(fd, 0, SEEK_END);
    /* A recorder that starts, writes or ends between the two looks is not a difference: look again. */
    for (int attempt = 0; attempt < 3; attempt++) {
        struct disk_stamp now;
        bool crashed, same_boot;
        *known = mark_load(store_dir, space->name, mark) > 0;
        if (!*known) return NULL;
        if (end < 0 || disk_stamp_fd(fd, (uint64_t)end, &now) < 0) return "it cannot be looked at";
        why = mark_differs(mark, &now, &crashed, &same_boot);
        if (!why) return NULL;
    }
    return why;
}

int device_pread(int fd, void *buf, size_t bytes, uint64_t offset, uint64_t size_bytes, struct chv_err *err)
{
    uint8_t *p = buf;
    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return chv_err_set(err, EIO, "the recorded device: reading %zu bytes at %llu: %s", bytes,
                               (unsigned long long)offset, strerror(errno));
        if (n == 0) {
            if (offset % CHV_SECTOR_BYTES == 0 || offset + CHV_SECTOR_BYTES <= size_bytes)
                return chv_err_set(err, EIO, "the recorded device ends at byte %llu: it shrank since it was recorded",
                                   (unsigned long long)offset);
            memset(p, 0, bytes);
            return 0;
        }
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int look_at_segment(const char *store_dir, uint64_t segment, struct log_tail *out)
{
    char path[4096 + 64];
    struct stat st;
    snprintf(path, sizeof path, "%.4095s/log/%08llu.seg", store_dir, (unsigned long long)segment);
    if (stat(path, &st) < 0) return -errno;
    *out = (struct log_tail){.segment = segment,
                             .bytes = (uint64_t)st.st_size,
                             .mtime_s = (uint64_t)st.st_mtim.tv_sec,
                             .mtime_ns = (uint64_t)st.st_mtim.tv_nsec};
    return 0;
}

static int highest_segment(const char *store_dir, uint64_t *segment)
{
    char path[4096 + 64];
    snprintf(path, sizeof path, "%.4095s/log", store_dir);
    DIR *dir = opendir(path);
    if (!dir) return -errno;
    *segment = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        unsigned long long n = strtoull(entry->d_name, &end, 10);
        if (end != entry->d_name && strcmp(end, ".seg") == 0 && n > *segment) *segment = n;
    }
    closedir(dir);
    return 0;
}

int log_tail_look(const char *store_dir, const struct log_tail *last, struct log_tail *now)
{
    if (last->segment == 0 || look_at_segment(store_dir, last->segment, now) < 0) {
        uint64_t highest = 0;
        int r = highest_segment(store_dir, &highest);
        if (r == 0 && highest == 0) *now = (struct log_tail){0};
        if (r < 0 || highest == 0) return r;
        r = look_at_segment(store_dir, highest, now);
        if (r < 0) return r;
    }
    while (look_at_segment(store_dir, now->segment + 1, now) == 0) continue;
    return 0;
}

bool log_tail_equal(const struct log_tail *a, const struct log_tail *b)
{
    return a->segment == b->segment && a->bytes == b->bytes && a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns;
}

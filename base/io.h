/* The few file operations the store makes, behind a table so that tests can cut the power,
 * fill the disk or fail a write at any of them. Reading is done directly. */
#ifndef CHV_BASE_IO_H
#define CHV_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct io {
    /* Each returns 0 (or a descriptor, for open) or -errno. pwrite writes everything or fails. */
    int (*open)(const struct io *io, const char *path, int flags, mode_t mode);
    int (*pwrite)(const struct io *io, int fd, const void *buf, size_t bytes, uint64_t offset);
    int (*truncate)(const struct io *io, int fd, uint64_t bytes);
    int (*datasync)(const struct io *io, int fd);
    int (*sync_dir)(const struct io *io, const char *path);
    int (*rename)(const struct io *io, const char *from, const char *to);
    int (*unlink)(const struct io *io, const char *path);
    int (*close)(const struct io *io, int fd);
};

extern const struct io io_real;

/* Read exactly `bytes`; 0, -errno, or -ENODATA when the file ends before. */
int io_pread_full(int fd, void *buf, size_t bytes, uint64_t offset);
/* Replace `path` (in directory `dir`) by these bytes, atomically and durably. */
int io_replace(const struct io *io, const char *dir, const char *name, const void *buf, size_t bytes);
/* Read a whole small file (at most max_bytes) into malloc'd *buf, NUL-terminated. */
int io_read_file(const char *path, size_t max_bytes, char **buf, size_t *bytes);

#endif

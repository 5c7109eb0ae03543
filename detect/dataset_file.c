#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detect/dataset_impl.h"

bool dataset_file_exists(int folder_fd, const char *name)
{
    struct stat st;
    return fstatat(folder_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

int dataset_file_open(const struct dataset *d, const struct dataset_run *run, const char *name, struct dataset_file *out,
                      struct chv_err *err)
{
    char *path;
    struct stat st;
    out->fd = -1;
    if (asprintf(&out->name, "%s/%s", run->path, name) < 0) out->name = NULL;
    if (!out->name || asprintf(&path, "%s/%s", d->dir, out->name) < 0) {
        dataset_file_close(out);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    out->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO in its place does not hold us up */
    int code = out->fd < 0 || fstat(out->fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (code == EINVAL)
        chv_err_set(err, code, "%.300s is not a file", path);
    else if (code)
        chv_err_set(err, code, "cannot read %.300s: %s", path, strerror(code));
    free(path);
    if (code) dataset_file_close(out);
    return -code;
}

void dataset_file_close(struct dataset_file *file)
{
    if (file->fd >= 0) close(file->fd);
    free(file->name);
    *file = (struct dataset_file){.fd = -1};
}

long dataset_file_read(void *source, void *buf, size_t room, struct chv_err *err)
{
    const struct dataset_file *file = source;
    ssize_t n;
    do n = read(file->fd, buf, room);
    while (n < 0 && errno == EINTR);
    if (n < 0) return chv_err_set(err, errno, "%.300s: reading failed: %s", file->name, strerror(errno));
    return (long)n;
}

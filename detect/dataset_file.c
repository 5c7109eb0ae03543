#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detect/dataset_impl.h"

#define MEMBERS_MAX 64 /* a zip file has one table in it, perhaps with its folders before it */
#define ZIP_BLOCK_BYTES 65536

static const char *const suffixes[] = {".csv", ".zip", ".csv.zip"}; /* in order of preference */
#define SUFFIXES (sizeof suffixes / sizeof *suffixes)

bool dataset_file_exists(int folder_fd, const char *name)
{
    char file[64];
    struct stat st;
    for (size_t i = 0; i < SUFFIXES; i++) {
        snprintf(file, sizeof file, "%s%s", name, suffixes[i]);
        if (fstatat(folder_fd, file, &st, 0) == 0 && S_ISREG(st.st_mode)) return true;
    }
    return false;
}

/* What libarchive says of a file may hold what is in the file. */
static int bad_zip(const struct dataset_file *file, const char *what, struct chv_err *err)
{
    const char *text = archive_error_string(file->zip);
    int r = chv_err_set(err, EBADMSG, "%.300s: %s: %.120s", file->name, what, text ? text : "damaged");
    for (char *p = err ? err->text : NULL; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    return r;
}

/* Go to the table in the zip file. */
static int open_zip(struct dataset_file *file, const char *name, struct chv_err *err)
{
    char member[64];
    snprintf(member, sizeof member, "%s.csv", name);
    file->zip = archive_read_new();
    if (!file->zip) return chv_err_set(err, ENOMEM, "out of memory");
    if (archive_read_support_format_zip(file->zip) < ARCHIVE_WARN ||
        archive_read_open_fd(file->zip, file->fd, ZIP_BLOCK_BYTES) != ARCHIVE_OK)
        return bad_zip(file, "not a zip file", err);
    for (int i = 0; i < MEMBERS_MAX; i++) {
        struct archive_entry *entry;
        int r = archive_read_next_header(file->zip, &entry);
        if (r == ARCHIVE_EOF) break;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN) return bad_zip(file, "damaged zip file", err);
        const char *path = archive_entry_pathname(entry);
        const char *slash = path ? strrchr(path, '/') : NULL;
        if (path && strcmp(slash ? slash + 1 : path, member) == 0 && archive_entry_filetype(entry) == AE_IFREG) return 0;
    }
    return chv_err_set(err, EBADMSG, "%.300s: there is no %s in this zip file", file->name, member);
}

/* 0, or -ENOENT without an error's text when there is no such file. */
static int open_file(const struct dataset *d, const struct dataset_run *run, const char *name, const char *suffix,
                     struct dataset_file *out, struct chv_err *err)
{
    char *path;
    struct stat st;
    if (asprintf(&out->name, "%s/%s%s", run->path, name, suffix) < 0) out->name = NULL;
    if (!out->name || asprintf(&path, "%s/%s", d->dir, out->name) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    out->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO in its place does not hold us up */
    int code = out->fd < 0 || fstat(out->fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (code == EINVAL)
        chv_err_set(err, code, "%.300s is not a file", path);
    else if (code && code != ENOENT)
        chv_err_set(err, code, "cannot read %.300s: %s", path, strerror(code));
    free(path);
    if (code == 0 && strcmp(suffix, ".csv") != 0) return open_zip(out, name, err);
    return -code;
}

int dataset_file_open(const struct dataset *d, const struct dataset_run *run, const char *name, struct dataset_file *out,
                      struct chv_err *err)
{
    int r = -ENOENT;
    for (size_t i = 0; i < SUFFIXES && r == -ENOENT; i++) {
        *out = (struct dataset_file){.fd = -1};
        r = open_file(d, run, name, suffixes[i], out, err);
        if (r < 0) dataset_file_close(out);
    }
    if (r == -ENOENT) return chv_err_set(err, ENOENT, "%.300s/%s.csv is gone", run->path, name);
    return r;
}

void dataset_file_close(struct dataset_file *file)
{
    if (file->zip) archive_read_free(file->zip);
    if (file->fd >= 0) close(file->fd);
    free(file->name);
    *file = (struct dataset_file){.fd = -1};
}

long dataset_file_read(void *source, void *buf, size_t room, struct chv_err *err)
{
    const struct dataset_file *file = source;
    ssize_t n;
    if (file->zip) {
        n = archive_read_data(file->zip, buf, room);
        return n < 0 ? bad_zip(file, "damaged zip file", err) : (long)n;
    }
    do n = read(file->fd, buf, room);
    while (n < 0 && errno == EINTR);
    if (n < 0) return chv_err_set(err, errno, "%.300s: reading failed: %s", file->name, strerror(errno));
    return (long)n;
}

#include "cli/recover_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "timeline/files_digest.h"

const char *recover_path_fault(const char *relative)
{
    const char *p = relative;
    for (;;) {
        size_t n = strcspn(p, "/");
        if (n == 0) return "an empty name";
        if (n > 255) return "a name longer than 255 bytes";
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return "'.' or '..' as a name";
        if (!p[n]) return NULL;
        p += n + 1;
    }
}

bool recover_link_is_safe(const char *relative, const char *target)
{
    long depth = 0; /* of the directory the link is in, below the top */
    for (const char *p = relative; *p; p++) depth += *p == '/';
    bool down = false; /* a ".." after a name could climb from wherever that name, itself a link, leads */
    if (target[0] == '/' || !target[0]) return false;
    for (const char *p = target; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            if (down || --depth < 0) return false;
        } else if (!(n == 1 && p[0] == '.')) {
            down = true;
        }
        p += n;
        while (*p == '/') p++;
    }
    return true;
}

int recover_parent(int dir_fd, const char *relative, const char **name)
{
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return -errno;
    for (const char *slash; (slash = strchr(relative, '/')) != NULL; relative = slash + 1) {
        char part[256];
        size_t n = (size_t)(slash - relative);
        if (n >= sizeof part) {
            close(fd);
            return -ENAMETOOLONG;
        }
        memcpy(part, relative, n);
        part[n] = 0;
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno == ENOENT && (mkdirat(fd, part, 0700) == 0 || errno == EEXIST))
            next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int code = errno;
        close(fd);
        if (next < 0) return -code;
        fd = next;
    }
    *name = relative;
    return fd;
}

struct recover_file {
    int fd, dir_fd, error;
    struct files_digest digest;
    char name[256];
};

int recover_file_create(int dir_fd, const char *name, struct recover_file **out)
{
    struct recover_file *f = calloc(1, sizeof *f);
    if (!f || strlen(name) >= sizeof f->name) {
        free(f);
        return f ? -ENAMETOOLONG : -ENOMEM;
    }
    snprintf(f->name, sizeof f->name, "%s", name);
    int digest = files_digest_init(&f->digest);
    f->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    f->fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd < 0 || f->dir_fd < 0 || digest < 0) {
        int code = f->fd < 0 || f->dir_fd < 0 ? errno : -digest;
        if (f->fd >= 0) close(f->fd);
        if (f->dir_fd >= 0) close(f->dir_fd);
        files_digest_fini(&f->digest);
        free(f);
        return -code;
    }
    *out = f;
    return 0;
}

int recover_file_data(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    struct recover_file *f = arg;
    if (f->error == 0) f->error = files_digest_data(&f->digest, offset, data, bytes);
    if (f->error < 0) return 1;
    for (const char *p = data; bytes > 0;) {
        ssize_t n = pwrite(f->fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            f->error = n < 0 ? -errno : -EIO;
            return 1;
        }
        p += n, offset += (uint64_t)n, bytes -= (size_t)n;
    }
    return 0;
}

int recover_file_error(const struct recover_file *file)
{
    return file->error;
}

void recover_apply(int fd, const struct files_entry *e)
{
    if (!(e->flags & FILES_HAS_META)) return;
    struct timespec times[2];
    const int which[2] = {FILES_A, FILES_M};
    for (int i = 0; i < 2; i++)
        times[i] = (struct timespec){e->seconds[which[i]], e->seconds[which[i]] ? e->nanoseconds[which[i]] : UTIME_OMIT};
    fchmod(fd, e->mode & 0777);
    futimens(fd, times); /* a time the target cannot hold is not worth losing the content */
}

int recover_file_finish(struct recover_file *f, uint64_t size_bytes, const struct files_entry *e, uint8_t sha256[32])
{
    int r = f->error;
    if (r == 0) r = files_digest_finish(&f->digest, size_bytes, sha256);
    if (r == 0 && ftruncate(f->fd, (off_t)size_bytes) < 0) r = -errno;
    if (r < 0) {
        f->error = r;
        recover_file_abandon(f);
        return r;
    }
    recover_apply(f->fd, e);
    if (close(f->fd) < 0) r = -errno;
    close(f->dir_fd);
    files_digest_fini(&f->digest);
    free(f);
    return r;
}

void recover_file_abandon(struct recover_file *f)
{
    unlinkat(f->dir_fd, f->name, 0);
    close(f->fd);
    close(f->dir_fd);
    files_digest_fini(&f->digest);
    free(f);
}

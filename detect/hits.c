/* A run's table of hits (corpus/README.md): time_ns, files, bytes, one report a line. Hostile, like all of a data set. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detect/dataset_impl.h"

#define LINE_BYTES 128 /* three numbers of at most 20 digits */

/* A number of digits alone, and what is behind it; NULL: none, or too large. */
static const char *digits(const char *text, uint64_t *out)
{
    const char *at = text;
    for (*out = 0; *at >= '0' && *at <= '9'; at++) {
        if (*out > (UINT64_MAX >> 1) / 10 - 1) return NULL;
        *out = *out * 10 + (uint64_t)(*at - '0');
    }
    return at > text ? at : NULL;
}

/* Why a line is no report; NULL: it is one. */
static const char *parse(const char *line, const struct hit *before, struct hit *out)
{
    const char *at = digits(line, &out->time_ns);
    at = at && *at == '\t' ? digits(at + 1, &out->files) : NULL;
    at = at && *at == '\t' ? digits(at + 1, &out->bytes) : NULL;
    if (!at || strcmp(at, *at == '\n' ? "\n" : "") != 0) return "not time_ns, files and bytes, tabs between them";
    if (before && (out->time_ns < before->time_ns || out->files < before->files || out->bytes < before->bytes))
        return "it goes back behind the line before";
    return NULL;
}

static int add(struct hits *h, size_t *room, const struct hit *one)
{
    if (h->count == *room) {
        size_t more = *room ? 2 * *room : 64;
        struct hit *grown = realloc(h->list, more * sizeof *grown);
        if (!grown) return -ENOMEM;
        h->list = grown;
        *room = more;
    }
    h->list[h->count++] = *one;
    return 0;
}

static int read_hits(FILE *file, const char *path, struct hits *out, struct chv_err *err)
{
    char line[LINE_BYTES];
    size_t room = 0;
    for (unsigned number = 1; fgets(line, sizeof line, file); number++) {
        struct hit one;
        const char *why = NULL;
        if (!strchr(line, '\n') && !feof(file))
            why = "too long, or a NUL in it";
        else if (number == 1)
            why = strcmp(line, "time_ns\tfiles\tbytes\n") == 0 ? NULL : "not the names of the columns time_ns, files and bytes";
        else if (out->count == HITS_MAX)
            why = "too many reports";
        else
            why = parse(line, out->count > 0 ? &out->list[out->count - 1] : NULL, &one);
        if (why) return chv_err_set(err, EBADMSG, "%.300s: line %u: %s", path, number, why);
        if (number > 1 && add(out, &room, &one) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    }
    return ferror(file) ? chv_err_set(err, EIO, "%.300s: reading failed", path) : 0;
}

int dataset_hits(const struct dataset *d, const struct dataset_run *run, struct hits *out, struct chv_err *err)
{
    struct stat st;
    *out = (struct hits){0};
    if (!run->hits) return 0;
    char *path = dataset_path(d->dir, run->hits);
    if (!path) return chv_err_set(err, ENOMEM, "out of memory");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0; /* a FIFO in its place does not hold us up */
    if (fd < 0 || fstat(fd, &st) < 0)
        r = chv_err_set(err, errno, "cannot read %.300s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = chv_err_set(err, EINVAL, "%.300s is not a file", path);
    FILE *file = r == 0 ? fdopen(fd, "r") : NULL;
    if (r == 0 && !file) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) r = read_hits(file, path, out, err);
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    if (r < 0) hits_fini(out);
    free(path);
    return r;
}

void hits_fini(struct hits *h)
{
    free(h->list);
    *h = (struct hits){0};
}

const struct hit *hits_at(const struct hits *h, uint64_t time_ns)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (h->list[mid].time_ns < time_ns)
            low = mid + 1;
        else
            high = mid;
    }
    return h->count == 0 ? NULL : &h->list[low < h->count ? low : h->count - 1];
}

const struct hit *hits_at_bytes(const struct hits *h, uint64_t bytes)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (h->list[mid].bytes < bytes)
            low = mid + 1;
        else
            high = mid;
    }
    return h->count == 0 ? NULL : &h->list[low < h->count ? low : h->count - 1];
}

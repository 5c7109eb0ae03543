/* Where the runs are: every folder below dataset/ that holds a table. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "detect/dataset_impl.h"

#define FOLDERS_MAX (1u << 20) /* also what ends a circle of links */
#define DEPTH_MIN 4            /* PART/CONDITION/CLASS/RUN below dataset/ */
#define DEPTH_MAX 6            /* a condition may take more than one folder */

static int no_memory(struct chv_err *err)
{
    return chv_err_set(err, ENOMEM, "out of memory");
}

/* The programs that the authors of the data sets ran for comparison. */
static bool is_benign_program(const char *name, size_t length)
{
    static const char *const names[] = {"AESCrypt", "Excel", "Firefox", "Idle", "Office", "SDelete", "Zip"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && strncasecmp(names[i], name, length) == 0) return true;
    return false;
}

/* "Zip", "AESCrypt-w10dirs", but "Firefox_Office_REvil": whatever ran, all of it must be known as benign. */
static bool is_ransomware(const char *family)
{
    for (;;) {
        size_t length = strcspn(family, "-_");
        if (!is_benign_program(family, length)) return true;
        family += strcspn(family, "_");
        if (!*family++) return false;
    }
}

/* Names become columns of tables, lines of reports, and classes in a model's header. */
static bool plain_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == ',' || *c == '"') return false;
    json_t *text = json_string(name); /* UTF-8, or none */
    json_decref(text);
    return text != NULL;
}

/* path: "dataset/PART/CONDITION[/…]/CLASS/RUN" */
static int add_run(struct dataset *d, const char *path, bool reads, bool writes, struct chv_err *err)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 64;
        struct dataset_run *grown = realloc(d->runs, room * sizeof *grown);
        if (!grown) return no_memory(err);
        d->runs = grown;
        d->room = room;
    }
    const char *run_name = strrchr(path, '/'), *family = run_name, *condition = strchr(strchr(path, '/') + 1, '/') + 1;
    while (family[-1] != '/') family--;
    struct dataset_run *run = &d->runs[d->count];
    *run = (struct dataset_run){.has_reads = reads, .has_writes = writes};
    run->path = strdup(path);
    run->family = strndup(family, (size_t)(run_name - family));
    run->condition = strndup(condition, (size_t)(family - 1 - condition));
    d->count++; /* whatever was made is freed with the others */
    if (!run->path || !run->family || !run->condition) return no_memory(err);
    for (char *p = run->condition; *p; p++)
        if (*p == '/') *p = '-'; /* one name, also of a file */
    run->ransomware = is_ransomware(run->family);
    return 0;
}

static int walk(struct dataset *d, int parent_fd, const char *name, const char *path, unsigned depth, struct chv_err *err);

static int walk_entries(struct dataset *d, DIR *dir, const char *path, unsigned depth, struct chv_err *err)
{
    const struct dirent *e;
    int r = 0;
    while (r == 0 && (errno = 0, e = readdir(dir)) != NULL) {
        char *below;
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)) continue;
        if (!plain_name(e->d_name)) {
            dataset_complain(d, "%.200s/%.200s: a folder with a comma, a quote or a control character in its name, or not in UTF-8", d->dir, path);
            continue;
        }
        if (asprintf(&below, "%s/%s", path, e->d_name) < 0) return no_memory(err);
        r = walk(d, dirfd(dir), e->d_name, below, depth + 1, err);
        free(below);
    }
    if (r == 0 && errno) return chv_err_set(err, errno, "cannot list %.200s/%.200s: %s", d->dir, path, strerror(errno));
    return r;
}

static int walk(struct dataset *d, int parent_fd, const char *name, const char *path, unsigned depth, struct chv_err *err)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && depth > 0 && (errno == ENOTDIR || errno == ENOENT || errno == ELOOP)) return 0; /* a file; a dead link */
    if (fd < 0 && depth > 0 && errno == EACCES) {
        dataset_complain(d, "cannot open %.200s/%.200s: %s", d->dir, path, strerror(errno));
        return 0;
    }
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = chv_err_set(err, errno, "cannot open %.200s/%.200s: %s", d->dir, path, strerror(errno));
        if (fd >= 0) close(fd);
        return r;
    }
    int r = 0;
    bool reads = dataset_file_exists(fd, "ata_read"), writes = dataset_file_exists(fd, "ata_write");
    if (++d->folders > FOLDERS_MAX)
        r = chv_err_set(err, EBADMSG, "%.200s holds more than %u folders: give the data set's own folder", d->dir, FOLDERS_MAX);
    else if (depth >= DEPTH_MIN && (reads || writes))
        r = add_run(d, path, reads, writes, err);
    else if (depth < DEPTH_MAX)
        r = walk_entries(d, dir, path, depth, err);
    closedir(dir);
    return r;
}

static int compare_runs(const void *a, const void *b)
{
    const struct dataset_run *x = a, *y = b;
    return strcmp(x->path, y->path);
}

int dataset_open(const char *dir, struct dataset **out, struct chv_err *err)
{
    struct dataset *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) return no_memory(err);
    int r = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!(d->dir = strdup(dir)))
        r = no_memory(err);
    else if (fd < 0)
        r = chv_err_set(err, errno, "cannot open %.200s: %s", dir, strerror(errno));
    else
        r = walk(d, fd, "dataset", "dataset", 0, err);
    if (fd >= 0) close(fd);
    if (r == 0 && d->count == 0 && d->complaints > 0)
        r = chv_err_set(err, EBADMSG, "%s", d->complaint[0] ? d->complaint[0] : "out of memory");
    if (r == 0 && d->count == 0)
        r = chv_err_set(err, ENOENT,
                        "%.200s: no runs; they are folders dataset/PART/CONDITION/CLASS/RUN with ata_read.csv or ata_write.csv",
                        dir);
    if (r < 0) {
        dataset_close(d);
        return r;
    }
    qsort(d->runs, d->count, sizeof *d->runs, compare_runs);
    *out = d;
    return 0;
}

void dataset_run_fini(struct dataset_run *run)
{
    free(run->path);
    free(run->condition);
    free(run->family);
    free(run->store);
    free(run->hits);
}

char *dataset_path(const char *dir, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

void dataset_close(struct dataset *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->count; i++) dataset_run_fini(&d->runs[i]);
    for (size_t i = 0; i < DATASET_COMPLAINTS_KEPT; i++) free(d->complaint[i]);
    free(d->runs);
    free(d->dir);
    free(d);
}

size_t dataset_count(const struct dataset *d)
{
    return d->count;
}

const struct dataset_run *dataset_run(const struct dataset *d, size_t index)
{
    return index < d->count ? &d->runs[index] : NULL;
}

void dataset_complain(struct dataset *d, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (d->complaints < DATASET_COMPLAINTS_KEPT) d->complaint[d->complaints] = strdup(text);
    d->complaints++;
}

size_t dataset_complaints(const struct dataset *d)
{
    return d->complaints;
}

const char *dataset_complaint(const struct dataset *d, size_t index)
{
    return index < DATASET_COMPLAINTS_KEPT ? d->complaint[index] : NULL;
}

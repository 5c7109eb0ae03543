#include "sensor/memory/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sensor/memory/monitor.h"

#define HOW_TO "start QEMU with -object memory-backend-memfd,id=m,size=SIZE,share=on -machine memory-backend=m"
#define FDS_MAX 65536u

static int get_property(struct qmp *qmp, const char *id, const char *property, json_t **out, struct chv_err *err)
{
    char path[LAYOUT_NAME_BYTES + 16];
    snprintf(path, sizeof path, "/objects/%s", id);
    return qmp_execute(qmp, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", property), out, err);
}

/* query-memdev: the backends' names and sizes. */
static int list_backends(struct guest *guest, struct qmp *qmp, struct chv_err *err)
{
    json_t *list = NULL;
    int r = qmp_execute(qmp, "query-memdev", NULL, &list, err);
    if (r < 0) return r;
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        json_t *entry = json_array_get(list, i), *size = json_object_get(entry, "size");
        const char *id = json_string_value(json_object_get(entry, "id"));
        if (!id) continue; /* not of -object: QEMU's own, private */
        if (strlen(id) >= LAYOUT_NAME_BYTES || strchr(id, '/') || !json_is_integer(size) || json_integer_value(size) <= 0)
            r = chv_err_set(err, EPROTO, "%s: query-memdev describes a backend that cannot be", qmp_path(qmp));
        else if (guest->backends == GUEST_BACKENDS_MAX)
            r = chv_err_set(err, E2BIG, "%s: the guest has more than %u memory backends", qmp_path(qmp), GUEST_BACKENDS_MAX);
        else {
            struct guest_backend *b = &guest->backend[guest->backends++];
            *b = (struct guest_backend){.bytes = (uint64_t)json_integer_value(size), .fd = -1};
            strcpy(b->id, id);
        }
    }
    json_decref(list);
    return r;
}

static struct guest_backend *backend_of(struct guest *guest, const char *region)
{
    for (size_t i = 0; i < guest->backends; i++)
        if (strcmp(guest->backend[i].id, region) == 0) return &guest->backend[i];
    return NULL;
}

/* Which ranges a backend holds, and which belong to firmware and devices. */
static int find_ranges(struct guest *guest, struct qmp *qmp, struct chv_err *err)
{
    char *text = NULL;
    struct ram_layout *all = calloc(1, sizeof *all);
    if (!all) return chv_err_set(err, ENOMEM, "out of memory");
    int r = qmp_human(qmp, "info mtree -f", &text, err);
    if (r == 0) r = monitor_mtree(text, all, err);
    for (size_t i = 0; r == 0 && i < all->count; i++) {
        const struct ram_range *range = &all->ranges[i];
        struct guest_backend *b = backend_of(guest, range->region);
        struct ram_layout *to = b ? &guest->ram : &guest->others;
        to->ranges[to->count++] = *range;
        if (!b) continue;
        b->used = true;
        if (range->offset > b->bytes || range->bytes > b->bytes - range->offset)
            r = chv_err_set(err, EPROTO, "%s: memory at 0x%llx lies behind the end of its backend '%s'", qmp_path(qmp),
                            (unsigned long long)range->gpa, b->id);
    }
    if (r == 0 && guest->ram.count == 0)
        r = chv_err_set(err, ENOTSUP, "%s: the guest's RAM has no backend that can be opened; " HOW_TO, qmp_path(qmp));
    free(text);
    free(all);
    return r;
}

/* Of QEMU's open files, the one memfd of a backend that has this size. Several descriptors of one file are fine. */
static int open_memfd(const struct guest *guest, struct guest_backend *b, struct chv_err *err)
{
    char folder[64], path[PATH_MAX], target[PATH_MAX];
    struct stat st, found = {.st_ino = 0};
    unsigned files = 0, seen = 0;
    snprintf(folder, sizeof folder, "/proc/%ld/fd", (long)guest->pid);
    DIR *dir = opendir(folder);
    if (!dir)
        return chv_err_set(err, errno, "%s: %s; run as the user of QEMU, or name its process with --pid", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(dir)) && seen < FDS_MAX; seen++) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0) continue;
        target[n] = 0;
        if (strncmp(target, "/memfd:memory-backend-memfd", 27) != 0) continue;
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != b->bytes) continue;
        if (files > 0 && st.st_ino == found.st_ino && st.st_dev == found.st_dev) continue;
        if (files++ == 0) {
            found = st;
            b->fd = open(path, O_RDONLY | O_CLOEXEC);
            if (b->fd < 0) break;
        }
    }
    int code = errno;
    closedir(dir);
    if (files == 1 && b->fd >= 0) return 0;
    if (files == 1) return chv_err_set(err, code, "%s: %s", path, strerror(code));
    if (files == 0)
        return chv_err_set(err, ENOENT, "process %ld has no memfd of %llu bytes open; is it QEMU? name it with --pid",
                           (long)guest->pid, (unsigned long long)b->bytes);
    return chv_err_set(err, ENOTUNIQ, "process %ld has %u memory backends of %llu bytes, and nothing tells which is '%s'; give them "
                       "different sizes, or use memory-backend-file", (long)guest->pid, files, (unsigned long long)b->bytes, b->id);
}

/* A QEMU that was taken over may name any path: only what it has open itself is taken for its memory. */
static bool has_open(pid_t pid, const struct stat *wanted)
{
    char folder[64], path[PATH_MAX];
    struct stat st;
    bool found = false;
    snprintf(folder, sizeof folder, "/proc/%ld/fd", (long)pid);
    DIR *dir = opendir(folder);
    unsigned seen = 0;
    for (struct dirent *e; dir && !found && (e = readdir(dir)) && seen < FDS_MAX; seen++) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        found = stat(path, &st) == 0 && st.st_dev == wanted->st_dev && st.st_ino == wanted->st_ino;
    }
    if (dir) closedir(dir);
    return found;
}

/* A backend with a path. It is opened as this process sees it, so a QEMU in another mount namespace needs the same path. */
static int open_path(const struct guest *guest, struct guest_backend *b, struct qmp *qmp, struct chv_err *err)
{
    json_t *value = NULL;
    struct chv_err ignored;
    struct stat st;
    int r = get_property(qmp, b->id, "mem-path", &value, err);
    if (r < 0) return r;
    const char *path = json_string_value(value);
    b->fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
    if (!path)
        r = chv_err_set(err, EPROTO, "%s: backend '%s' has no path", qmp_path(qmp), b->id);
    else if (b->fd < 0 || fstat(b->fd, &st) < 0)
        r = chv_err_set(err, errno, "%.200s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        r = chv_err_set(err, ENOTSUP, "%.200s: is not a file (QEMU made a nameless one in it); " HOW_TO, path);
    else if (!has_open(guest->pid, &st))
        r = chv_err_set(err, EPERM, "%.200s: is named as the guest's memory, but process %ld does not have it open", path,
                        (long)guest->pid);
    json_decref(value);
    value = NULL;
    if (r == 0 && get_property(qmp, b->id, "offset", &value, &ignored) == 0 && json_is_integer(value) &&
        json_integer_value(value) > 0) /* QEMU 8.2 and later */
        b->file_offset = (uint64_t)json_integer_value(value);
    json_decref(value);
    return r;
}

static int open_backend(const struct guest *guest, struct guest_backend *b, struct qmp *qmp, struct chv_err *err)
{
    json_t *type = NULL, *share = NULL;
    int r = get_property(qmp, b->id, "type", &type, err);
    if (r == 0) r = get_property(qmp, b->id, "share", &share, err);
    const char *name = json_string_value(type);
    if (r == 0 && !json_is_true(share))
        r = chv_err_set(err, ENOTSUP, "backend '%s' has share=off, so the guest's memory is not in its file; " HOW_TO, b->id);
    else if (r == 0 && name && strcmp(name, "memory-backend-memfd") == 0)
        r = open_memfd(guest, b, err);
    else if (r == 0 && name && strcmp(name, "memory-backend-file") == 0)
        r = open_path(guest, b, qmp, err);
    else if (r == 0)
        r = chv_err_set(err, ENOTSUP, "backend '%s' is a %.40s, which cannot be opened; " HOW_TO, b->id, name ? name : "(?)");
    json_decref(type);
    json_decref(share);
    struct stat st;
    if (r == 0 && (fstat(b->fd, &st) < 0 ||
                   (S_ISREG(st.st_mode) && ((uint64_t)st.st_size < b->bytes || (uint64_t)st.st_size - b->bytes < b->file_offset))))
        r = chv_err_set(err, EPROTO, "backend '%s': its file is shorter than the backend", b->id);
    return r;
}

int guest_registers(struct guest *guest, struct qmp *qmp, struct chv_err *err)
{
    char *text = NULL;
    int r = qmp_human(qmp, "info registers -a", &text, err);
    if (r == 0) r = monitor_registers(text, guest->vcpu, LAYOUT_VCPUS_MAX, err);
    free(text);
    if (r < 0) return r;
    guest->vcpus = (size_t)r;
    return 0;
}

int guest_find(struct qmp *qmp, pid_t pid, struct guest **out, struct chv_err *err)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (!guest) return chv_err_set(err, ENOMEM, "out of memory");
    guest->pid = pid ? pid : qmp_peer(qmp);
    int r = list_backends(guest, qmp, err);
    if (r == 0) r = find_ranges(guest, qmp, err);
    for (size_t i = 0; r == 0 && i < guest->backends; i++)
        if (guest->backend[i].used) r = open_backend(guest, &guest->backend[i], qmp, err);
    if (r == 0) r = guest_registers(guest, qmp, err);
    if (r < 0) {
        guest_free(guest);
        return r;
    }
    *out = guest;
    return 0;
}

void guest_free(struct guest *guest)
{
    if (!guest) return;
    for (size_t i = 0; i < guest->backends; i++)
        if (guest->backend[i].fd >= 0) close(guest->backend[i].fd);
    free(guest);
}

int guest_file(const struct guest *guest, const struct ram_range *range, uint64_t *offset)
{
    for (size_t i = 0; i < guest->backends; i++) {
        const struct guest_backend *b = &guest->backend[i];
        if (strcmp(b->id, range->region) != 0) continue;
        *offset = b->file_offset + range->offset;
        return b->fd;
    }
    return -1;
}

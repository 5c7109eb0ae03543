#include "guest/helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *procfs_read(pid_t pid, const char *name, size_t most, size_t *bytes)
{
    char path[64];
    size_t room = 65536;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    char *data = malloc(room + 1);
    int code = data ? 0 : ENOMEM;
    for (*bytes = 0; code == 0;) {
        ssize_t n = read(fd, data + *bytes, room - *bytes);
        if (n == 0) break;
        if (n < 0) {
            code = errno == EINTR ? 0 : errno;
            continue;
        }
        *bytes += (size_t)n;
        if (*bytes < room) continue;
        char *grown = room < most ? realloc(data, room * 2 + 1) : NULL;
        if (!grown) code = ENOMEM;
        if (grown) data = grown;
        room *= 2;
    }
    close(fd);
    if (code == 0) {
        data[*bytes] = 0;
        return data;
    }
    free(data);
    errno = code;
    return NULL;
}

/* "START-END rwxp OFFSET MAJOR:MINOR INODE   PATH" (proc(5)) */
bool mapping_parse(char *line, struct mapping *out)
{
    static const char deleted[] = " (deleted)";
    char *p = line;
    *out = (struct mapping){.start = strtoull(p, &p, 16)};
    if (*p != '-') return false;
    out->end = strtoull(p + 1, &p, 16);
    if (*p != ' ' || strlen(p) < 6 || p[5] != ' ' || out->start >= out->end || (out->start | out->end) % CHV_HELPER_PAGE_BYTES)
        return false;
    out->flags = (p[1] == 'r' ? CHV_HELPER_READ : 0u) | (p[2] == 'w' ? CHV_HELPER_WRITE : 0u) | (p[3] == 'x' ? CHV_HELPER_EXEC : 0u) |
                 (p[4] == 's' ? CHV_HELPER_SHARED : 0u);
    out->offset = strtoull(p + 6, &p, 16);
    for (int skip = 0; skip < 2; skip++) { /* device, inode */
        if (*p != ' ') return false;
        p++;
        p += strcspn(p, " ");
    }
    out->path = p + strspn(p, " ");
    out->path_bytes = strlen(out->path);
    if (out->path_bytes > CHV_HELPER_PATH_MAX) out->path_bytes = CHV_HELPER_PATH_MAX;
    size_t n = sizeof deleted - 1;
    if (out->path_bytes > n && memcmp(out->path + out->path_bytes - n, deleted, n) == 0) {
        out->path_bytes -= n;
        out->flags |= CHV_HELPER_DELETED;
    }
    return true;
}

/* "PID (COMM) STATE PPID …": the name may hold anything, so it ends at the last parenthesis. */
bool procfs_stat(const char *path, struct chv_helper_process *out, char *state)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    unsigned ppid, flags;
    if (!begin || !end || end < begin || sscanf(end + 1, " %c %u %*d %*d %*d %*d %u", state, &ppid, &flags) != 3) return false;
    *out = (struct chv_helper_process){.pid = (uint32_t)strtoul(text, NULL, 10), .ppid = ppid,
                                       .flags = flags & 0x00200000u /* PF_KTHREAD */ ? CHV_HELPER_KERNEL_THREAD : 0};
    size_t length = (size_t)(end - begin - 1);
    memcpy(out->name, begin + 1, length < sizeof out->name - 1 ? length : sizeof out->name - 1);
    return true;
}

static uint32_t uid_of(pid_t pid)
{
    size_t bytes;
    char *status = procfs_read(pid, "status", 65536 * 2, &bytes);
    char *line = status ? strstr(status, "\nUid:") : NULL;
    uint32_t uid = line ? (uint32_t)strtoul(line + 5, NULL, 10) : UINT32_MAX;
    free(status);
    return uid;
}

int procfs_list(struct answer *a)
{
    DIR *dir = opendir("/proc");
    if (!dir) return errno;
    for (struct dirent *e; (e = readdir(dir)) && a->error == 0;) {
        struct chv_helper_process process;
        char path[64], state;
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strlen(e->d_name) > 10) continue;
        snprintf(path, sizeof path, "/proc/%.10s/stat", e->d_name);
        if (!procfs_stat(path, &process, &state)) continue; /* it has just ended */
        process.uid = uid_of((pid_t)process.pid);
        answer_add(a, CHV_HELPER_PROCESSES, &process, sizeof process, NULL, 0);
    }
    closedir(dir);
    return 0;
}

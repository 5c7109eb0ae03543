#include "store/marks.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

#define FILE_NAME "disks.json"
#define FILE_BYTES_MAX (4u << 20)
/* After a crash: a disk changed this much later than the last mark was changed by somebody else. Marks follow
 * changes within seconds. */
#define CRASH_SLACK_NS (60 * UINT64_C(1000000000))

static uint64_t to_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int disk_stamp_fd(int fd, uint64_t device_bytes, struct disk_stamp *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    if (S_ISBLK(st.st_mode)) /* a node's times say nothing of its content, and its inode changes with every boot */
        *out = (struct disk_stamp){.size_bytes = device_bytes, .device = st.st_rdev};
    else
        *out = (struct disk_stamp){.size_bytes = (uint64_t)st.st_size,
                                   .mtime_ns = to_ns(st.st_mtim),
                                   .ctime_ns = to_ns(st.st_ctim),
                                   .inode = st.st_ino};
    return 0;
}

void mark_boot(char boot[MARK_BOOT_BYTES])
{
    memset(boot, 0, MARK_BOOT_BYTES);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f) return;
    if (!fgets(boot, MARK_BOOT_BYTES, f)) boot[0] = 0;
    boot[strcspn(boot, "\n")] = 0;
    fclose(f);
}

static json_t *load(const char *store_dir)
{
    char path[4096], *text;
    size_t bytes;
    if ((size_t)snprintf(path, sizeof path, "%s/" FILE_NAME, store_dir) >= sizeof path) return NULL;
    if (io_read_file(path, FILE_BYTES_MAX, &text, &bytes) < 0) return NULL;
    json_t *all = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (json_is_object(all)) return all;
    json_decref(all);
    return NULL;
}

int mark_load(const char *store_dir, const char *space, struct mark *out)
{
    json_t *all = load(store_dir);
    const char *boot;
    int clean, r;
    json_int_t seq, time, size, mtime, ctime, device, inode;
    memset(out, 0, sizeof *out);
    r = json_unpack(json_object_get(all, space), "{s:b, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "clean", &clean, "seq",
                    &seq, "time_ns", &time, "boot", &boot, "size_bytes", &size, "mtime_ns", &mtime, "ctime_ns", &ctime,
                    "device", &device, "inode", &inode);
    if (r == 0) {
        snprintf(out->space, sizeof out->space, "%s", space);
        snprintf(out->boot, sizeof out->boot, "%s", boot);
        out->clean = clean;
        out->seq = (uint64_t)seq;
        out->time_ns = (uint64_t)time;
        out->stamp = (struct disk_stamp){(uint64_t)size, (uint64_t)mtime, (uint64_t)ctime, (uint64_t)device,
                                         (uint64_t)inode};
    }
    json_decref(all);
    return r == 0;
}

int mark_save(const char *store_dir, const struct mark *const *marks, size_t count, struct chv_err *err)
{
    json_t *all = load(store_dir);
    if (!all) all = json_object();
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct mark *m = marks[i];
        r = json_object_set_new(
            all, m->space,
            json_pack("{s:b, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "clean", m->clean, "seq", (json_int_t)m->seq,
                      "time_ns", (json_int_t)m->time_ns, "boot", m->boot, "size_bytes",
                      (json_int_t)m->stamp.size_bytes, "mtime_ns", (json_int_t)m->stamp.mtime_ns, "ctime_ns",
                      (json_int_t)m->stamp.ctime_ns, "device", (json_int_t)m->stamp.device, "inode",
                      (json_int_t)m->stamp.inode));
    }
    char *text = r == 0 ? json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    if (!text) return chv_err_set(err, ENOMEM, "%s/" FILE_NAME ": out of memory", store_dir);
    r = io_replace(&io_real, store_dir, FILE_NAME, text, strlen(text));
    free(text);
    return r < 0 ? chv_err_set(err, -r, "%s/" FILE_NAME ": %s", store_dir, strerror(-r)) : 0;
}

const char *mark_differs(const struct mark *m, const struct disk_stamp *now, bool *crashed, bool *same_boot)
{
    char boot[MARK_BOOT_BYTES];
    mark_boot(boot);
    *crashed = !m->clean;
    *same_boot = boot[0] && strcmp(boot, m->boot) == 0;
    if (m->stamp.size_bytes != now->size_bytes) return "its size is another";
    if (m->stamp.device != now->device || m->stamp.inode != now->inode) return "it is another file";
    if (m->clean && (m->stamp.mtime_ns != now->mtime_ns || m->stamp.ctime_ns != now->ctime_ns))
        return "it was changed since recording ended";
    if (!m->clean && now->mtime_ns > m->time_ns + CRASH_SLACK_NS) return "it was changed since the recorder died";
    return NULL;
}

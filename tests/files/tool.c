/* The files layer over a plain image, for the tests: no store, no view.
 *
 *   files-tool IMAGE [--partition N] volumes
 *   files-tool IMAGE [--partition N] ls PATH FLAGS     FLAGS: r recursive, d deleted, n $FILE_NAMEs
 *   files-tool IMAGE [--partition N] cat PATH
 *   files-tool IMAGE [--partition N] stat PATH
 *   files-tool IMAGE [--partition N] owners LBA:SECTORS…
 *   files-tool IMAGE [--partition N] info
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "timeline/files.h"

static int file_pread(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    ssize_t n = pread(*(int *)arg, buf, bytes, (off_t)offset);
    if (n == (ssize_t)bytes) return 0;
    return chv_err_set(err, EIO, "short read at %" PRIu64, offset);
}

static int show(void *arg, const struct files_entry *e)
{
    printf("%c/%c%s%s %" PRIu64, e->name_type, e->type, e->flags & FILES_NAME_DELETED ? " *" : "",
           e->flags & FILES_META_DELETED ? " -" : "", e->inode);
    if (e->flags & FILES_HAS_ATTR) printf("-%u-%u", e->attr_type, e->attr_id);
    printf(" %04o %u %u %" PRIu64 " %" PRId64 " %s", e->mode, e->uid, e->gid, e->size_bytes, e->seconds[FILES_M], e->path);
    if (e->link) printf(" -> %s", e->link);
    if (arg)
        for (size_t i = 0; i < e->run_count; i++)
            printf(" %" PRIu64 "@%" PRIu64 "+%" PRIu64 "%s", e->runs[i].offset_bytes, e->runs[i].lba, e->runs[i].bytes,
                   e->runs[i].sparse ? "s" : "");
    putchar('\n');
    return 0;
}

static void show_volume(void *arg, const struct files_volume *v)
{
    (void)arg;
    printf("%u %" PRIu64 " %" PRIu64 " %s\n", v->partition, v->offset_bytes, v->size_bytes, v->type);
}

static int put(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    uint64_t *at = arg;
    for (; *at < offset; ++*at) putchar(0);
    *at += bytes;
    return fwrite(data, 1, bytes, stdout) == bytes ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct chv_err err = {0};
    struct files_options options = {.stall_seconds = 20};
    if (argc > 4 && strcmp(argv[2], "--partition") == 0) {
        options.partition = (uint32_t)strtoul(argv[3], NULL, 10);
        argv[3] = argv[1];
        argv += 2, argc -= 2;
    }
    if (argc < 3) return 2;
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) return 2;
    struct files_image image = {.pread = file_pread, .arg = &fd, .size_bytes = (uint64_t)st.st_size};
    const char *verb = argv[2], *path = argc > 3 ? argv[3] : "/";
    struct files_fs *fs = NULL;
    int r;
    if (strcmp(verb, "volumes") == 0) {
        r = files_volumes(&image, show_volume, NULL, &err);
        goto out;
    }
    r = files_open(&image, &options, &fs, &err);
    if (r < 0) goto out;
    if (strcmp(verb, "ls") == 0) {
        const char *f = argc > 4 ? argv[4] : "";
        unsigned flags = (strchr(f, 'r') ? FILES_LIST_RECURSE : 0u) | (strchr(f, 'd') ? FILES_LIST_DELETED : 0u) |
                         (strchr(f, 'n') ? FILES_LIST_FILE_NAMES : 0u) | (strchr(f, 'e') ? FILES_LIST_RUNS : 0u);
        r = files_list(fs, path, flags, 1000000, show, strchr(f, 'e') ? &fd : NULL, &err);
    } else if (strcmp(verb, "cat") == 0) {
        uint64_t at = 0, size = 0;
        r = files_read(fs, path, true, put, &at, &size, &err);
        for (; r == 0 && at < size; at++) putchar(0);
    } else if (strcmp(verb, "stat") == 0) {
        r = files_stat(fs, path, show, &fd, &err);
    } else if (strcmp(verb, "owners") == 0) {
        struct lba_range ranges[64];
        size_t n = 0;
        for (int i = 3; i < argc && n < 64; i++, n++) {
            char *end;
            ranges[n].lba = strtoull(argv[i], &end, 10);
            if (*end != ':') return 2;
            ranges[n].sectors = strtoull(end + 1, NULL, 10);
        }
        r = files_owners(fs, ranges, n, show, &fd, &err);
    } else if (strcmp(verb, "info") == 0) {
        const struct files_info *i = files_fs_info(fs);
        printf("%s partition %u at %" PRIu64 ", %" PRIu64 " bytes, replayed %u\n", i->type, i->partition, i->offset_bytes,
               i->size_bytes, i->replayed);
    } else {
        r = -EINVAL;
    }
out:
    files_close(fs);
    close(fd);
    if (r < 0) fprintf(stderr, "%s\n", err.text);
    return r < 0 ? 2 : 0;
}

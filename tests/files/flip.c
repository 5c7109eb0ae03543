/* Damage: flips bytes of an image at random, mostly in its metadata, and asks everything of what is left. Whatever
 * the parser does, the calls come back, with 0 or one line of error.
 *
 *   files-flip IMAGE ROUNDS [SEED]      IMAGE is only read */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit.h"
#include "timeline/files.h"

struct disk {
    unsigned char *bytes;
    size_t size;
};

static int disk_pread(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    (void)err;
    const struct disk *d = arg;
    CHECK(offset <= d->size && bytes <= d->size - offset);
    memcpy(buf, d->bytes + offset, bytes);
    return 0;
}

struct seen {
    char paths[64][512];
    size_t count;
    uint64_t entries;
};

static int see(void *arg, const struct files_entry *e)
{
    struct seen *s = arg;
    s->entries++;
    CHECK(strlen(e->path) < FILES_MAX_PATH);
    CHECK(e->run_count <= FILES_MAX_RUNS);
    if (e->type == 'r' && s->count < 64 && strlen(e->path) < 512) snprintf(s->paths[s->count++], 512, "%s", e->path);
    return 0;
}

static int take(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    (void)offset, (void)data;
    uint64_t *sum = arg;
    *sum += bytes;
    return *sum > (64u << 20) ? 1 : 0; /* enough of a file that claims to be huge */
}

static void fine(int r, const struct chv_err *err, unsigned *broken)
{
    CHECK(r >= 0 || err->code == -r);
    if (r >= 0) return;
    CHECK(err->text[0] && !strchr(err->text, '\n'));
    *broken += strstr(err->text, "crashed") != NULL || strstr(err->text, "gave up") != NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    uint64_t state = unit_seed(argc - 2, argv + 2);
    struct stat st;
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    struct disk good = {.size = (size_t)st.st_size, .bytes = malloc((size_t)st.st_size)}, bad = good;
    bad.bytes = malloc(bad.size);
    CHECK(good.bytes && bad.bytes && read(fd, good.bytes, good.size) == (ssize_t)good.size);
    close(fd);
    /* where there is something to damage */
    size_t *used = malloc(good.size / 512 * sizeof *used), used_count = 0;
    for (size_t s = 0; s < good.size / 512; s++)
        for (size_t i = 0; i < 512; i++)
            if (good.bytes[s * 512 + i]) {
                used[used_count++] = s;
                break;
            }
    CHECK(used_count > 0);
    struct files_image image = {.pread = disk_pread, .arg = &bad, .size_bytes = bad.size};
    struct files_options options = {.stall_seconds = 3};
    unsigned broken = 0, opened = 0;
    uint64_t entries = 0;
    for (unsigned long round = 0, rounds = strtoul(argv[2], NULL, 10); round < rounds; round++) {
        struct chv_err err = {0};
        struct files_fs *fs = NULL;
        struct seen *seen = calloc(1, sizeof *seen);
        memcpy(bad.bytes, good.bytes, bad.size);
        size_t flips = 1 + unit_random(&state) % 64;
        for (size_t i = 0; i < flips; i++) {
            /* the first of the used sectors hold the superblock, tables and directories */
            size_t among = unit_random(&state) % 4 ? (used_count < 64 ? used_count : 64) : used_count;
            size_t at = used[unit_random(&state) % among] * 512 + unit_random(&state) % 512;
            bad.bytes[at] = unit_random(&state) % 3 ? (unsigned char)unit_random(&state) : 0xff;
        }
        int r = files_open(&image, &options, &fs, &err);
        fine(r, &err, &broken);
        if (r == 0) {
            opened++;
            unsigned flags = FILES_LIST_RECURSE | FILES_LIST_DELETED | FILES_LIST_RUNS | FILES_LIST_FILE_NAMES;
            fine(files_list(fs, "/", flags, 20000, see, seen, &err), &err, &broken);
            for (size_t i = 0; i < seen->count && i < 8; i++) {
                uint64_t sum = 0, size;
                fine(files_read(fs, seen->paths[i], true, take, &sum, &size, &err), &err, &broken);
                fine(files_stat(fs, seen->paths[i], see, seen, &err), &err, &broken);
            }
            struct lba_range ranges[2] = {{unit_random(&state) % (bad.size / 512), 64}, {0, 128}};
            fine(files_owners(fs, ranges, 2, see, seen, &err), &err, &broken);
        }
        entries += seen->entries;
        files_close(fs);
        free(seen);
    }
    printf("%s: %u of %s opened, %llu entries, the parser broke %u times\n", argv[1], opened, argv[2], (unsigned long long)entries,
           broken);
    CHECK(opened > 0);
    free(used), free(good.bytes), free(bad.bytes);
    return 0;
}

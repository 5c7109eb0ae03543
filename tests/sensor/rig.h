/* What the sensor's tests share: a disk image, its recording, and the one question: is the view the disk? */
#ifndef CHV_TESTS_SENSOR_RIG_H
#define CHV_TESTS_SENSOR_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "chronovisor/timeline.h"
#include "sensor/capture/session.h"
#include "tests/unit.h"

struct rig {
    char dir[256], disk[300], store[300];
};

__attribute__((unused)) static void rig_init(struct rig *rig)
{
    unit_temp_dir(rig->dir);
    snprintf(rig->disk, sizeof rig->disk, "%s/disk.img", rig->dir);
    snprintf(rig->store, sizeof rig->store, "%s/store", rig->dir);
}

__attribute__((unused)) static void rig_fini(struct rig *rig)
{
    unit_remove_tree(rig->dir);
}

/* A disk of this size; `fill` bytes at its beginning are random, the rest is a hole. */
__attribute__((unused)) static void rig_disk(struct rig *rig, uint64_t bytes, uint64_t fill, uint64_t *seed)
{
    int fd = open(rig->disk, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    uint64_t words[512];
    for (uint64_t at = 0; at < fill; at += sizeof words) {
        for (int i = 0; i < 512; i++) words[i] = unit_random(seed);
        size_t n = fill - at < sizeof words ? (size_t)(fill - at) : sizeof words;
        CHECK(pwrite(fd, words, n, (off_t)at) == (ssize_t)n);
    }
    CHECK(ftruncate(fd, (off_t)bytes) == 0);
    close(fd);
}

__attribute__((unused)) static struct session_options rig_options(const struct rig *rig)
{
    struct session_options o = {.store_dir = rig->store, .disks = 1, .record_reads = true, .queue_blocks = 4096};
    o.disk[0].path = rig->disk;
    strcpy(o.disk[0].space, "disk:vda");
    return o;
}

/* Read `space` as of `seq` (0: head); unknown blocks are an error, or zeros when `zero_unknown`. */
__attribute__((unused)) static uint8_t *rig_view(const struct rig *rig, const char *name, uint64_t seq,
                                                 bool zero_unknown, uint64_t *bytes)
{
    struct chv_err err;
    struct chv_store *store;
    const struct chv_space *space;
    struct chv_store_info info;
    struct chv_view *view;
    struct chv_view_options options = {.zero_unknown = zero_unknown};
    CHECK_OK(chv_store_open(rig->store, &store, &err), err);
    CHECK_OK(chv_store_find_space(store, name, &space, &err), err);
    chv_store_info(store, &info);
    CHECK_OK(chv_view_open(store, space, seq ? seq : info.last_seq, &options, &view, &err), err);
    *bytes = chv_view_size_bytes(view);
    uint8_t *p = malloc(*bytes);
    CHECK(p);
    CHECK_OK(chv_view_pread(view, p, *bytes, 0, &err), err);
    chv_view_close(view);
    chv_store_close(store);
    return p;
}

/* The view of the newest instant, every byte of it, is the disk. */
__attribute__((unused)) static void rig_same(const struct rig *rig, const char *name, const char *disk)
{
    uint64_t bytes;
    struct stat st;
    uint8_t *view = rig_view(rig, name, 0, false, &bytes);
    int fd = open(disk, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    CHECK(bytes == ((uint64_t)st.st_size + 511) / 512 * 512);
    uint8_t *now = calloc(1, bytes);
    CHECK(now && pread(fd, now, (size_t)st.st_size, 0) == st.st_size);
    for (uint64_t i = 0; i < bytes; i++)
        if (view[i] != now[i]) {
            fprintf(stderr, "the view differs from the disk at byte %llu (block %llu)\n", (unsigned long long)i,
                    (unsigned long long)(i / 4096));
            exit(1);
        }
    close(fd);
    free(view);
    free(now);
}

#endif

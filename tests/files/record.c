/* Records an image into a store as a guest would have written it, for the tests:
 *
 *   files-record STORE SPACE SECONDS IMAGE [BEFORE]
 *
 * At SECONDS (Unix) every block of IMAGE that differs from BEFORE (or from zeros) is written, then flushed. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronovisor/recorder.h"

#define BLOCK 4096u

static const unsigned char *map_file(const char *path, size_t *bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) return NULL;
    *bytes = (size_t)st.st_size;
    void *p = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

int main(int argc, char **argv)
{
    struct chv_err err = {0};
    size_t bytes = 0, before_bytes = 0;
    if (argc < 5) return 2;
    const unsigned char *image = map_file(argv[4], &bytes), *before = argc > 5 ? map_file(argv[5], &before_bytes) : NULL;
    if (!image || bytes % BLOCK || (argc > 5 && (!before || before_bytes != bytes))) {
        fprintf(stderr, "%s: not an image of whole blocks\n", argv[4]);
        return 2;
    }
    struct chv_recorder *rec = NULL;
    uint16_t space;
    uint64_t ticket = 0, time_ns = strtoull(argv[3], NULL, 10) * UINT64_C(1000000000);
    if (access(argv[1], F_OK) != 0 && chv_store_create(argv[1], &(struct chv_store_config){0}, &err) < 0) goto fail;
    if (chv_recorder_open(argv[1], &(struct chv_recorder_options){.clock_ns = time_ns}, &rec, &err) < 0) goto fail;
    if (chv_recorder_space(rec, argv[2], bytes, CHV_REST_ZERO, NULL, &space, &err) < 0) goto fail;
    static const unsigned char zeros[BLOCK];
    for (size_t at = 0; at < bytes; at += BLOCK) {
        if (memcmp(image + at, before ? before + at : zeros, BLOCK) == 0) continue;
        struct chv_record r = {.space = space, .op = CHV_OP_WRITE, .flags = CHV_EVENT_IMPORTED, .sectors = BLOCK / 512, .lba = at / 512,
                               .time_ns = time_ns, .data = image + at};
        if (chv_recorder_append(rec, &r, 1, NULL, &err) < 0) goto fail;
    }
    struct chv_record flush = {.space = space, .op = CHV_OP_FLUSH, .flags = CHV_EVENT_IMPORTED, .time_ns = time_ns};
    if (chv_recorder_append(rec, &flush, 1, &ticket, &err) < 0 || chv_recorder_wait(rec, ticket, &err) < 0) goto fail;
    if (chv_recorder_close(rec, &err) < 0) goto fail;
    return 0;
fail:
    fprintf(stderr, "%s\n", err.text);
    return 2;
}

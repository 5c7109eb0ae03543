/* Any bytes as what the helper is asked, in pieces of any size; and as a line of /proc/PID/maps. */
#include <stdlib.h>
#include <string.h>

#include "guest/helper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct chv_helper_frame *f)
{
    if (f->magic != CHV_HELPER_MAGIC || f->bytes != 0 || f->kind < CHV_HELPER_PING || f->kind > CHV_HELPER_RELEASE) abort();
    if ((f->kind == CHV_HELPER_PAGES) != (f->pid != 0) || f->pid > CHV_HELPER_PID_MAX) abort();
    if (f->flags & ~(f->kind == CHV_HELPER_PAGES ? CHV_HELPER_FREEZE : 0)) abort();
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_reader reader = {.have = 0};
    struct chv_helper_frame request;
    struct mapping m;
    if (size < 1 || size > 1 << 16) return 0;
    size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size; at += piece) {
        const uint8_t *p = data + at;
        size_t left = size - at < piece ? size - at : piece;
        while (request_next(&reader, &p, &left, &request)) check(&request);
        if (left != 0 || reader.have >= sizeof reader.bytes) abort();
    }
    char *line = malloc(size);
    if (!line) abort();
    memcpy(line, data + 1, size - 1);
    line[size - 1] = 0;
    if (mapping_parse(line, &m) && (m.start >= m.end || m.path_bytes > CHV_HELPER_PATH_MAX || m.path + m.path_bytes > line + size)) abort();
    free(line);
    return 0;
}

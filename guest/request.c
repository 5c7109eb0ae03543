#include "guest/helper.h"

#include <string.h>

static bool is_request(const struct chv_helper_frame *f)
{
    if (f->version != CHV_HELPER_VERSION || f->bytes != 0 || f->status != 0 || f->value != 0) return false;
    switch (f->kind) {
    case CHV_HELPER_PING:
    case CHV_HELPER_LIST:
    case CHV_HELPER_RELEASE:
        return f->pid == 0 && f->flags == 0;
    case CHV_HELPER_PAGES:
        return f->pid > 0 && f->pid <= CHV_HELPER_PID_MAX && (f->flags & ~CHV_HELPER_FREEZE) == 0;
    default:
        return false;
    }
}

bool request_next(struct request_reader *reader, const uint8_t **data, size_t *bytes, struct chv_helper_frame *out)
{
    while (*bytes > 0) {
        size_t n = sizeof reader->bytes - reader->have;
        if (n > *bytes) n = *bytes;
        memcpy(reader->bytes + reader->have, *data, n);
        reader->have += n;
        *data += n;
        *bytes -= n;
        while (reader->have == sizeof reader->bytes) {
            memcpy(out, reader->bytes, sizeof *out);
            if (out->magic == CHV_HELPER_MAGIC && is_request(out)) {
                reader->have = 0;
                return true;
            }
            /* On to where the next one may begin. */
            uint8_t first = (uint8_t)(CHV_HELPER_MAGIC & 0xff);
            const uint8_t *next = memchr(reader->bytes + 1, first, sizeof reader->bytes - 1);
            reader->have = next ? (size_t)(reader->bytes + sizeof reader->bytes - next) : 0;
            if (next) memmove(reader->bytes, next, reader->have);
        }
    }
    return false;
}

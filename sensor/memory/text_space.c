#include "sensor/memory/text_space.h"

enum { CHUNK_BYTES = 256 << 10 };

static int append(const struct sink *sink, const struct text_space *to, uint8_t op, uint64_t at, uint64_t bytes, const char *data, struct chv_err *err)
{
    struct chv_record r = {.space = to->id, .op = op, .flags = to->flags, .sectors = (uint32_t)(bytes / CHV_SECTOR_BYTES),
                           .lba = at / CHV_SECTOR_BYTES, .time_ns = to->time_ns, .data = data};
    int code = sink_append(sink, &r, 1, err);
    return code < 0 ? code : 0;
}

int text_space_write(const struct sink *sink, const struct text_space *to, const char *text, size_t bytes, struct chv_err *err)
{
    int r = to->end > bytes ? append(sink, to, CHV_OP_ZERO, bytes, to->end - bytes, NULL, err) : 0;
    for (size_t at = to->block_bytes, n; r == 0 && at < bytes; at += n) {
        n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        r = append(sink, to, CHV_OP_FOUND, at, n, text + at, err);
    }
    return r < 0 ? r : append(sink, to, CHV_OP_FOUND, 0, to->block_bytes, text, err);
}

int text_space_seq(const struct chv_store *store, const struct chv_space *space, uint64_t seq, uint64_t *text_seq, struct chv_err *err)
{
    struct chv_store_info info;
    struct chv_extent first;
    struct chv_event e;
    chv_store_info(store, &info);
    *text_seq = seq;
    int r = chv_store_block_at(store, space->id, 0, seq, &first, err);
    if (r < 0 || first.seq == 0 || first.seq > seq) return r;
    /* Earlier versions wrote the first block first, and the others in the same request. */
    *text_seq = first.seq;
    for (uint64_t at = first.seq + 1; at <= info.last_seq && chv_store_event(store, at, &e, NULL) == 0; at++) {
        bool goes_on = e.space == space->id && e.flags & CHV_EVENT_CONTINUED;
        if (goes_on) *text_seq = at;
        if (!goes_on && e.op != CHV_OP_COMMIT) break;
    }
    if (*text_seq < info.pruned_before_seq) *text_seq = info.pruned_before_seq; /* no earlier instant can be looked at */
    return 0;
}

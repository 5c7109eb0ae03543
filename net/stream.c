#include "net/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "abi/event.h"

#define BLOCK_SECTORS (CHV_WIRE_BLOCK_BYTES / CHV_SECTOR_BYTES)

void stream_seek(struct stream *s, uint64_t number)
{
    s->number = number;
    s->have = 0;
}

/* The sensor has the key, and may be wrong nonetheless. */
static bool makes_sense(const struct stream *s, const struct chv_wire_record *r)
{
    uint64_t lba = chv_wire_lba(r);
    if (r->number != s->number || r->device >= s->device_count) return false;
    uint64_t size = s->devices[r->device].bytes / CHV_SECTOR_BYTES;
    if (lba + r->sectors > size) return false;
    if (chv_op_has_content(r->op))
        return r->sectors > 0 && lba % BLOCK_SECTORS + r->sectors <= BLOCK_SECTORS && r->bytes == r->sectors * CHV_SECTOR_BYTES;
    if (r->op == CHV_OP_FLUSH) return r->sectors == 0 && r->bytes == 0;
    if (r->op == CHV_OP_READ) return r->bytes == 0;
    if (r->op == CHV_OP_GAP ? r->bytes != sizeof(struct chv_gap_detail)
                            : r->bytes != 0 || (r->op != CHV_OP_ZERO && r->op != CHV_OP_TRIM))
        return false;
    /* A gap may end at what was the device's end before it grew: it makes all of that block unknown. */
    return lba % BLOCK_SECTORS == 0 && (r->op == CHV_OP_GAP || r->sectors % BLOCK_SECTORS == 0 || lba + r->sectors == size);
}

/* What the record's content has to say beyond its header. */
static bool content_makes_sense(const struct chv_wire_record *r, const void *content)
{
    struct chv_gap_detail detail;
    if (r->op != CHV_OP_GAP) return true;
    memcpy(&detail, content, sizeof detail);
    return chv_wire_gap(detail.reason);
}

int stream_feed(struct stream *s, const uint8_t *data, size_t n, stream_record_fn *fn, void *arg)
{
    struct chv_wire_record r;
    while (n > 0) {
        bool headed = s->have >= sizeof r;
        if (headed) memcpy(&r, s->record, sizeof r);
        size_t want = headed ? sizeof r + r.bytes : sizeof r, part = want - s->have < n ? want - s->have : n;
        memcpy(s->record + s->have, data, part);
        s->have += part;
        data += part;
        n -= part;
        if (s->have < want) return 0;
        if (!headed) {
            memcpy(&r, s->record, sizeof r);
            if (!makes_sense(s, &r)) return -EPROTO;
            if (r.bytes > 0) continue;
        }
        if (!content_makes_sense(&r, s->record + sizeof r)) return -EPROTO;
        s->have = 0;
        s->number++;
        if (r.number < s->wanted) continue;
        s->wanted = r.number + 1;
        r.flags &= chv_wire_flags(&s->devices[r.device], r.op);
        int code = fn(arg, &r, s->record + sizeof r);
        if (code < 0) return code;
    }
    return 0;
}

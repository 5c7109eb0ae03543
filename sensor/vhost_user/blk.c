#include "sensor/vhost_user/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 16u

_Static_assert(sizeof(struct virtio_blk_config) >= BLK_CONFIG_BYTES, "the configuration space up to write_zeroes");

/* Not CONFIG_WCE: a guest that switches the write cache off sends no flushes any more, and a front-end that comes back
 * does not say that it did. */
uint64_t blk_features(const struct capture *c)
{
    uint64_t f = UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX | UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE |
                 UINT64_C(1) << VIRTIO_BLK_F_TOPOLOGY | UINT64_C(1) << VIRTIO_BLK_F_FLUSH |
                 UINT64_C(1) << VIRTIO_BLK_F_MQ | UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
    if (c->disk.can_punch) f |= UINT64_C(1) << VIRTIO_BLK_F_DISCARD;
    return f;
}

void blk_config(const struct capture *c, uint8_t out[BLK_CONFIG_BYTES])
{
    const uint32_t blocks_per = c->block_bytes / 512;
    struct virtio_blk_config config = {
        .capacity = c->disk.size_bytes / 512,
        .seg_max = BLK_SEGMENTS,
        .blk_size = 512,
        .physical_block_exp = blocks_per == 8 ? 3 : 0, /* smaller writes cost a read */
        .min_io_size = (uint16_t)blocks_per,
        .opt_io_size = BLK_BOUNCE_BYTES / 512,
        .num_queues = BLK_QUEUES_MAX,
        .max_discard_sectors = BLK_RANGE_SECTORS_MAX,
        .max_discard_seg = BLK_RANGES_MAX,
        .discard_sector_alignment = blocks_per,
        .max_write_zeroes_sectors = BLK_RANGE_SECTORS_MAX,
        .max_write_zeroes_seg = BLK_RANGES_MAX,
        .write_zeroes_may_unmap = c->disk.can_punch,
    };
    memcpy(out, &config, BLK_CONFIG_BYTES);
}

/* A place in a chain's out or in pieces. */
struct cursor {
    const struct segment *segment;
    unsigned left; /* pieces, with this one */
    uint32_t at;
};

static void skip(struct cursor *c, uint64_t bytes)
{
    while (bytes > 0 && c->left > 0) {
        uint32_t n = c->segment->bytes - c->at;
        if (n > bytes) {
            c->at += (uint32_t)bytes;
            return;
        }
        bytes -= n;
        c->segment++;
        c->left--;
        c->at = 0;
    }
}

/* Between the guest and memory of ours; the chain is long enough. */
static void move(struct cursor *c, uint8_t *ours, uint64_t bytes, bool to_guest)
{
    while (bytes > 0 && c->left > 0) {
        uint64_t n = c->segment->bytes - c->at;
        if (n > bytes) n = bytes;
        uint8_t *theirs = c->segment->host + c->at;
        memcpy(to_guest ? theirs : ours, to_guest ? ours : theirs, n);
        ours += n;
        bytes -= n;
        skip(c, n);
    }
}

static struct cursor out_of(const struct chain *chain)
{
    return (struct cursor){.segment = chain->segment, .left = chain->out};
}

static struct cursor into(const struct chain *chain)
{
    return (struct cursor){.segment = chain->segment + chain->out, .left = chain->in};
}

int blk_parse(const struct chain *chain, struct blk_request *request, struct chv_err *err)
{
    struct {
        uint32_t type, ioprio;
        uint64_t sector;
    } header;
    _Static_assert(sizeof header == HEADER_BYTES, "as in the specification");
    if (chain->in_bytes == 0) return chv_err_set(err, EPROTO, "a request without a place for its status");
    if (chain->out_bytes < HEADER_BYTES)
        return chv_err_set(err, EPROTO, "a request of %llu bytes, less than its header",
                           (unsigned long long)chain->out_bytes);
    struct cursor from = out_of(chain);
    move(&from, (uint8_t *)&header, sizeof header, false);
    uint64_t out = chain->out_bytes - HEADER_BYTES, in = chain->in_bytes - 1;
    *request = (struct blk_request){.kind = BLK_UNKNOWN, .sector = header.sector, .bytes = out};
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
        request->kind = in % 512 || out ? BLK_BAD : BLK_READ;
        request->bytes = in;
        break;
    case VIRTIO_BLK_T_OUT: request->kind = out % 512 ? BLK_BAD : BLK_WRITE; break;
    case VIRTIO_BLK_T_FLUSH: request->kind = BLK_FLUSH; break;
    case VIRTIO_BLK_T_DISCARD: request->kind = BLK_DISCARD; break;
    case VIRTIO_BLK_T_WRITE_ZEROES: request->kind = BLK_ZERO; break;
    case VIRTIO_BLK_T_GET_ID:
        request->kind = BLK_ID;
        request->bytes = in;
        break;
    default: break;
    }
    return 0;
}

bool blk_within(const struct capture *c, uint64_t sector, uint64_t bytes)
{
    uint64_t sectors = c->disk.size_bytes / 512;
    return sector <= sectors && bytes / 512 <= sectors - sector;
}

static int transfer(struct capture *c, const struct chain *chain, const struct blk_request *q, bool durable,
                    uint8_t *bounce, struct chv_err *err)
{
    bool read = q->kind == BLK_READ;
    struct cursor guest = read ? into(chain) : out_of(chain);
    if (!read) skip(&guest, HEADER_BYTES);
    uint64_t offset = q->sector * 512, left = q->bytes;
    int r = 0;
    while (r == 0 && left > 0) {
        uint64_t n = BLK_BOUNCE_BYTES - offset % BLK_BOUNCE_BYTES;
        if (n > left) n = left;
        if (!read) {
            /* log and disk must get the same bytes, whatever the guest does to its own meanwhile */
            move(&guest, bounce, n, false);
            if (guest_memory_lost(chain->memory)) return chv_err_set(err, EFAULT, "a request's data is gone");
            r = capture_write(c, bounce, (uint32_t)n, offset, durable, err);
        } else if (guest.left && guest.segment->bytes - guest.at >= n) {
            r = capture_read(c, guest.segment->host + guest.at, (uint32_t)n, offset, err);
            skip(&guest, n);
        } else {
            r = capture_read(c, bounce, (uint32_t)n, offset, err);
            if (r == 0) move(&guest, bounce, n, true);
        }
        offset += n;
        left -= n;
    }
    return r;
}

/* DISCARD and WRITE_ZEROES carry a list of ranges. All are judged before the first is done. Returns the status. */
static uint8_t zero_ranges(struct capture *c, const struct chain *chain, const struct blk_request *q, bool durable,
                           struct chv_err *err)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } range[BLK_RANGES_MAX];
    bool discard = q->kind == BLK_DISCARD;
    uint64_t count = q->bytes / sizeof *range;
    if (q->bytes % sizeof *range || count == 0 || count > BLK_RANGES_MAX) return VIRTIO_BLK_S_IOERR;
    if (discard && !c->disk.can_punch) return VIRTIO_BLK_S_UNSUPP;
    struct cursor guest = out_of(chain);
    skip(&guest, HEADER_BYTES);
    move(&guest, (uint8_t *)range, q->bytes, false);
    if (guest_memory_lost(chain->memory)) return VIRTIO_BLK_S_IOERR;
    for (uint64_t i = 0; i < count; i++) {
        if (range[i].flags & (discard ? ~0u : ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
            return VIRTIO_BLK_S_UNSUPP;
        if (range[i].sectors > BLK_RANGE_SECTORS_MAX || !blk_within(c, range[i].sector, (uint64_t)range[i].sectors * 512))
            return VIRTIO_BLK_S_IOERR;
    }
    for (uint64_t i = 0; i < count; i++) {
        bool may_punch = discard || (range[i].flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
        if (range[i].sectors > 0 &&
            capture_zero(c, discard ? CHV_OP_TRIM : CHV_OP_ZERO, (uint64_t)range[i].sectors * 512,
                         range[i].sector * 512, may_punch, durable, err) < 0)
            return VIRTIO_BLK_S_IOERR;
    }
    return VIRTIO_BLK_S_OK;
}

static uint8_t tell_id(const struct capture *c, const struct chain *chain, uint64_t bytes)
{
    char id[BLK_ID_BYTES + CHV_SPACE_NAME_BYTES] = {0};
    if (bytes < BLK_ID_BYTES) return VIRTIO_BLK_S_IOERR;
    const char *name = strchr(c->space_name, ':');
    snprintf(id, sizeof id, "%s", name ? name + 1 : c->space_name);
    struct cursor guest = into(chain);
    move(&guest, (uint8_t *)id, BLK_ID_BYTES, true);
    return VIRTIO_BLK_S_OK;
}

/* The status is the last byte that the device writes. Returns what was written: the guest may look at no more. */
static uint32_t answer(const struct chain *chain, uint8_t status, uint64_t data)
{
    struct cursor guest = into(chain);
    skip(&guest, chain->in_bytes - 1);
    move(&guest, &status, 1, true);
    return (uint32_t)(data + 1);
}

uint32_t blk_fail(const struct chain *chain)
{
    return answer(chain, VIRTIO_BLK_S_IOERR, 0);
}

unsigned blk_places(const struct chain *chain, const struct blk_request *q, struct iovec *places, unsigned count)
{
    uint64_t left = q->bytes;
    unsigned n = 0;
    for (const struct segment *s = chain->segment + chain->out; left > 0; s++) {
        uint64_t bytes = s->bytes < left ? s->bytes : left;
        left -= bytes;
        if (bytes == 0) continue;
        if (n == count) return 0;
        places[n++] = (struct iovec){s->host, bytes};
    }
    return n;
}

void blk_gather(const struct chain *chain, const struct blk_request *q, uint8_t *to)
{
    struct cursor guest = out_of(chain);
    skip(&guest, HEADER_BYTES);
    move(&guest, to, q->bytes, false);
}

uint32_t blk_done(const struct chain *chain, const struct blk_request *q, bool good)
{
    return answer(chain, good ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, good && q->kind == BLK_READ ? q->bytes : 0);
}

uint32_t blk_execute(struct capture *c, const struct chain *chain, const struct blk_request *q, bool durable,
                     uint8_t *bounce, struct chv_err *err)
{
    uint8_t status = VIRTIO_BLK_S_IOERR;
    uint64_t data = 0;
    err->code = 0;
    switch (q->kind) {
    case BLK_READ:
    case BLK_WRITE:
        if (!blk_within(c, q->sector, q->bytes) || transfer(c, chain, q, durable, bounce, err) < 0) break;
        status = VIRTIO_BLK_S_OK;
        if (q->kind == BLK_READ) data = q->bytes;
        break;
    case BLK_FLUSH:
        if (capture_flush(c, err) == 0) status = VIRTIO_BLK_S_OK;
        break;
    case BLK_DISCARD:
    case BLK_ZERO: status = zero_ranges(c, chain, q, durable, err); break;
    case BLK_ID:
        status = tell_id(c, chain, q->bytes);
        if (status == VIRTIO_BLK_S_OK) data = BLK_ID_BYTES;
        break;
    case BLK_UNKNOWN: status = VIRTIO_BLK_S_UNSUPP; break;
    case BLK_BAD: break;
    }
    return answer(chain, status, data);
}

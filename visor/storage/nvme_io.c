/* I/O commands: NVMe 1.4, 6. What they do to a namespace, told before they are done. */
#include "visor/storage/nvme.h"

/* A command's range. */
struct range {
    struct nvme_namespace *ns;
    uint64_t blocks;       /* the namespace's */
    uint64_t lba, sectors; /* of 512 bytes */
};

static void gap(struct nvme *n, uint32_t nsid, uint64_t lba, uint64_t sectors)
{
    blocks_gap(&n->storage, nsid == NVME_NS_ALL ? VISOR_UNIT_ALL : nsid, lba, sectors, CHV_GAP_UNKNOWN);
}

/* Into sectors. False, and the range is empty: beyond what any disk has. */
static bool scale(const struct nvme_namespace *ns, uint64_t lba, uint64_t blocks, uint64_t *to_lba, uint64_t *to_sectors)
{
    unsigned shift = ns->lba_bits - 9u;
    uint64_t end = (CHV_LBA_MAX + 1) >> shift;
    if (lba >= end) return false;
    if (blocks > end - lba) blocks = end - lba;
    *to_lba = lba << shift;
    *to_sectors = blocks << shift;
    return blocks > 0;
}

static bool range_of(struct nvme *n, const struct nvme_command *c, struct range *r)
{
    r->ns = nvme_namespace(n, c->nsid);
    r->blocks = (c->cdw12 & 0xffff) + 1;
    if (!r->ns || !r->ns->lba_bits) {
        r->ns = NULL;
        return false;
    }
    return scale(r->ns, (uint64_t)c->cdw11 << 32 | c->cdw10, r->blocks, &r->lba, &r->sectors);
}

/* The command's data: its content as a stream, without the metadata. Returns the bytes of the whole transfer. */
static uint64_t transfer(struct nvme *n, const struct nvme_command *c, const struct range *r, struct gather *g)
{
    const struct nvme_namespace *ns = r->ns;
    bool stripped = (c->cdw12 & 1u << 29) && ns->protected && ns->metadata_bytes == 8; /* PRACT: 8.3 */
    uint32_t skip = ns->extended && !stripped ? ns->metadata_bytes : 0;
    uint64_t bytes = r->blocks * ((UINT64_C(1) << ns->lba_bits) + skip);
    if (c->flags >> 6) gather_sgl(g, &n->storage.port, c->data);
    else gather_prp(g, &n->storage.port, c->data[0], c->data[1], bytes, n->page_bytes);
    if (skip) {
        g->stripe = g->stripe_left = UINT32_C(1) << ns->lba_bits;
        g->skip = skip;
    }
    return bytes;
}

/* Separate metadata, and the list that describes it. */
static bool metadata_is_owned(const struct nvme *n, const struct nvme_command *c, const struct range *r)
{
    if (!r->ns->metadata_bytes || r->ns->extended) return false;
    return c->flags >> 6 == 2 /* by an SGL: used by nobody */ ||
           n->storage.port.owned(n->storage.port.arg, c->metadata, r->blocks * r->ns->metadata_bytes);
}

/* The pointers themselves; what a list of them holds is looked at where the list's length is known. */
static bool points_at_own(const struct nvme *n, const struct nvme_command *c)
{
    const struct storage_port *port = &n->storage.port;
    return (c->opcode & 3) && (port->owned(port->arg, c->data[0], 1) || port->owned(port->arg, c->data[1], 1));
}

/* A range that no disk has, or of a namespace of which the format is not known: what to do with a change. */
static enum nvme_answer no_range(struct nvme *n, const struct nvme_command *c, const struct range *r)
{
    if (r->ns) return NVME_REFUSE;
    gap(n, c->nsid, 0, 0);
    return NVME_TAKE;
}

static enum nvme_answer write(struct nvme *n, uint16_t sq, const struct nvme_command *c)
{
    struct range r;
    struct gather g;
    if (!range_of(n, c, &r)) return no_range(n, c, &r);
    uint64_t bytes = transfer(n, c, &r, &g);
    if (bytes > n->transfer_max || metadata_is_owned(n, c, &r)) return NVME_REFUSE; /* MDTS: the controller would, too */
    nvme_remember(n, sq, c, NVME_PENDING_CHANGE, r.lba, r.sectors);
    uint8_t flags = c->cdw12 & 1u << 30 ? CHV_EVENT_FUA : 0;
    if (blocks_write(&n->storage, c->nsid, r.lba, r.sectors, flags, &g)) return NVME_TAKE;
    return gather_is_unsafe(&g) ? NVME_REFUSE : NVME_TAKE;
}

/* The device writes to memory: only where that is the guest's. */
static enum nvme_answer read(struct nvme *n, const struct nvme_command *c)
{
    struct range r;
    struct gather g;
    if (!range_of(n, c, &r)) return r.ns ? NVME_REFUSE : NVME_TAKE; /* how much it moves is not known */
    uint64_t bytes = transfer(n, c, &r, &g);
    if (bytes > n->transfer_max || metadata_is_owned(n, c, &r)) return NVME_REFUSE;
    g.skip = 0;
    gather_walk(&g, bytes);
    if (gather_is_unsafe(&g)) return NVME_REFUSE;
    blocks_read(&n->storage, c->nsid, r.lba, r.sectors);
    return NVME_TAKE;
}

/* No data: the range becomes what the opcode says. */
static enum nvme_answer change(struct nvme *n, uint16_t sq, const struct nvme_command *c)
{
    struct range r;
    if (!range_of(n, c, &r)) return no_range(n, c, &r);
    nvme_remember(n, sq, c, NVME_PENDING_CHANGE, r.lba, r.sectors);
    if (c->opcode == NVME_WRITE_ZEROES)
        blocks_zero(&n->storage, c->nsid, r.lba, r.sectors, CHV_OP_ZERO, c->cdw12 & 1u << 30 ? CHV_EVENT_FUA : 0);
    else gap(n, c->nsid, r.lba, r.sectors); /* Write Uncorrectable: until written anew it cannot be read */
    return NVME_TAKE;
}

/* 6.7: only a hint, except for Deallocate, after which what is read is zeros if the namespace says so (DLFEAT). */
static enum nvme_answer dataset(struct nvme *n, uint16_t sq, const struct nvme_command *c)
{
    struct nvme_namespace *ns = nvme_namespace(n, c->nsid);
    uint32_t ranges = (c->cdw10 & 0xff) + 1;
    uint64_t lba, sectors, first = UINT64_MAX, end = 0, d[2];
    struct gather g;
    if (!(c->cdw11 & 4)) return NVME_TAKE;
    if (!ns || !ns->lba_bits) {
        gap(n, c->nsid, 0, 0);
        return NVME_TAKE;
    }
    if (c->flags >> 6) gather_sgl(&g, &n->storage.port, c->data);
    else gather_prp(&g, &n->storage.port, c->data[0], c->data[1], ranges * sizeof d, n->page_bytes);
    uint8_t flags = 0;
    for (uint32_t i = 0; i < ranges; i++) {
        if (!gather_read(&g, d, sizeof d)) {
            if (gather_is_unsafe(&g)) return NVME_REFUSE;
            gap(n, c->nsid, 0, 0);
            return NVME_TAKE;
        }
        if (!scale(ns, d[1], d[0] >> 32, &lba, &sectors)) continue;
        if (ns->trim_zeroes || n->trust_trim) blocks_zero(&n->storage, c->nsid, lba, sectors, CHV_OP_TRIM, flags);
        else gap(n, c->nsid, lba, sectors);
        flags = CHV_EVENT_CONTINUED;
        if (lba < first) first = lba;
        if (lba + sectors > end) end = lba + sectors;
    }
    if (end) nvme_remember(n, sq, c, NVME_PENDING_CHANGE, first, end - first);
    return NVME_TAKE;
}

enum nvme_answer nvme_io(struct nvme *n, uint16_t sq, const struct nvme_command *c)
{
    if (c->flags >> 6 == 3 /* reserved */ || points_at_own(n, c)) return NVME_REFUSE;
    switch (c->opcode) {
    case NVME_FLUSH: blocks_flush(&n->storage, c->nsid == NVME_NS_ALL ? VISOR_UNIT_ALL : c->nsid); return NVME_TAKE;
    case NVME_WRITE: return write(n, sq, c);
    case NVME_READ: return read(n, c);
    case NVME_COMPARE: return read(n, c); /* what it compares with never gets to the disk */
    case NVME_WRITE_UNCORRECTABLE:
    case NVME_WRITE_ZEROES: return change(n, sq, c);
    case NVME_DATASET: return dataset(n, sq, c);
    case NVME_VERIFY:
    case NVME_RESERVATION_REGISTER:
    case NVME_RESERVATION_REPORT:
    case NVME_RESERVATION_ACQUIRE:
    case NVME_RESERVATION_RELEASE: return NVME_TAKE;
    default: /* Copy, zones, a vendor's, later ones: what they change is not known */
        gap(n, c->nsid ? c->nsid : NVME_NS_ALL, 0, 0);
        return NVME_TAKE;
    }
}

/* Admin commands: NVMe 1.4, 5. Which queues there are, what the namespaces look like, what destroys data.
 *
 * Answers lie in the guest's memory before we see them, so a hostile guest can change them. What it could gain is made worthless:
 * a queue that could not be made, or was made twice, is trusted no more until the controller is reset, and the first format
 * that a namespace was seen to have, while the machine booted, stays the only one. */
#include "visor/storage/nvme.h"

struct nvme_namespace *nvme_namespace(struct nvme *n, uint32_t nsid)
{
    for (unsigned i = 0; nsid && i < NVME_NAMESPACES_MAX; i++)
        if (n->ns[i].nsid == nsid) return &n->ns[i];
    return NULL;
}

static void gap(struct nvme *n, uint32_t nsid)
{
    blocks_gap(&n->storage, nsid == NVME_NS_ALL ? VISOR_UNIT_ALL : nsid, 0, 0, CHV_GAP_UNKNOWN);
}

static bool owned(const struct nvme *n, uint64_t gpa, uint64_t bytes)
{
    return n->storage.port.owned(n->storage.port.arg, gpa, bytes);
}

/* ---- queues ---- */

static enum nvme_answer make_queue(struct nvme *n, const struct nvme_command *c, enum nvme_pending_kind kind)
{
    uint32_t id = c->cdw10 & 0xffff, entries = (c->cdw10 >> 16) + 1;
    bool sq = kind == NVME_PENDING_CREATE_SQ;
    uint64_t base = c->data[0];
    uint8_t first;
    unsigned bits = sq ? 6 : 4, cc_bits = (n->cc >> (sq ? 16 : 20)) & 15;
    /* Not in one piece, entries of another size: allowed by the specification, used by nobody. */
    if (!id || id >= NVME_QUEUES_MAX || !(c->cdw11 & 1) || cc_bits != bits || base & (n->page_bytes - 1)) return NVME_REFUSE;
    if (sq && (!(c->cdw11 >> 16) || c->cdw11 >> 16 >= NVME_QUEUES_MAX)) return NVME_REFUSE; /* it answers in no such queue */
    if (owned(n, base, (uint64_t)entries << bits) || !n->storage.port.copy(n->storage.port.arg, &first, base, 1)) return NVME_REFUSE;
    nvme_remember(n, 0, c, kind, base, entries | (uint64_t)id << 32 | (sq ? (uint64_t)(c->cdw11 >> 16) << 48 : 0));
    return NVME_TAKE;
}

static enum nvme_answer delete_queue(struct nvme *n, const struct nvme_command *c, enum nvme_pending_kind kind)
{
    uint32_t id = c->cdw10 & 0xffff;
    if (!id || id >= NVME_QUEUES_MAX) return NVME_REFUSE;
    nvme_remember(n, 0, c, kind, 0, (uint64_t)id << 32);
    return NVME_TAKE;
}

static void queue_done(struct nvme *n, const struct nvme_pending *p, bool failed)
{
    unsigned id = (p->b >> 32) & 0xffff;
    struct nvme_queue *sq = &n->sq[id], *cq = &n->cq[id];
    switch (p->kind) {
    case NVME_PENDING_CREATE_SQ:
        if (failed || sq->entries) sq->lost = true;
        else *sq = (struct nvme_queue){.base = p->a, .entries = (uint32_t)p->b, .cq = (uint16_t)(p->b >> 48), .lost = sq->lost};
        break;
    case NVME_PENDING_DELETE_SQ:
        if (failed) break; /* if it is gone after all, what is made in its place is made twice, or "failed" */
        if (sq->entries) nvme_reap(n, sq->cq); /* never the admin queue: this does not come back here */
        nvme_forget(n, id);
        sq->entries = 0;
        break;
    case NVME_PENDING_CREATE_CQ:
        if (!failed) *cq = (struct nvme_queue){.base = p->a, .entries = (uint32_t)p->b, .phase = 1};
        break;
    case NVME_PENDING_DELETE_CQ:
        if (!failed) cq->entries = 0;
        break;
    }
}

/* ---- what the guest is told of the controller and its namespaces ---- */

static uint64_t le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    while (bytes) v = v << 8 | p[--bytes];
    return v;
}

/* 5.15.2.2. The guest is not to know of doorbell buffers: with them it tells the device of commands without ringing. It may have read
 * this before us; then it is refused when it tries. */
static void identify_controller(struct nvme *n, const struct nvme_pending *p, uint8_t *data)
{
    const struct storage_port *port = &n->storage.port;
    struct gather g;
    uint16_t oacs = (uint16_t)(le(data + 256, 2) & ~NVME_OACS_DOORBELL_BUFFER);
    if (oacs != le(data + 256, 2)) {
        gather_prp(&g, port, p->a, p->b, 4096, n->page_bytes);
        data[256] = (uint8_t)oacs, data[257] = (uint8_t)(oacs >> 8);
        if (gather_walk(&g, 256)) gather_write(&g, data + 256, 2);
    }
    if (n->identified) return;
    n->identified = true;
    __builtin_memcpy(n->serial, data + 4, sizeof n->serial);
    unsigned mps_min = 12 + (unsigned)((n->cap >> 48) & 15);
    if (data[77] && data[77] + mps_min < 24) n->transfer_max = UINT64_C(1) << (data[77] + mps_min);
}

/* 5.15.2.1; NMIC's bit 0: other controllers may have the namespace */
static void identify_namespace(struct nvme *n, uint32_t nsid, const uint8_t *data)
{
    unsigned format = data[26] & 15;
    const uint8_t *lbaf = data + 128 + format * 4;
    struct nvme_namespace *ns = nvme_namespace(n, nsid);
    struct nvme_namespace seen = {.nsid = nsid, .lba_bits = lbaf[2], .metadata_bytes = (uint16_t)le(lbaf, 2),
                                  .extended = data[26] & 16, .protected = data[29] & 7, .trim_zeroes = (data[33] & 7) == 1};
    uint64_t blocks = le(data, 8);
    if (!blocks || !nsid || nsid == NVME_NS_ALL) return; /* inactive: 6.1.5 */
    if (seen.lba_bits < 9 || seen.lba_bits > 16 || format > data[25] || blocks > (CHV_LBA_MAX + 1) >> (seen.lba_bits - 9)) seen.lba_bits = 0;
    else seen.sectors = blocks << (seen.lba_bits - 9);
    if (ns) {
        bool same = ns->lba_bits == seen.lba_bits && ns->metadata_bytes == seen.metadata_bytes && ns->extended == seen.extended &&
                    ns->protected == seen.protected;
        if (!same) {
            ns->lba_bits = 0;
            gap(n, nsid);
        }
        if (same && ns->sectors != seen.sectors) {
            ns->sectors = seen.sectors;
            blocks_space(&n->storage, nsid, ns->sectors, n->serial, sizeof n->serial, nsid, data[30] & 1);
        }
        return;
    }
    for (unsigned i = 0; i < NVME_NAMESPACES_MAX && !ns; i++)
        if (!n->ns[i].nsid) ns = &n->ns[i];
    if (!ns) return;
    *ns = seen;
    if (ns->lba_bits) blocks_space(&n->storage, nsid, ns->sectors, n->serial, sizeof n->serial, nsid, data[30] & 1);
}

void nvme_admin_done(struct nvme *n, const struct nvme_pending *p, bool failed)
{
    n->storage.command = p->command;
    if (p->kind != NVME_PENDING_IDENTIFY_CONTROLLER && p->kind != NVME_PENDING_IDENTIFY_NAMESPACE) {
        queue_done(n, p, failed);
        return;
    }
    struct gather g;
    gather_prp(&g, &n->storage.port, p->a, p->b, 4096, n->page_bytes);
    if (failed || !gather_read(&g, n->storage.block, 4096)) return;
    if (p->kind == NVME_PENDING_IDENTIFY_CONTROLLER) identify_controller(n, p, n->storage.block);
    else identify_namespace(n, p->nsid, n->storage.block);
}

/* ---- commands ---- */

/* How much the command moves, as far as it is more than a page. */
static uint64_t data_bytes(const struct nvme_command *c)
{
    uint64_t bytes = 4096;
    switch (c->opcode) {
    case NVME_GET_LOG: bytes = (((uint64_t)(c->cdw11 & 0xffff) << 16 | c->cdw10 >> 16) + 1) * 4; break;
    case NVME_FW_DOWNLOAD:
    case NVME_DIRECTIVE_SEND:
    case NVME_DIRECTIVE_RECEIVE:
    case NVME_LBA_STATUS: bytes = ((uint64_t)c->cdw10 + 1) * 4; break;
    case NVME_SECURITY_RECEIVE: bytes = c->cdw11; break;
    }
    return bytes < NVME_TRANSFER_MAX ? bytes : NVME_TRANSFER_MAX;
}

/* 5.21.1.13: memory of the guest's that the controller uses as its own. */
static bool host_memory_is_owned(const struct nvme *n, const struct nvme_command *c)
{
    uint64_t list = (uint64_t)c->cdw14 << 32 | (c->cdw13 & ~15u);
    if (!(c->cdw11 & 1)) return false;
    if (c->cdw15 > 1024) return true;
    for (uint32_t i = 0; i < c->cdw15; i++) {
        uint64_t d[2];
        if (owned(n, list + i * sizeof d, sizeof d) || !n->storage.port.copy(n->storage.port.arg, d, list + i * sizeof d, sizeof d)) return true;
        if (owned(n, d[0], (d[1] & 0xffffffff) * n->page_bytes)) return true;
    }
    return false;
}

/* A controller would read from, or write to, the hypervisor's memory. */
static bool touches_own(const struct nvme *n, const struct nvme_command *c)
{
    struct gather g;
    if (c->opcode == NVME_SET_FEATURES && (c->cdw10 & 0xff) == 0x0d && host_memory_is_owned(n, c)) return true;
    if (!(c->opcode & 3) || (!c->data[0] && !c->data[1])) return false;
    gather_prp(&g, &n->storage.port, c->data[0], c->data[1], data_bytes(c), n->page_bytes);
    gather_walk(&g, data_bytes(c));
    return gather_is_unsafe(&g);
}

enum nvme_answer nvme_admin(struct nvme *n, const struct nvme_command *c)
{
    /* none of these changes what a disk holds */
    static const uint8_t harmless[] = {NVME_GET_LOG, NVME_ABORT, NVME_SET_FEATURES, NVME_GET_FEATURES, NVME_ASYNC_EVENT, NVME_FW_COMMIT,
                                       NVME_FW_DOWNLOAD, NVME_SELF_TEST, NVME_NS_ATTACH, NVME_KEEP_ALIVE, NVME_DIRECTIVE_SEND,
                                       NVME_DIRECTIVE_RECEIVE, NVME_VIRTUALIZATION, NVME_MI_RECEIVE, NVME_SECURITY_RECEIVE, NVME_LBA_STATUS};
    if (c->flags || touches_own(n, c)) return NVME_REFUSE; /* 4.2: admin commands are not fused, and use PRPs on PCI Express */
    switch (c->opcode) {
    case NVME_CREATE_SQ: return make_queue(n, c, NVME_PENDING_CREATE_SQ);
    case NVME_CREATE_CQ: return make_queue(n, c, NVME_PENDING_CREATE_CQ);
    case NVME_DELETE_SQ: return delete_queue(n, c, NVME_PENDING_DELETE_SQ);
    case NVME_DELETE_CQ: return delete_queue(n, c, NVME_PENDING_DELETE_CQ);
    case NVME_IDENTIFY:
        if ((c->cdw10 & 0xff) == 0) nvme_remember(n, 0, c, NVME_PENDING_IDENTIFY_NAMESPACE, c->data[0], c->data[1]);
        if ((c->cdw10 & 0xff) == 1) nvme_remember(n, 0, c, NVME_PENDING_IDENTIFY_CONTROLLER, c->data[0], c->data[1]);
        return NVME_TAKE;
    case NVME_DOORBELL_BUFFER: return NVME_REFUSE;
    case NVME_NS_MANAGE:
        if ((c->cdw10 & 15) != 0) gap(n, (c->cdw10 & 15) == 1 ? c->nsid : NVME_NS_ALL);
        return NVME_TAKE;
    case NVME_FORMAT: gap(n, c->nsid ? c->nsid : NVME_NS_ALL); return NVME_TAKE;
    default: /* others may: Sanitize, Security Send, Management Interface Send, a vendor's, later ones */
        for (unsigned i = 0; i < sizeof harmless; i++)
            if (c->opcode == harmless[i]) return NVME_TAKE;
        gap(n, NVME_NS_ALL);
        return NVME_TAKE;
    }
}

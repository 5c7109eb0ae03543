/* Registers: NVMe 1.4, 3.1. */
#include "visor/storage/nvme.h"

static uint64_t reg64(const struct nvme *n, uint64_t offset)
{
    const struct storage_port *port = &n->storage.port;
    return port->reg(port->arg, offset) | (uint64_t)port->reg(port->arg, offset + 4) << 32;
}

/* The registers of the admin queues, as the guest has set them before it enables the controller. */
static void admin_queues(const struct nvme *n, struct nvme_queue *sq, struct nvme_queue *cq)
{
    uint32_t aqa = n->storage.port.reg(n->storage.port.arg, NVME_AQA);
    *sq = (struct nvme_queue){.base = reg64(n, NVME_ASQ) & ~UINT64_C(0xfff), .entries = (aqa & 0xfff) + 1};
    *cq = (struct nvme_queue){.base = reg64(n, NVME_ACQ) & ~UINT64_C(0xfff), .entries = ((aqa >> 16) & 0xfff) + 1, .phase = 1};
}

void nvme_stop(struct nvme *n)
{
    for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) nvme_reap(n, i);
    nvme_forget(n, NVME_QUEUES_MAX);
    __builtin_memset(n->sq, 0, sizeof n->sq);
    __builtin_memset(n->cq, 0, sizeof n->cq);
}

void nvme_init(struct nvme *n, const struct storage_port *port, uint16_t device)
{
    __builtin_memset(n, 0, sizeof *n);
    n->storage.port = *port;
    n->storage.device = device;
    n->cap = reg64(n, NVME_CAP);
    n->cc = port->reg(port->arg, NVME_CC);
    n->page_bytes = UINT64_C(4096) << ((n->cc >> 7) & 15);
    n->transfer_max = NVME_TRANSFER_MAX;
    /* Enabled already: where the admin queues stand is not known, so they stay "no such queue", and what is rung is a gap. */
}

void nvme_moved(struct nvme *n)
{
    nvme_stop(n);
    n->cc &= ~1u;
    n->known = true;
}

static enum storage_verdict write_cc(struct nvme *n, uint32_t value)
{
    const struct storage_port *port = &n->storage.port;
    struct nvme_queue sq, cq;
    /* The device's own word: a reset of the PCI function clears it as well. */
    bool really = port->reg(port->arg, NVME_CC) & 1, was = n->cc & really, is = value & 1;
    /* It goes on with queues that we have forgotten: not before it is disabled. */
    if (is && really && !was) return storage_malformed(&n->storage);
    if (n->cc & 1 && !(was && is)) nvme_stop(n);
    if (is && !was) {
        admin_queues(n, &sq, &cq);
        if (port->owned(port->arg, sq.base, sq.entries * sizeof(struct nvme_command)) ||
            port->owned(port->arg, cq.base, cq.entries * sizeof(struct nvme_completion))) {
            n->cc = value & ~1u;
            n->storage.count.refused++;
            return STORAGE_DROP;
        }
        n->page_bytes = UINT64_C(4096) << ((value >> 7) & 15);
        n->sq[0] = sq;
        n->cq[0] = cq;
        n->known = true;
    }
    n->cc = value;
    return STORAGE_PASS;
}

static enum storage_verdict write_register(struct nvme *n, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case NVME_CC: return write_cc(n, value);
    case NVME_NSSR:
        if (value != NVME_NSSR_RESET || !(n->cap & NVME_CAP_NSSRS)) break; /* one that has none goes on as it was */
        nvme_stop(n);
        n->cc &= ~1u; /* 7.3.1: as by CC.EN */
        break;
    case NVME_CMBMSC:
    case NVME_CMBMSC + 4: return STORAGE_DROP; /* the guest has not been told of such memory */
    default:
        if (offset >= NVME_PMRCAP && offset < NVME_PMREND) return STORAGE_DROP;
        break;
    }
    return STORAGE_PASS;
}

/* 3.1.24: submission queue i's tail at 2i strides, completion queue i's head behind it. */
static enum storage_verdict write_doorbell(struct nvme *n, uint64_t offset, uint32_t value)
{
    uint64_t stride = UINT64_C(4) << ((n->cap >> 32) & 15), index = (offset - NVME_DOORBELLS) / stride;
    if ((offset - NVME_DOORBELLS) % stride) return storage_malformed(&n->storage);
    if (index / 2 >= NVME_QUEUES_MAX) return storage_malformed(&n->storage); /* no such queue could be made */
    unsigned queue = (unsigned)(index / 2);
    if (index % 2 == 0) return nvme_ring(n, queue, value);
    nvme_reap(n, queue);
    return STORAGE_PASS;
}

enum storage_verdict nvme_write(struct nvme *n, uint64_t offset, unsigned width, uint64_t *value)
{
    /* 3.1: registers are written 32 bits at a time, or 64 aligned ones. */
    if ((width != 4 && width != 8) || offset % width) return storage_malformed(&n->storage);
    if (offset >= NVME_DOORBELLS) return width == 4 ? write_doorbell(n, offset, (uint32_t)*value) : storage_malformed(&n->storage);
    enum storage_verdict low = write_register(n, offset, (uint32_t)*value);
    if (width == 4) return low;
    enum storage_verdict high = write_register(n, offset + 4, (uint32_t)(*value >> 32));
    return low == STORAGE_DROP || high == STORAGE_DROP ? STORAGE_DROP : STORAGE_PASS;
}

/* The controller's own memory is hidden: queues and lists in it would be out of our sight. */
void nvme_read(struct nvme *n, uint64_t offset, unsigned width, uint64_t *value)
{
    uint64_t hide_cap = NVME_CAP_CMBS | NVME_CAP_PMRS;
    for (unsigned i = 0; i < width; i++) {
        uint64_t at = offset + i, mask = 0;
        if (at < NVME_CAP + 8) mask = (hide_cap >> (at - NVME_CAP) * 8) & 0xff;
        if ((at >= NVME_CMBLOC && at < NVME_CMBSZ + 4) || (at >= NVME_PMRCAP && at < NVME_PMREND)) mask = 0xff;
        *value &= ~(mask << i * 8);
    }
}

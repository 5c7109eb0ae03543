#include "nvme_fake.h"

enum { OK = 0, INVALID_OPCODE = 1, INVALID_FIELD = 2, FAILED = 6, OUT_OF_RANGE = 0x80, INVALID_QUEUE = 0x101 };

/* Device memory access: RAM only; the hypervisor's part is real memory to a device. */
static bool dma(struct nvme_fake *f, uint64_t gpa, void *ours, uint64_t n, bool to_guest)
{
    struct rig *rig = f->rig;
    if (gpa >= rig->ram_bytes || n > rig->ram_bytes - gpa) return false;
    if (gpa < rig->own + rig->own_bytes && gpa + n > rig->own) rig->own_touched++;
    if (to_guest) memcpy(rig->ram + gpa, ours, n);
    else memcpy(ours, rig->ram + gpa, n);
    return true;
}

/* The transfer, whole, into a buffer: the plainest way to follow lists there is. */
static bool prp_transfer(struct nvme_fake *f, const struct nvme_command *c, uint8_t *buf, uint64_t bytes, bool to_guest)
{
    uint64_t gpa = c->data[0], n = 4096 - gpa % 4096, list = c->data[1];
    bool listed = false;
    for (;;) {
        if (n > bytes) n = bytes;
        if (!dma(f, gpa, buf, n, to_guest)) return false;
        buf += n, bytes -= n;
        if (!bytes) return true;
        if (!listed && bytes <= 4096) {
            gpa = list;
        } else {
            listed = true;
            if (!dma(f, list, &gpa, 8, false)) return false;
            if (list % 4096 == 4088 && bytes > 4096) {
                list = gpa;
                if (!dma(f, list, &gpa, 8, false)) return false;
            }
            list += 8;
        }
        if (gpa % 4096) return false;
        n = 4096;
    }
}

static bool sgl_transfer(struct nvme_fake *f, uint64_t gpa, uint64_t entries, uint8_t **buf, uint64_t *bytes, bool to_guest, int depth)
{
    for (uint64_t i = 0; i < entries && *bytes; i++) {
        uint64_t d[2];
        if (!dma(f, gpa + i * 16, d, 16, false)) return false;
        uint64_t n = (uint32_t)d[1], type = d[1] >> 60;
        if (type == 2 || type == 3) return depth < 8 && sgl_transfer(f, d[0], n / 16, buf, bytes, to_guest, depth + 1);
        if (type != 0) return false;
        if (n > *bytes) n = *bytes;
        if (!dma(f, d[0], *buf, n, to_guest)) return false;
        *buf += n, *bytes -= n;
    }
    return *bytes == 0;
}

static bool transfer(struct nvme_fake *f, const struct nvme_command *c, uint8_t *buf, uint64_t bytes, bool to_guest)
{
    if (!(c->flags >> 6)) return prp_transfer(f, c, buf, bytes, to_guest);
    uint64_t n = (uint32_t)c->data[1], type = c->data[1] >> 60;
    if (type == 0) return n >= bytes && dma(f, c->data[0], buf, bytes, to_guest);
    return sgl_transfer(f, c->data[0], n / 16, &buf, &bytes, to_guest, 0);
}

static uint16_t identify(struct nvme_fake *f, const struct nvme_command *c)
{
    uint8_t page[4096] = {0};
    uint32_t cns = c->cdw10 & 0xff;
    if (cns == 1) {
        memcpy(page + 4, "FAKE 0001           ", 20);
        page[77] = 8; /* MDTS: 1 MiB */
        page[257] = 1; /* doorbell buffer config */
    } else if (cns == 0 && c->nsid >= 1 && c->nsid <= WORKLOAD_NAMESPACES) {
        struct workload_namespace *ns = &f->ns[c->nsid - 1];
        uint64_t blocks = ns->bytes >> ns->lba_bits;
        memcpy(page, &blocks, 8);
        page[25] = 1, page[26] = (uint8_t)(1 | (ns->extended ? 16 : 0)), page[33] = 1;
        page[132] = (uint8_t)ns->metadata, page[134] = (uint8_t)ns->lba_bits;
    } else {
        return INVALID_FIELD;
    }
    return prp_transfer(f, c, page, 4096, true) ? OK : FAILED;
}

static uint16_t admin(struct nvme_fake *f, const struct nvme_command *c)
{
    uint32_t id = c->cdw10 & 0xffff, cq = c->cdw11 >> 16;
    switch (c->opcode) {
    case NVME_IDENTIFY: return identify(f, c);
    case NVME_CREATE_CQ:
        if (!id || id >= FAKE_QUEUES || f->cq[id].entries) return INVALID_QUEUE;
        f->cq[id] = (struct fake_queue){.base = c->data[0], .entries = (c->cdw10 >> 16) + 1, .phase = 1};
        return OK;
    case NVME_CREATE_SQ:
        if (!id || id >= FAKE_QUEUES || f->sq[id].entries || cq >= FAKE_QUEUES || !f->cq[cq].entries) return INVALID_QUEUE;
        f->sq[id] = (struct fake_queue){.base = c->data[0], .entries = (c->cdw10 >> 16) + 1, .cq = cq};
        return OK;
    case NVME_DELETE_SQ:
        if (!id || id >= FAKE_QUEUES || !f->sq[id].entries) return INVALID_QUEUE;
        f->sq[id].entries = 0;
        return OK;
    case NVME_DELETE_CQ:
        if (!id || id >= FAKE_QUEUES || !f->cq[id].entries) return INVALID_QUEUE;
        f->cq[id].entries = 0;
        return OK;
    case NVME_SET_FEATURES:
    case NVME_GET_FEATURES:
    case NVME_DOORBELL_BUFFER: return OK; /* the mediator keeps the last from us */
    case NVME_FORMAT:
        memset(f->ns[c->nsid - 1].disk, 0, f->ns[c->nsid - 1].bytes);
        return OK;
    }
    f->refused++;
    return INVALID_OPCODE;
}

static uint16_t read_write(struct nvme_fake *f, const struct nvme_command *c, struct workload_namespace *ns, uint64_t lba, uint64_t n, bool fail)
{
    uint64_t block = UINT64_C(1) << ns->lba_bits, stride = block + (ns->extended ? ns->metadata : 0);
    uint8_t *buf = calloc(n, stride);
    CHECK(buf);
    bool write = c->opcode == NVME_WRITE, moved;
    for (uint64_t i = 0; !write && i < n; i++) memcpy(buf + i * stride, ns->disk + (lba + i) * block, block);
    moved = transfer(f, c, buf, n * stride, !write);
    if (fail && n > 1) n = rig_random(f->rig, n); /* some of it was done */
    for (uint64_t i = 0; write && moved && i < n; i++) memcpy(ns->disk + (lba + i) * block, buf + i * stride, block);
    free(buf);
    return moved && !fail ? OK : FAILED;
}

static uint16_t deallocate(struct nvme_fake *f, const struct nvme_command *c, struct workload_namespace *ns, bool fail)
{
    uint64_t d[256][2], block = UINT64_C(1) << ns->lba_bits, n = (c->cdw10 & 0xff) + 1;
    if (!transfer(f, c, (uint8_t *)d, n * 16, false)) return FAILED;
    for (uint64_t i = 0; i < n; i++)
        if (d[i][1] > ns->bytes / block || d[i][0] >> 32 > ns->bytes / block - d[i][1]) return OUT_OF_RANGE;
    for (uint64_t i = 0; i < (fail ? n / 2 : n); i++) memset(ns->disk + d[i][1] * block, 0, (d[i][0] >> 32) * block);
    return fail ? FAILED : OK;
}

static uint16_t io(struct nvme_fake *f, const struct nvme_command *c)
{
    if (c->opcode == NVME_FLUSH) return OK;
    if (!c->nsid || c->nsid > WORKLOAD_NAMESPACES) return INVALID_FIELD;
    struct workload_namespace *ns = &f->ns[c->nsid - 1];
    uint64_t lba = (uint64_t)c->cdw11 << 32 | c->cdw10, n = (c->cdw12 & 0xffff) + 1, block = UINT64_C(1) << ns->lba_bits;
    bool fail = rig_random(f->rig, 100) < f->fail_percent;
    if (c->opcode == NVME_DATASET) return c->cdw11 & 4 ? deallocate(f, c, ns, fail) : OK;
    if (c->opcode != NVME_WRITE && c->opcode != NVME_READ && c->opcode != NVME_WRITE_ZEROES) {
        f->refused++;
        return INVALID_OPCODE;
    }
    if (lba > ns->bytes / block || n > ns->bytes / block - lba) return OUT_OF_RANGE;
    if (c->opcode != NVME_WRITE_ZEROES) return read_write(f, c, ns, lba, n, fail);
    memset(ns->disk + lba * block, 0, (fail ? n / 2 : n) * block);
    return fail ? FAILED : OK;
}

static void answer(struct nvme_fake *f, uint16_t sq, uint16_t id, uint16_t status)
{
    struct fake_queue *q = &f->cq[f->sq[sq].entries ? f->sq[sq].cq : 0];
    struct nvme_completion c = {.sq = sq, .id = id, .sq_head = (uint16_t)f->sq[sq].head, .status = (uint16_t)((unsigned)status << 1 | q->phase)};
    CHECK(q->entries && dma(f, q->base + q->tail * 16, &c, 16, true));
    if (++q->tail == q->entries) q->tail = 0, q->phase ^= 1;
}

/* Take all there is in a queue, and do it in another order. */
static void work(struct nvme_fake *f, uint16_t id)
{
    struct fake_queue *q = &f->sq[id];
    struct nvme_command c[64];
    while (q->entries && q->head != q->tail) {
        unsigned n = 0;
        for (; n < 64 && q->head != q->tail && (id || n < 1); n++, q->head = (q->head + 1) % q->entries)
            if (!dma(f, q->base + q->head * 64, &c[n], 64, false)) memset(&c[n], 0xff, 64);
        while (n) {
            unsigned i = (unsigned)rig_random(f->rig, n);
            answer(f, id, c[i].id, id ? io(f, &c[i]) : admin(f, &c[i]));
            c[i] = c[--n];
        }
    }
}

static void settle(struct rig *rig)
{
    struct nvme_fake *f = rig->device;
    for (uint16_t i = 0; i < FAKE_QUEUES && f->csts & 1; i++) work(f, i);
}

static uint32_t reg_read(struct rig *rig, uint64_t offset)
{
    struct nvme_fake *f = rig->device;
    switch (offset) {
    case 0x00: return 1023 | 1 << 16;
    case 0x14: return f->cc;
    case 0x1c: return f->csts;
    case 0x24: return f->aqa;
    case 0x28: return (uint32_t)f->asq;
    case 0x2c: return (uint32_t)(f->asq >> 32);
    case 0x30: return (uint32_t)f->acq;
    case 0x34: return (uint32_t)(f->acq >> 32);
    }
    return 0;
}

static void reg_write(struct rig *rig, uint64_t offset, unsigned width, uint64_t value)
{
    struct nvme_fake *f = rig->device;
    if (width == 8) {
        reg_write(rig, offset, 4, value & 0xffffffff);
        reg_write(rig, offset + 4, 4, value >> 32);
        return;
    }
    switch (offset) {
    case 0x14:
        if (!(value & 1)) memset(f->sq, 0, sizeof f->sq), memset(f->cq, 0, sizeof f->cq);
        if (value & ~f->cc & 1) {
            f->sq[0] = (struct fake_queue){.base = f->asq, .entries = (f->aqa & 0xfff) + 1};
            f->cq[0] = (struct fake_queue){.base = f->acq, .entries = (f->aqa >> 16) + 1, .phase = 1};
        }
        f->cc = (uint32_t)value;
        f->csts = value & 1;
        return;
    case 0x24: f->aqa = (uint32_t)value; return;
    case 0x28: f->asq = (f->asq & ~0xffffffffull) | value; return;
    case 0x2c: f->asq = (f->asq & 0xffffffff) | value << 32; return;
    case 0x30: f->acq = (f->acq & ~0xffffffffull) | value; return;
    case 0x34: f->acq = (f->acq & 0xffffffff) | value << 32; return;
    }
    if (offset < 0x1000 || (offset - 0x1000) / 8 >= FAKE_QUEUES || offset % 8) return;
    struct fake_queue *q = &f->sq[(offset - 0x1000) / 8];
    if (value < q->entries) q->tail = (uint32_t)value;
    if (!f->lazy) work(f, (uint16_t)((offset - 0x1000) / 8));
}

void fake_init(struct nvme_fake *f, struct rig *rig)
{
    *f = (struct nvme_fake){.rig = rig};
    f->ns[0] = (struct workload_namespace){.bytes = 4 << 20, .lba_bits = 9};
    f->ns[1] = (struct workload_namespace){.bytes = 4 << 20, .lba_bits = 12};
    f->ns[2] = (struct workload_namespace){.bytes = 2 << 20, .lba_bits = 9, .metadata = 8, .extended = true};
    for (unsigned i = 0; i < WORKLOAD_NAMESPACES; i++) CHECK((f->ns[i].disk = calloc(1, f->ns[i].bytes)));
    rig->device = f;
    rig->read = reg_read;
    rig->write = reg_write;
    rig->settle = settle;
}

void fake_fini(struct nvme_fake *f)
{
    for (unsigned i = 0; i < WORKLOAD_NAMESPACES; i++) free(f->ns[i].disk);
}

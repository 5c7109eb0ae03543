#include "tests/visor/intruder/intruder.h"

enum { ENTRIES = 32 };

static void doorbell(const struct nvme_disk *d, bool io, bool cq, uint32_t value)
{
    write32(d->base + 0x1000 + (io ? 8 : 0) + (cq ? 4 : 0), value);
}

bool nvme_start(struct nvme_disk *d)
{
    decode(d->bdf);
    d->base = bar_of(d->bdf, 0);
    for (unsigned i = 0; i < 4; i++) {
        if (!d->queue[i]) d->queue[i] = (uint64_t)(uintptr_t)page_alloc(1);
        memset((void *)d->queue[i], 0, PAGE);
    }
    for (unsigned i = 0; i < 2; i++) d->tail[i] = d->head[i] = 0, d->phase[i] = 1;
    write32(d->base + 0x14, 0);
    for (unsigned i = 0; i < 1000 && read32(d->base + 0x1c) & 1; i++) pause_us(100);
    write32(d->base + 0x24, (ENTRIES - 1) << 16 | (ENTRIES - 1));
    write32(d->base + 0x28, (uint32_t)d->queue[0]);
    write32(d->base + 0x2c, 0);
    write32(d->base + 0x30, (uint32_t)d->queue[1]);
    write32(d->base + 0x34, 0);
    write32(d->base + 0x14, 6u << 16 | 4u << 20 | 1);
    for (unsigned i = 0; i < 1000 && !(read32(d->base + 0x1c) & 1); i++) pause_us(100);
    if (!(read32(d->base + 0x1c) & 1)) return false;
    uint64_t page = (uint64_t)(uintptr_t)page_alloc(1);
    uint32_t identify[16] = {6, 0, [6] = (uint32_t)page, [10] = 1}, names[16] = {6, 1, [6] = (uint32_t)page};
    uint32_t cq[16] = {5, [6] = (uint32_t)d->queue[3], [10] = (ENTRIES - 1) << 16 | 1, 1};
    uint32_t sq[16] = {1, [6] = (uint32_t)d->queue[2], [10] = (ENTRIES - 1) << 16 | 1, 1 << 16 | 1};
    return !nvme_do(d, false, identify) && !nvme_do(d, false, names) && !nvme_do(d, false, cq) && !nvme_do(d, false, sq);
}

int nvme_do(struct nvme_disk *d, bool io, const uint32_t command[16])
{
    volatile uint32_t *done = (volatile uint32_t *)(d->queue[io * 2 + 1] + 16 * d->head[io]);
    uint32_t *entry = (uint32_t *)(d->queue[io * 2] + 64 * d->tail[io]);
    memcpy(entry, command, 64);
    entry[0] |= (uint32_t)++d->id << 16;
    d->tail[io] = (d->tail[io] + 1) % ENTRIES;
    doorbell(d, io, false, d->tail[io]);
    for (unsigned i = 0; (done[3] >> 16 & 1) != d->phase[io]; i++) {
        if (i == 20000) return -1;
        pause_us(50);
    }
    int status = (int)(done[3] >> 17);
    if (++d->head[io] == ENTRIES) d->head[io] = 0, d->phase[io] ^= 1;
    doorbell(d, io, true, d->head[io]);
    return status;
}

int nvme_rw(struct nvme_disk *d, bool write, uint64_t lba, uint32_t blocks, uint64_t prp1, uint64_t prp2)
{
    uint32_t c[16] = {write ? 1 : 2, 1, [6] = (uint32_t)prp1, (uint32_t)(prp1 >> 32), (uint32_t)prp2, (uint32_t)(prp2 >> 32),
                      (uint32_t)lba, 0, blocks - 1};
    return nvme_do(d, true, c);
}

#include "nvme_driver.h"

static uint64_t doorbell(unsigned q, bool cq)
{
    return 0x1000 + q * 8 + (cq ? 4 : 0);
}

static void make(struct nvme_driver *d, unsigned q, uint32_t entries)
{
    d->q[q] = (struct driver_queue){.sq = rig_alloc(d->rig, entries * 64, 4096), .cq = rig_alloc(d->rig, entries * 16, 4096),
                                    .entries = entries, .phase = 1};
}

void driver_start(struct nvme_driver *d, struct rig *rig, uint32_t entries)
{
    *d = (struct nvme_driver){.rig = rig};
    d->page = rig_alloc(rig, 4096, 4096);
    guest_write(rig, NVME_CC, 0);
    while (rig->read(rig, 0x1c) & 1) rig->settle(rig);
    make(d, 0, entries);
    guest_write(rig, NVME_AQA, (entries - 1) << 16 | (entries - 1));
    guest_write64(rig, NVME_ASQ, d->q[0].sq);
    guest_write(rig, NVME_ACQ, (uint32_t)d->q[0].cq);
    guest_write(rig, NVME_ACQ + 4, (uint32_t)(d->q[0].cq >> 32));
    guest_write(rig, NVME_CC, 6u << 16 | 4u << 20 | 1);
    while (!(rig->read(rig, 0x1c) & 1)) rig->settle(rig);
}

void driver_stop(struct nvme_driver *d)
{
    guest_write(d->rig, NVME_CC, 6u << 16 | 4u << 20);
}

uint16_t driver_put(struct nvme_driver *d, unsigned q, struct nvme_command *c)
{
    struct driver_queue *dq = &d->q[q];
    c->id = d->id++;
    memcpy(rig_at(d->rig, dq->sq + dq->tail * 64), c, 64);
    dq->tail = (dq->tail + 1) % dq->entries;
    return c->id;
}

void driver_ring(struct nvme_driver *d, unsigned q)
{
    guest_write(d->rig, doorbell(q, false), d->q[q].tail);
}

struct nvme_completion driver_take(struct nvme_driver *d, unsigned q, bool ring)
{
    struct driver_queue *dq = &d->q[q];
    struct nvme_completion c;
    for (int tries = 0;; tries++) {
        memcpy(&c, rig_at(d->rig, dq->cq + dq->head * 16), 16);
        if ((c.status & 1) == dq->phase) break;
        CHECK(tries < 20000); /* the device does not answer */
        d->rig->settle(d->rig);
    }
    if (++dq->head == dq->entries) dq->head = 0, dq->phase ^= 1;
    if (ring) guest_write(d->rig, doorbell(q, true), dq->head);
    return c;
}

uint16_t driver_do(struct nvme_driver *d, unsigned q, struct nvme_command *c)
{
    uint16_t id = driver_put(d, q, c);
    driver_ring(d, q);
    struct nvme_completion done = driver_take(d, q, true);
    CHECK(done.id == id && done.sq == q);
    return done.status >> 1;
}

uint16_t driver_queue(struct nvme_driver *d, unsigned id, uint32_t entries)
{
    make(d, id, entries);
    struct nvme_command c = {.opcode = NVME_CREATE_CQ, .data = {d->q[id].cq}, .cdw10 = (entries - 1) << 16 | id, .cdw11 = 1};
    uint16_t status = driver_do(d, 0, &c);
    if (status) return status;
    c = (struct nvme_command){.opcode = NVME_CREATE_SQ, .data = {d->q[id].sq}, .cdw10 = (entries - 1) << 16 | id, .cdw11 = id << 16 | 1};
    return driver_do(d, 0, &c);
}

uint16_t driver_delete(struct nvme_driver *d, unsigned id)
{
    struct nvme_command c = {.opcode = NVME_DELETE_SQ, .cdw10 = id};
    uint16_t status = driver_do(d, 0, &c);
    if (status) return status;
    c = (struct nvme_command){.opcode = NVME_DELETE_CQ, .cdw10 = id};
    return driver_do(d, 0, &c);
}

uint16_t driver_identify(struct nvme_driver *d, uint32_t cns, uint32_t nsid)
{
    struct nvme_command c = {.opcode = NVME_IDENTIFY, .nsid = nsid, .data = {d->page}, .cdw10 = cns};
    return driver_do(d, 0, &c);
}

static uint64_t page(struct nvme_driver *d)
{
    if (rig_random(d->rig, 4) == 0) rig_alloc(d->rig, 4096, 4096); /* not always neighbours */
    return rig_alloc(d->rig, 4096, 4096);
}

static void prps(struct nvme_driver *d, struct nvme_command *c, uint64_t bytes, uint64_t *at)
{
    uint64_t offset = rig_random(d->rig, 8) * 512, pages = (offset + bytes + 4095) / 4096, first = page(d) + offset, list = 0, slot = 0;
    for (uint64_t done = 0, i = 0; i < pages; i++) {
        uint64_t gpa = i ? page(d) : first, room = i ? 4096 : 4096 - offset;
        if (i == 0) c->data[0] = gpa;
        else if (i == 1 && pages == 2) c->data[1] = gpa;
        else {
            if (i == 1) { /* a list, sometimes near the end of its page */
                slot = rig_random(d->rig, 2) ? 0 : 500 + rig_random(d->rig, 12);
                list = page(d);
                c->data[1] = list + slot * 8;
            } else if (slot == 511 && i + 1 < pages) {
                uint64_t more = page(d);
                memcpy(rig_at(d->rig, list + 511 * 8), &more, 8);
                list = more, slot = 0;
            }
            if (slot == 511 && i == 1 && i + 1 < pages) {
                uint64_t more = page(d);
                memcpy(rig_at(d->rig, list + 511 * 8), &more, 8);
                list = more, slot = 0;
            }
            memcpy(rig_at(d->rig, list + slot++ * 8), &gpa, 8);
        }
        for (uint64_t j = 0; j < room && done < bytes; j += 512, done += 512) *at++ = gpa + j;
    }
}

static void sgls(struct nvme_driver *d, struct nvme_command *c, uint64_t bytes, enum driver_shape shape, uint64_t *at)
{
    uint64_t descriptor[64][2], n = 0;
    uint64_t block = rig_alloc(d->rig, bytes + 512, 512);
    for (uint64_t i = 0; i < bytes; i += 512) *at++ = block + i;
    c->flags = 1 << 6;
    if (shape == DRIVER_SGL_BLOCK) {
        c->data[0] = block, c->data[1] = bytes;
        return;
    }
    for (uint64_t i = 0; i < bytes;) { /* pieces, some of no length */
        uint64_t left = bytes - i, part = n == 61 ? left : rig_random(d->rig, 3) ? 1 + rig_random(d->rig, left) : 0;
        descriptor[n][0] = block + i, descriptor[n++][1] = part;
        i += part;
    }
    uint64_t cut = rig_random(d->rig, n), first = rig_alloc(d->rig, (cut + 1) * 16, 16), last = rig_alloc(d->rig, (n - cut) * 16, 16);
    memcpy(rig_at(d->rig, first), descriptor, cut * 16);
    memcpy(rig_at(d->rig, last), descriptor + cut, (n - cut) * 16);
    uint64_t to_last[2] = {last, (n - cut) * 16 | UINT64_C(3) << 60};
    if (cut) {
        memcpy(rig_at(d->rig, first + cut * 16), to_last, 16);
        c->data[0] = first, c->data[1] = (cut + 1) * 16 | UINT64_C(2) << 60;
    } else {
        c->data[0] = to_last[0], c->data[1] = to_last[1];
    }
}

void driver_buffer(struct nvme_driver *d, struct nvme_command *c, uint64_t bytes, enum driver_shape shape, uint64_t *at)
{
    if (shape == DRIVER_PRP) prps(d, c, bytes, at);
    else sgls(d, c, bytes, shape, at);
}

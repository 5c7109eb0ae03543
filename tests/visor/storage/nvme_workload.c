#include "nvme_workload.h"

#define BATCH 24

/* One random command over whole blocks of 4096 that no other of this batch touches. */
static struct nvme_command random_command(struct nvme_workload *m, uint32_t nsid, uint64_t first, uint64_t blocks)
{
    struct rig *rig = &m->rig;
    struct workload_namespace *ns = &m->ns[nsid - 1];
    struct nvme_command c = {.nsid = nsid};
    uint64_t per = 4096 >> ns->lba_bits, lba = first * per, n = blocks * per, kind = rig_random(rig, 10);
    if (per > 1 && rig_random(rig, 2)) { /* not all of it */
        lba += rig_random(rig, per);
        n = 1 + rig_random(rig, first * per + n - lba);
    }
    c.cdw10 = (uint32_t)lba, c.cdw11 = (uint32_t)(lba >> 32), c.cdw12 = (uint32_t)(n - 1);
    if (kind == 0) c.opcode = NVME_WRITE_ZEROES;
    if (kind == 1) {
        uint64_t ranges = 1 + rig_random(rig, n < 4 ? n : 4), at = rig_alloc(rig, ranges * 16, 16);
        for (uint64_t i = 0; i < ranges; i++) {
            uint64_t d[2] = {(n / ranges) << 32, lba + i * (n / ranges)};
            memcpy(rig_at(rig, at + i * 16), d, 16);
        }
        c.opcode = NVME_DATASET, c.cdw10 = (uint32_t)ranges - 1, c.cdw11 = 4, c.cdw12 = 0;
        c.data[0] = at, c.data[1] = (at + ranges * 16 - 1) / 4096 != at / 4096 ? at / 4096 * 4096 + 4096 : 0;
    }
    if (kind > 1) {
        uint64_t at[1024], bytes = n << ns->lba_bits, moved = bytes + (ns->extended ? n * ns->metadata : 0);
        c.opcode = kind == 2 ? NVME_READ : NVME_WRITE;
        if (rig_random(rig, 4) == 0) c.cdw12 |= 1u << 30;
        driver_buffer(&m->driver, &c, moved, (enum driver_shape)rig_random(rig, 3), at);
        for (uint64_t i = 0; i < (moved + 511) / 512; i++)
            for (unsigned j = 0; j < 512; j += 8) {
                uint64_t word = unit_random(&rig->seed);
                memcpy(rig_at(rig, at[i] + j), &word, 8);
            }
    }
    return c;
}

struct sent {
    uint16_t id, queue;
    uint32_t nsid;
    uint64_t first, blocks;
};

void nvme_workload_batch(struct nvme_workload *m)
{
    struct sent sent[BATCH];
    unsigned n = 1 + (unsigned)rig_random(&m->rig, BATCH), ring[DRIVER_QUEUES] = {0};
    for (unsigned i = 0; i < n; i++) {
        uint32_t nsid = 1 + (uint32_t)rig_random(&m->rig, m->namespaces);
        uint64_t slice = m->ns[nsid - 1].bytes / 4096 / BATCH, blocks = 1 + rig_random(&m->rig, rig_random(&m->rig, 6) ? 3 : slice);
        uint64_t first = slice * i + rig_random(&m->rig, slice - blocks + 1);
        struct nvme_command c = random_command(m, nsid, first, blocks);
        unsigned q = 1 + (unsigned)rig_random(&m->rig, m->queues);
        sent[i] = (struct sent){.queue = (uint16_t)q, .nsid = nsid, .first = first, .blocks = blocks};
        sent[i].id = driver_put(&m->driver, q, &c);
        ring[q]++;
        if (rig_random(&m->rig, 3) == 0) driver_ring(&m->driver, q);
    }
    m->commands += n;
    for (unsigned q = 1; q <= m->queues; q++) {
        if (ring[q]) driver_ring(&m->driver, q);
        for (unsigned i = 0; i < ring[q]; i++) {
            struct nvme_completion c = driver_take(&m->driver, q, i + 1 == ring[q] || rig_random(&m->rig, 2));
            for (unsigned j = 0; j < n && c.status >> 1; j++)
                if (sent[j].id == c.id && sent[j].queue == q)
                    memset(m->failed[sent[j].nsid - 1] + sent[j].first, 1, sent[j].blocks);
        }
    }
}

void nvme_workload_compare(struct nvme_workload *m)
{
    for (unsigned i = 0; i < m->namespaces; i++) {
        uint64_t unknown = rig_compare(&m->rig, i + 1, m->ns[i].disk, m->ns[i].bytes);
        struct rig_unit *u = rig_unit(&m->rig, i + 1);
        for (uint64_t b = 0; b < m->ns[i].bytes / 4096; b++) CHECK(!u->unknown[b] || m->failed[i][b]);
        if (!m->failures) CHECK(unknown == 0);
    }
    CHECK(m->rig.own_touched == 0);
}

void nvme_workload_start(struct nvme_workload *m)
{
    m->rig.next = 1 << 20;
    driver_start(&m->driver, &m->rig, 2 + (uint32_t)rig_random(&m->rig, 30));
    CHECK(driver_identify(&m->driver, 1, 0) == 0);
    CHECK(!(*(uint8_t *)rig_at(&m->rig, m->driver.page + 257) & 1)); /* doorbell buffers are hidden */
    for (uint32_t i = 1; i <= m->namespaces; i++) CHECK(driver_identify(&m->driver, 0, i) == 0);
    m->queues = 1 + (unsigned)rig_random(&m->rig, DRIVER_QUEUES - 1);
    for (unsigned i = 1; i <= m->queues; i++) CHECK(driver_queue(&m->driver, i, BATCH + 2 + (uint32_t)rig_random(&m->rig, 20)) == 0);
}

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    return nvme_write(mediator, offset, width, value);
}

void nvme_workload_init(struct nvme_workload *m)
{
    struct storage_port port = rig_port(&m->rig);
    CHECK((m->mediator = malloc(sizeof *m->mediator)));
    m->rig.mediator = m->mediator;
    m->rig.mediate = mediate;
    nvme_init(m->mediator, &port, 0);
    for (unsigned i = 0; i < m->namespaces; i++) CHECK((m->failed[i] = calloc(1, m->ns[i].bytes / 4096)));
    nvme_workload_start(m);
}

void nvme_workload_run(struct nvme_workload *m, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        nvme_workload_batch(m);
        if (m->rig.next > m->rig.ram_bytes / 4 * 3) { /* the memory is used up */
            driver_stop(&m->driver);
            nvme_workload_start(m);
        } else if (rig_random(&m->rig, 20) == 0) {
            unsigned q = 1 + (unsigned)rig_random(&m->rig, m->queues);
            CHECK(driver_delete(&m->driver, q) == 0);
            CHECK(driver_queue(&m->driver, q, BATCH + 2) == 0);
        }
        if (i % 10 == 0) nvme_workload_compare(m);
    }
    driver_stop(&m->driver);
    nvme_workload_compare(m);
    CHECK(m->failures || m->mediator->storage.count.gaps == 0);
}

void nvme_workload_fini(struct nvme_workload *m)
{
    const struct storage_count *c = &m->mediator->storage.count;
    printf("%llu commands, %llu events, %llu gaps, %llu failed\n", (unsigned long long)m->commands, (unsigned long long)c->blocks,
           (unsigned long long)c->gaps, (unsigned long long)c->failed);
    for (unsigned i = 0; i < m->namespaces; i++) free(m->failed[i]);
    rig_fini(&m->rig);
    free(m->mediator);
}

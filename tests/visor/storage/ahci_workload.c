#include "ahci_workload.h"

static const uint8_t writes[] = {0x30, 0xca, 0xc5, 0x34, 0x35, 0x39, 0x3d, 0xce} /* the last two with FUA */, reads[] = {0x20, 0xc8, 0xc4, 0x24, 0x25, 0x29};

static void fill(struct ahci_workload *m, unsigned port, unsigned slot, uint64_t first, uint64_t blocks, bool ncq)
{
    struct rig *rig = &m->rig;
    uint32_t lba_bytes = m->disk[port].lba_bytes;
    uint64_t per = 4096 / lba_bytes, lba = first * per, n = blocks * per, kind = rig_random(rig, 10), at[512], range[64] = {0};
    if (per > 1 && rig_random(rig, 2)) {
        lba += rig_random(rig, per);
        n = 1 + rig_random(rig, first * per + blocks * per - lba);
    }
    bool trim = kind == 0 && !(ncq && m->disk[port].plain);
    struct ata c = {.lba = lba, .count = (uint32_t)n, .bytes = (uint32_t)n * lba_bytes};
    if (trim) {
        c = (struct ata){.opcode = ncq ? 0x64 : 0x06, .count = 1, .features = 1, .bytes = 512, .write = true, .auxiliary = 1};
        for (unsigned i = 0; i < 2; i++) range[i * 3] = (lba + i * (n / 2)) | (i ? n - n / 2 : n / 2) << 48;
    } else if (kind == 1) {
        c.opcode = ncq ? 0x60 : reads[rig_random(rig, sizeof reads)];
    } else {
        c.opcode = ncq ? 0x61 : writes[rig_random(rig, sizeof writes - (m->disk[port].plain ? 2 : 0))];
        c.write = true;
        c.fua = rig_random(rig, 2);
    }
    ahci_driver_put(&m->driver[port], slot, &c, at);
    for (uint32_t i = 0; i < c.bytes / 512; i++)
        for (unsigned j = 0; j < 512; j += 8) {
            uint64_t word = trim ? range[j / 8] : unit_random(&rig->seed);
            memcpy(rig_at(rig, at[i] + j), &word, 8);
        }
}

void ahci_workload_batch(struct ahci_workload *m)
{
    unsigned port = (unsigned)rig_random(&m->rig, m->disks), n = 1 + (unsigned)rig_random(&m->rig, m->depth);
    struct ahci_driver *d = &m->driver[port];
    uint64_t slice = m->disk[port].bytes / 4096 / AHCI_SLOTS, first[AHCI_SLOTS], blocks[AHCI_SLOTS];
    bool ncq = rig_random(&m->rig, 2);
    uint32_t ready = 0, failed = 0;
    for (unsigned i = 0; i < n; i++) {
        blocks[i] = 1 + rig_random(&m->rig, slice);
        first[i] = slice * i + rig_random(&m->rig, slice - blocks[i] + 1);
        fill(m, port, i, first[i], blocks[i], ncq);
        ready |= 1u << i;
        if (rig_random(&m->rig, 3) == 0) ahci_driver_issue(d, ready, ncq), ready = 0;
    }
    if (ready) ahci_driver_issue(d, ready, ncq);
    while (d->busy) {
        ahci_driver_wait(d, &failed);
        for (unsigned i = 0; i < n; i++)
            if (failed >> i & 1) memset(m->failed[port] + first[i], 1, blocks[i]);
    }
    m->commands += n;
}

void ahci_workload_compare(struct ahci_workload *m)
{
    for (unsigned i = 0; i < m->disks; i++) {
        uint64_t unknown = rig_compare(&m->rig, i + 1, m->disk[i].content, m->disk[i].bytes);
        struct rig_unit *u = rig_unit(&m->rig, i + 1);
        for (uint64_t b = 0; b < m->disk[i].bytes / 4096; b++) CHECK(!u->unknown[b] || m->failed[i][b]);
        if (!m->failures) CHECK(unknown == 0);
    }
    CHECK(m->rig.own_touched == 0);
}

void ahci_workload_start(struct ahci_workload *m)
{
    struct ata identify = {.opcode = 0xec, .bytes = 512}, multiple = {.opcode = 0xc6, .count = 16};
    m->rig.next = 1 << 20;
    ahci_driver_reset(&m->rig);
    for (unsigned i = 0; i < m->disks; i++) {
        ahci_driver_start(&m->driver[i], &m->rig, i);
        CHECK(ahci_driver_do(&m->driver[i], &identify, NULL));
        CHECK(ahci_driver_do(&m->driver[i], &multiple, NULL));
    }
}

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    return ahci_write(mediator, offset, width, value);
}

void ahci_workload_init(struct ahci_workload *m)
{
    struct storage_port port = rig_port(&m->rig);
    CHECK((m->mediator = malloc(sizeof *m->mediator)));
    m->rig.mediator = m->mediator;
    m->rig.mediate = mediate;
    ahci_init(m->mediator, &port, 0);
    for (unsigned i = 0; i < m->disks; i++) CHECK((m->failed[i] = calloc(1, m->disk[i].bytes / 4096)));
    ahci_workload_start(m);
}

void ahci_workload_run(struct ahci_workload *m, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        ahci_workload_batch(m);
        if (m->rig.next > m->rig.ram_bytes / 4 * 3) ahci_workload_start(m);
        if (i % 10 == 0) ahci_workload_compare(m);
    }
    ahci_workload_compare(m);
    CHECK(m->failures || m->mediator->storage.count.gaps == 0);
}

void ahci_workload_fini(struct ahci_workload *m)
{
    const struct storage_count *c = &m->mediator->storage.count;
    ahci_stop(m->mediator);
    printf("%llu commands, %llu events, %llu gaps, %llu failed\n", (unsigned long long)m->commands, (unsigned long long)c->blocks,
           (unsigned long long)c->gaps, (unsigned long long)c->failed);
    for (unsigned i = 0; i < m->disks; i++) free(m->failed[i]);
    rig_fini(&m->rig);
    free(m->mediator);
}

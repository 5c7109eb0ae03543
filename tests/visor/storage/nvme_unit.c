/* Each command and each trick by itself, against the fake controller. */
#include "nvme_fake.h"

struct test {
    struct rig rig;
    struct nvme_fake fake;
    struct nvme_driver d;
    struct nvme *n;
    uint8_t *ram;
};

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    return nvme_write(mediator, offset, width, value);
}

static void attach(struct test *t)
{
    struct storage_port port = rig_port(&t->rig);
    nvme_init(t->n, &port, 7);
}

/* A machine whose controller has one pair of queues and has been looked at. */
static void begin(struct test *t)
{
    CHECK((t->ram = malloc(64 << 20)) && (t->n = malloc(sizeof *t->n)));
    rig_init(&t->rig, t->ram, 64 << 20, 1);
    fake_init(&t->fake, &t->rig);
    t->rig.mediator = t->n;
    t->rig.mediate = mediate;
    attach(t);
    driver_start(&t->d, &t->rig, 16);
    CHECK(driver_identify(&t->d, 1, 0) == 0);
    for (uint32_t i = 1; i <= WORKLOAD_NAMESPACES; i++) CHECK(driver_identify(&t->d, 0, i) == 0);
    CHECK(driver_queue(&t->d, 1, 16) == 0);
    memset(t->rig.events, 0, sizeof t->rig.events);
}

static void end(struct test *t)
{
    CHECK(t->rig.own_touched == 0);
    for (unsigned i = 0; i < WORKLOAD_NAMESPACES; i++) rig_compare(&t->rig, i + 1, t->fake.ns[i].disk, t->fake.ns[i].bytes);
    rig_fini(&t->rig);
    fake_fini(&t->fake);
    free(t->n);
    free(t->ram);
}

/* One command of a page or less from d.page; the status. */
static uint16_t io(struct test *t, uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t blocks, uint32_t cdw12)
{
    struct nvme_command c = {.opcode = opcode, .nsid = nsid, .data = {t->d.page}, .cdw10 = (uint32_t)lba, .cdw11 = (uint32_t)(lba >> 32),
                             .cdw12 = (blocks - 1) | cdw12};
    return driver_do(&t->d, 1, &c);
}

static bool last_is(const struct test *t, uint8_t op, uint32_t unit, uint64_t lba, uint64_t sectors)
{
    const struct visor_block *b = &t->rig.last;
    return b->op == op && b->unit == unit && b->lba == lba && b->sectors == sectors && b->device == 7;
}

static void announced(void)
{
    struct test t = {0};
    begin(&t);
    CHECK(t.rig.units == 3 && t.rig.unit[0].sectors == 8192 && t.rig.unit[1].sectors == 8192 && t.rig.unit[1].id == 2);
    CHECK(strcmp(t.rig.unit[0].name, "disk:FAKE_0001n1") == 0);
    uint64_t cap = NVME_CAP_CMBS | NVME_CAP_PMRS | 1023, half = 0xffffffff;
    nvme_read(t.n, NVME_CAP, 8, &cap);
    CHECK(cap == 1023);
    nvme_read(t.n, NVME_CMBSZ, 4, &half);
    CHECK(half == 0);
    end(&t);
}

static void commands(void)
{
    struct test t = {0};
    begin(&t);
    memset(rig_at(&t.rig, t.d.page), 'a', 4096);
    CHECK(io(&t, NVME_WRITE, 1, 8, 8, 1u << 30) == 0 && last_is(&t, CHV_OP_WRITE, 1, 8, 8));
    CHECK(t.rig.last.flags == CHV_EVENT_FUA && t.rig.last_data[0] == 'a' && t.rig.last_data[4095] == 'a');
    CHECK(io(&t, NVME_WRITE, 1, 6, 4, 0) == 0 && last_is(&t, CHV_OP_WRITE, 1, 8, 2));
    CHECK(t.rig.last.flags == (CHV_EVENT_PARTIAL | CHV_EVENT_CONTINUED) && t.rig.events[CHV_OP_WRITE] == 3);
    CHECK(io(&t, NVME_WRITE, 2, 5, 1, 0) == 0 && last_is(&t, CHV_OP_WRITE, 2, 40, 8));
    CHECK(io(&t, NVME_READ, 1, 3, 2, 0) == 0 && last_is(&t, CHV_OP_READ, 1, 3, 2));
    CHECK(io(&t, NVME_FLUSH, NVME_NS_ALL, 0, 1, 0) == 0 && last_is(&t, CHV_OP_FLUSH, VISOR_UNIT_ALL, 0, 0));
    CHECK(io(&t, NVME_WRITE_ZEROES, 1, 8, 16, 0) == 0 && last_is(&t, CHV_OP_ZERO, 1, 8, 16));
    CHECK(t.n->storage.count.gaps == 0);

    CHECK(io(&t, NVME_WRITE_UNCORRECTABLE, 1, 17, 3, 0) != 0 && last_is(&t, CHV_OP_GAP, 1, 16, 8)); /* and the fake has none: failed */
    uint64_t failed = t.n->storage.count.failed;
    CHECK(failed == 1);
    CHECK(io(&t, NVME_WRITE, 1, 8191, 2, 0) != 0 && last_is(&t, CHV_OP_GAP, 1, 8184, 16)); /* beyond its end: failed */
    CHECK(t.rig.last.reason == CHV_GAP_FAILED && t.n->storage.count.failed == failed + 1);
    CHECK(io(&t, NVME_COPY, 1, 0, 1, 0) != 0 && last_is(&t, CHV_OP_GAP, 1, 0, 0) && t.rig.last.reason == CHV_GAP_UNKNOWN);
    CHECK(io(&t, 0x7d, 2, 0, 1, 0) != 0 && last_is(&t, CHV_OP_GAP, 2, 0, 0)); /* Zone Append */
    CHECK(io(&t, NVME_WRITE, 9, 0, 1, 0) != 0 && last_is(&t, CHV_OP_GAP, 9, 0, 0)); /* no such namespace */
    uint64_t gaps = t.n->storage.count.gaps;
    CHECK(io(&t, NVME_WRITE, 9, 0, 1, 0) != 0 && t.n->storage.count.gaps == gaps); /* the same once more says nothing new */
    end(&t);
}

static void admin(void)
{
    struct test t = {0};
    begin(&t);
    struct nvme_command c = {.opcode = NVME_DOORBELL_BUFFER, .data = {t.d.page, t.d.page}};
    CHECK(driver_do(&t.d, 0, &c) == 1 && t.fake.refused == 1); /* the fake has it, but never saw it */
    c = (struct nvme_command){.opcode = 0xc1};
    CHECK(driver_do(&t.d, 0, &c) == 1 && last_is(&t, CHV_OP_GAP, VISOR_UNIT_ALL, 0, 0));
    c = (struct nvme_command){.opcode = NVME_SET_FEATURES, .cdw10 = 7, .cdw11 = 0xffffffff};
    CHECK(driver_do(&t.d, 0, &c) == 0);
    CHECK(driver_queue(&t.d, 2, 1 << 7) == 0);
    c = (struct nvme_command){.opcode = NVME_CREATE_CQ, .data = {t.d.page}, .cdw10 = 200, .cdw11 = 1};
    CHECK(driver_do(&t.d, 0, &c) == 1); /* more queues than we follow: no such thing */

    /* After Format the blocks may have another size, and the first size is the only one that is believed. */
    memset(rig_at(&t.rig, t.d.page), 'b', 4096);
    CHECK(io(&t, NVME_WRITE, 1, 0, 8, 0) == 0);
    c = (struct nvme_command){.opcode = NVME_FORMAT, .nsid = 1};
    CHECK(driver_do(&t.d, 0, &c) == 0 && last_is(&t, CHV_OP_GAP, 1, 0, 0));
    CHECK(io(&t, NVME_WRITE, 1, 0, 8, 0) == 0 && last_is(&t, CHV_OP_WRITE, 1, 0, 8));
    t.fake.ns[0].lba_bits = 12;
    CHECK(driver_identify(&t.d, 0, 1) == 0 && last_is(&t, CHV_OP_GAP, 1, 0, 0));
    CHECK(io(&t, NVME_WRITE, 2, 0, 1, 0) == 0);
    CHECK(io(&t, NVME_WRITE, 1, 0, 1, 0) == 0 && last_is(&t, CHV_OP_GAP, 1, 0, 0));
    end(&t);
}

static void trims(void)
{
    struct test t = {0};
    begin(&t);
    uint64_t d[2] = {UINT64_C(20) << 32, 6};
    memcpy(rig_at(&t.rig, t.d.page), d, 16);
    struct nvme_command c = {.opcode = NVME_DATASET, .nsid = 1, .data = {t.d.page}, .cdw11 = 4};
    CHECK(driver_do(&t.d, 1, &c) == 0 && t.rig.events[CHV_OP_TRIM] == 1 && t.rig.events[CHV_OP_WRITE] == 2 && t.rig.events[CHV_OP_GAP] == 0);
    nvme_namespace(t.n, 1)->trim_zeroes = false;
    CHECK(driver_do(&t.d, 1, &c) == 0 && last_is(&t, CHV_OP_GAP, 1, 0, 32));
    t.n->trust_trim = true;
    CHECK(driver_do(&t.d, 1, &c) == 0 && t.rig.events[CHV_OP_TRIM] == 2);
    end(&t);
}

/* No command makes the device read or write the hypervisor's memory, nor memory that is not there. */
static void memory(void)
{
    struct test t = {0};
    begin(&t);
    uint64_t own = t.rig.own, page = t.d.page, list = rig_alloc(&t.rig, 4096, 4096), out = t.rig.ram_bytes + (1 << 20);
    uint64_t entries[3] = {page, own, page};
    memcpy(rig_at(&t.rig, list), entries, sizeof entries);
    struct {
        uint64_t data[2];
        uint8_t flags;
    } bad[] = {{{own, 0}, 0}, {{own - 512, own}, 0}, {{page, own + 64}, 0}, {{page, list}, 0}, {{own + 512, 16384}, 1 << 6}, {{page, UINT64_MAX - 7}, 0},
               {{own, 16384 | UINT64_C(3) << 60}, 1 << 6}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        for (uint8_t op = NVME_WRITE; op <= NVME_READ; op++) {
            struct nvme_command c = {.opcode = op, .nsid = 1, .flags = bad[i].flags, .data = {bad[i].data[0], bad[i].data[1]}, .cdw12 = 31};
            CHECK(driver_do(&t.d, 1, &c) != 0);
        }
    uint64_t refused = t.n->storage.count.refused;
    CHECK(refused == 14);
    struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {page, out}, .cdw12 = 15};
    CHECK(driver_do(&t.d, 1, &c) != 0 && last_is(&t, CHV_OP_GAP, 1, 0, 16));
    c = (struct nvme_command){.opcode = NVME_IDENTIFY, .data = {own}, .cdw10 = 1};
    CHECK(driver_do(&t.d, 0, &c) == 1);
    c = (struct nvme_command){.opcode = NVME_CREATE_CQ, .data = {own}, .cdw10 = 15 << 16 | 3, .cdw11 = 1};
    CHECK(driver_do(&t.d, 0, &c) == 1);
    c.data[0] = out; /* a queue in a device's memory */
    CHECK(driver_do(&t.d, 0, &c) == 1 && t.n->storage.count.refused == refused + 3);

    /* A list that goes round: as many pages as the transfer has, and no more. */
    uint64_t ring = rig_alloc(&t.rig, 4096, 4096);
    for (unsigned i = 0; i < 512; i++) memcpy(rig_at(&t.rig, ring + i * 8), &ring, 8);
    c = (struct nvme_command){.opcode = NVME_WRITE, .nsid = 2, .data = {page, ring}, .cdw12 = 200};
    CHECK(driver_do(&t.d, 1, &c) == 0 && last_is(&t, CHV_OP_WRITE, 2, 1600, 8));

    /* The pointer to the next list is to the begin of a page. */
    uint64_t last = rig_alloc(&t.rig, 4096, 4096), next = ring + 8;
    memcpy(rig_at(&t.rig, last + 4088), &next, 8);
    c = (struct nvme_command){.opcode = NVME_WRITE, .nsid = 2, .data = {page, last + 4088}, .cdw12 = 2};
    CHECK(driver_do(&t.d, 1, &c) == 1 && last_is(&t, CHV_OP_GAP, 2, 0, 24));

    /* Admin queues there: the controller is not enabled. */
    driver_stop(&t.d);
    guest_write64(&t.rig, NVME_ACQ, own);
    guest_write(&t.rig, NVME_CC, 6u << 16 | 4u << 20 | 1);
    CHECK(!(t.fake.cc & 1));
    end(&t);
}

static void doorbells(void)
{
    struct test t = {0};
    begin(&t);
    t.fake.lazy = true;
    guest_write(&t.rig, 0x1008, 16); /* there are 16: 0 to 15 */
    guest_write(&t.rig, 0x1008, 0xffff0001);
    guest_write64(&t.rig, 0x1008, 1);
    guest_write(&t.rig, 0x1000 + NVME_QUEUES_MAX * 8, 1);
    CHECK(t.n->storage.count.malformed == 4 && t.fake.sq[1].tail == 0);

    /* Reset with a write under way: it may be there. */
    struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {t.d.page}, .cdw10 = 80, .cdw12 = 7};
    driver_put(&t.d, 1, &c);
    driver_ring(&t.d, 1);
    CHECK(last_is(&t, CHV_OP_WRITE, 1, 80, 8));
    driver_stop(&t.d);
    CHECK(last_is(&t, CHV_OP_GAP, 1, 80, 8) && t.rig.last.reason == CHV_GAP_FAILED);
    end(&t);
}

/* A controller that is already enabled when we come: what goes through its queues is a gap, until it is reset. */
static void late(void)
{
    struct test t = {0};
    begin(&t);
    attach(&t);
    CHECK(io(&t, NVME_WRITE, 1, 0, 8, 0) == 0 && last_is(&t, CHV_OP_GAP, VISOR_UNIT_ALL, 0, 0));
    driver_start(&t.d, &t.rig, 16);
    CHECK(driver_identify(&t.d, 0, 1) == 0 && driver_queue(&t.d, 1, 16) == 0);
    CHECK(io(&t, NVME_WRITE, 1, 0, 8, 0) == 0 && last_is(&t, CHV_OP_WRITE, 1, 0, 8));
    end(&t);
}

/* A write fails; the guest writes anew before it acknowledges that. The gap comes before what was written anew. */
static void again(void)
{
    struct test t = {0};
    begin(&t);
    t.fake.fail_percent = 100;
    struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {t.d.page}, .cdw10 = 16, .cdw12 = 7};
    driver_put(&t.d, 1, &c);
    driver_ring(&t.d, 1);
    CHECK(driver_take(&t.d, 1, false).status >> 1 && last_is(&t, CHV_OP_WRITE, 1, 16, 8));
    t.fake.fail_percent = 0;
    CHECK(driver_do(&t.d, 1, &c) == 0 && last_is(&t, CHV_OP_WRITE, 1, 16, 8));
    CHECK(t.rig.events[CHV_OP_GAP] == 1 && !t.rig.unit[0].unknown[2]);
    end(&t);
}

static void forge(struct test *t, uint16_t status) /* the answer to the last admin command, before the mediator has read it */
{
    struct driver_queue *q = &t->d.q[0];
    struct nvme_completion c;
    memcpy(&c, rig_at(&t->rig, q->cq + q->head * 16), 16);
    c.status = (uint16_t)(status << 1 | (c.status & 1));
    memcpy(rig_at(&t->rig, q->cq + q->head * 16), &c, 16);
    driver_take(&t->d, 0, true);
}

/* A write through this queue: the device hears nothing of it, for nobody has looked at where it points. */
static void unheard(struct test *t, unsigned q)
{
    struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {t->rig.own}, .cdw12 = 7};
    uint32_t tail = t->fake.sq[q].tail;
    uint64_t dropped = t->n->storage.count.malformed;
    driver_put(&t->d, q, &c);
    driver_ring(&t->d, q);
    CHECK(t->n->storage.count.malformed == dropped + 1 && t->fake.sq[q].tail == tail);
}

/* A guest that forges answers to make us look at another queue than the device: nothing passes there any more. */
static void forged(void)
{
    struct test t = {0};
    begin(&t);
    uint64_t real = t.d.q[1].sq, other = rig_alloc(&t.rig, 4096, 4096);
    struct nvme_command c = {.opcode = NVME_DELETE_SQ, .cdw10 = 1};
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    forge(&t, 1); /* "failed": but the queue is gone */
    c = (struct nvme_command){.opcode = NVME_CREATE_SQ, .data = {other}, .cdw10 = 15 << 16 | 1, .cdw11 = 1 << 16 | 1};
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    forge(&t, 1); /* "failed": but it is another one */
    CHECK(t.fake.sq[1].base == other);
    t.d.q[1].sq = other, t.d.q[1].tail = 0;
    (void)real;
    unheard(&t, 1);
    end(&t);

    begin(&t); /* a queue that could not be made, and then, elsewhere, it could */
    other = rig_alloc(&t.rig, 4096, 4096);
    CHECK(driver_delete(&t.d, 1) == 0 && driver_queue(&t.d, 3, 16) == 0);
    c = (struct nvme_command){.opcode = NVME_CREATE_SQ, .data = {t.d.q[1].sq}, .cdw10 = 15 << 16 | 1, .cdw11 = 3 << 16 | 1};
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    forge(&t, 1);
    c.data[0] = other;
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    forge(&t, 0);
    CHECK(t.fake.sq[1].base == t.d.q[1].sq);
    t.d.q[1].tail = 0;
    unheard(&t, 1);
    end(&t);

    begin(&t); /* a queue that does not exist, and then it does, elsewhere */
    other = rig_alloc(&t.rig, 4096, 4096);
    c = (struct nvme_command){.opcode = NVME_CREATE_SQ, .data = {other}, .cdw10 = 15 << 16 | 2, .cdw11 = 5 << 16 | 1};
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    forge(&t, 0); /* "made", but its completion queue does not exist */
    CHECK(t.fake.sq[2].entries == 0);
    CHECK(driver_queue(&t.d, 2, 16) == 0);
    unheard(&t, 2);
    end(&t);
}

/* A controller that has no subsystem reset goes on as it was when it is told to do one. */
static void no_reset(void)
{
    struct test t = {0};
    begin(&t);
    guest_write(&t.rig, NVME_NSSR, NVME_NSSR_RESET);
    memset(rig_at(&t.rig, t.d.page), 'c', 4096);
    CHECK(io(&t, NVME_WRITE, 1, 8, 8, 0) == 0 && last_is(&t, CHV_OP_WRITE, 1, 8, 8));
    end(&t);
}

/* Its registers were somewhere else meanwhile, where something else may have answered: nothing passes until it is reset for real. */
static void moved(void)
{
    struct test t = {0};
    begin(&t);
    nvme_moved(t.n);
    struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {t.rig.own}, .cdw12 = 7};
    for (unsigned q = 0; q < 2; q++) {
        driver_put(&t.d, q, &c);
        driver_ring(&t.d, q);
    }
    guest_write(&t.rig, NVME_CC, 6u << 16 | 4u << 20 | 1); /* it is enabled still: no reset */
    driver_put(&t.d, 0, &c);
    driver_ring(&t.d, 0);
    CHECK(t.n->storage.count.malformed == 4);
    driver_start(&t.d, &t.rig, 16);
    CHECK(driver_identify(&t.d, 0, 1) == 0 && driver_queue(&t.d, 1, 16) == 0);
    CHECK(io(&t, NVME_WRITE, 1, 0, 8, 0) == 0 && last_is(&t, CHV_OP_WRITE, 1, 0, 8));
    end(&t);
}

/* A queue whose end is in a device's memory: what was there is never caught up with. */
static void beyond(void)
{
    struct test t = {0};
    begin(&t);
    t.d.q[1].tail = 15;
    t.n->sq[1].base = t.rig.ram_bytes - 64;
    guest_write(&t.rig, 0x1008, 3);
    CHECK(last_is(&t, CHV_OP_GAP, VISOR_UNIT_ALL, 0, 0) && t.fake.sq[1].tail == 0);
    guest_write(&t.rig, 0x1008, 1);
    CHECK(t.fake.sq[1].tail == 0);
    end(&t);
}

int main(void)
{
    announced();
    commands();
    admin();
    trims();
    memory();
    doorbells();
    late();
    again();
    forged();
    no_reset();
    moved();
    beyond();
    return 0;
}

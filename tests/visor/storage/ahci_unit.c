/* Each command and each trick by itself, against the fake controller. */
#include "ahci_fake.h"

struct test {
    struct rig rig;
    struct ahci_fake fake;
    struct ahci_driver d[2];
    struct ahci *a;
    uint8_t *ram;
};

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    return ahci_write(mediator, offset, width, value);
}

static void begin(struct test *t)
{
    struct ata identify = {.opcode = 0xec, .bytes = 512};
    CHECK((t->ram = malloc(64 << 20)) && (t->a = malloc(sizeof *t->a)));
    rig_init(&t->rig, t->ram, 64 << 20, 1);
    ahci_fake_init(&t->fake, &t->rig);
    t->rig.mediator = t->a;
    t->rig.mediate = mediate;
    struct storage_port port = rig_port(&t->rig);
    ahci_init(t->a, &port, 7);
    ahci_driver_reset(&t->rig);
    for (unsigned i = 0; i < 2; i++) {
        ahci_driver_start(&t->d[i], &t->rig, i);
        CHECK(ahci_driver_do(&t->d[i], &identify, NULL));
    }
    memset(t->rig.events, 0, sizeof t->rig.events);
}

static void end(struct test *t)
{
    CHECK(t->rig.own_touched == 0);
    for (unsigned i = 0; i < 2; i++) rig_compare(&t->rig, i + 1, t->fake.disk[i].content, t->fake.disk[i].bytes);
    rig_fini(&t->rig);
    ahci_fake_fini(&t->fake);
    free(t->a);
    free(t->ram);
}

static bool ata(struct test *t, unsigned port, uint8_t opcode, uint64_t lba, uint32_t count, uint32_t bytes)
{
    struct ata c = {.opcode = opcode, .lba = lba, .count = count, .bytes = bytes};
    return ahci_driver_do(&t->d[port], &c, NULL);
}

static bool last_is(const struct test *t, uint8_t op, uint32_t unit, uint64_t lba, uint64_t sectors)
{
    const struct visor_block *b = &t->rig.last;
    return b->op == op && b->unit == unit && b->lba == lba && b->sectors == sectors && b->device == 7;
}

static void commands(void)
{
    struct test t = {0};
    begin(&t);
    CHECK(t.rig.units == 2 && t.rig.unit[0].sectors == 8192 && t.rig.unit[1].sectors == 8192 && t.rig.unit[1].id == 2);
    CHECK(strcmp(t.rig.unit[0].name, "disk:FAFAFAFA") == 0);
    static const uint8_t opcodes[] = {0x30, 0xca, 0xc5, 0x34, 0x35, 0x39, 0x3d, 0xce, 0x61};
    for (unsigned i = 0; i < sizeof opcodes; i++) {
        CHECK(ata(&t, 0, opcodes[i], 16, 8, 4096) && last_is(&t, CHV_OP_WRITE, 1, 16, 8));
        CHECK(t.rig.last.flags == (opcodes[i] == 0x3d || opcodes[i] == 0xce ? CHV_EVENT_FUA : 0));
    }
    CHECK(ata(&t, 0, 0xca, 100, 0, 256 * 512) && last_is(&t, CHV_OP_WRITE, 1, 352, 4)); /* 0 is 256 */
    CHECK(ata(&t, 0, 0x35, 1024, 2048, 1 << 20) && last_is(&t, CHV_OP_WRITE, 1, 3064, 8)); /* most of it in one PRD */
    CHECK(ata(&t, 1, 0x35, 3, 2, 8192) && last_is(&t, CHV_OP_WRITE, 2, 32, 8));
    CHECK(ata(&t, 0, 0x25, 5, 3, 1536) && last_is(&t, CHV_OP_READ, 1, 5, 3));
    CHECK(ata(&t, 0, 0x60, 5, 3, 1536) && last_is(&t, CHV_OP_READ, 1, 5, 3));
    CHECK(ata(&t, 0, 0xea, 0, 0, 0) && last_is(&t, CHV_OP_FLUSH, 1, 0, 0));
    CHECK(ata(&t, 0, 0xef, 0, 0, 0) && t.a->storage.count.gaps == 0);

    /* The fake has none of these, and fails them: a gap of what may have changed. */
    CHECK(!ata(&t, 0, 0x45, 17, 3, 0) && last_is(&t, CHV_OP_GAP, 1, 16, 8));
    CHECK(!ata(&t, 0, 0x44, 32, 8, 0) && last_is(&t, CHV_OP_GAP, 1, 32, 8) && t.rig.events[CHV_OP_ZERO] == 1);
    CHECK(!ata(&t, 0, 0xb4, 0, 0, 0) && last_is(&t, CHV_OP_GAP, 1, 0, 0) && t.rig.last.reason == CHV_GAP_UNKNOWN); /* SANITIZE */
    CHECK(ata(&t, 0, 0xea, 0, 0, 0));
    CHECK(!ata(&t, 0, 0xf4, 0, 0, 0) && last_is(&t, CHV_OP_GAP, 1, 0, 0)); /* SECURITY ERASE UNIT */
    CHECK(!ata(&t, 1, 0x01, 0, 0, 0) && last_is(&t, CHV_OP_GAP, 2, 0, 0)); /* no such opcode */
    CHECK(!ata(&t, 0, 0x35, 8190, 4, 2048) && last_is(&t, CHV_OP_GAP, 1, 8184, 16)); /* beyond its end: failed */
    CHECK(t.rig.last.reason == CHV_GAP_FAILED);
    uint64_t gaps = t.a->storage.count.gaps;
    CHECK(!ata(&t, 0, 0x3f, 0, 1, 512) && t.a->storage.count.gaps == gaps); /* WRITE LOG EXT */
    CHECK(!ata(&t, 0, 0xf9, 0, 1, 0) && t.a->storage.count.gaps == gaps);   /* SET MAX ADDRESS */
    end(&t);
}

static void trims(void)
{
    struct test t = {0};
    begin(&t);
    struct ata c = {.opcode = 0x06, .count = 1, .features = 1, .bytes = 512, .write = true, .auxiliary = 1};
    uint64_t at[2], ranges[2] = {UINT64_C(20) << 48 | 6, UINT64_C(8) << 48 | 800};
    for (unsigned round = 0; round < 4; round++) {
        if (round == 1) c.opcode = 0x64;
        if (round == 2) t.a->port[0].trim_zeroes = false;
        if (round == 3) t.a->trust_trim = true;
        uint64_t trimmed = t.rig.events[CHV_OP_TRIM];
        ahci_driver_put(&t.d[0], 0, &c, at);
        memcpy(rig_at(&t.rig, at[0]), ranges, sizeof ranges);
        ahci_driver_issue(&t.d[0], 1, ata_is_ncq(c.opcode));
        uint32_t failed;
        CHECK(ahci_driver_wait(&t.d[0], &failed) == 1);
        CHECK(t.rig.events[CHV_OP_TRIM] == trimmed + (round == 2 ? 0 : 2));
        CHECK(last_is(&t, round == 2 ? CHV_OP_GAP : CHV_OP_TRIM, 1, 800, 8));
    }
    end(&t);
}

/* Issue slot 0 after `bend` of its header, table or PRDs; did the device get it? */
static bool bent(struct test *t, uint8_t opcode, unsigned what, uint32_t value)
{
    struct ata c = {.opcode = opcode, .lba = 64, .count = 8, .bytes = 4096, .write = opcode != 0x25};
    uint64_t at[8], header = t->d[0].list;
    ahci_driver_put(&t->d[0], 0, &c, at);
    uint64_t table = t->d[0].table[0];
    t->fake.lazy = true;
    switch (what) {
    case 0: memcpy(rig_at(&t->rig, table + 0x80), &value, 4); break;         /* a PRD's address */
    case 1: memcpy(rig_at(&t->rig, header + 8), &value, 4); break;           /* the table's */
    case 2: memcpy(rig_at(&t->rig, table), &value, 1); break;                /* the FIS's type */
    case 3: memcpy(rig_at(&t->rig, table + 7), &value, 1); break;            /* its device register */
    case 4: memcpy(rig_at(&t->rig, header + 2), &value, 2); break;           /* how many PRDs */
    case 5: memcpy(rig_at(&t->rig, table + 12), &value, 1); break;           /* count: of a queued command, its tag */
    }
    ahci_driver_issue(&t->d[0], 1, ata_is_ncq(opcode));
    bool got = t->fake.port[0].ci & 1;
    ahci_driver_restart(&t->d[0]);
    t->fake.lazy = false;
    return got;
}

static void memory(void)
{
    struct test t = {0};
    begin(&t);
    uint32_t own = (uint32_t)t.rig.own;
    CHECK(bent(&t, 0x35, 9, 0) && t.rig.last.op == CHV_OP_GAP && t.rig.last.reason == CHV_GAP_FAILED); /* a restart under way */
    CHECK(!bent(&t, 0x35, 0, own) && !bent(&t, 0x25, 0, own) && !bent(&t, 0x61, 0, own - 512) && !bent(&t, 0xec, 0, own));
    CHECK(!bent(&t, 0x35, 1, own) && !bent(&t, 0x25, 1, own + 4096));
    uint64_t refused = t.a->storage.count.refused;
    CHECK(refused == 6);
    CHECK(bent(&t, 0x35, 0, 0x7ff00000) && last_is(&t, CHV_OP_GAP, 1, 64, 8));        /* not RAM */
    CHECK(!bent(&t, 0x35, 1, 0x7ff00000) && !bent(&t, 0x25, 0, 0x100001)); /* cannot be checked; at an odd address */
    CHECK(bent(&t, 0x35, 2, 0x46) && last_is(&t, CHV_OP_GAP, 1, 0, 0));               /* a FIS of data */
    CHECK(ata(&t, 0, 0xea, 0, 0, 0) && bent(&t, 0x35, 3, 0) && last_is(&t, CHV_OP_GAP, 1, 0, 0)); /* CHS */
    CHECK(bent(&t, 0x35, 4, 0) && last_is(&t, CHV_OP_GAP, 1, 64, 8));                 /* no PRDs */
    CHECK(!bent(&t, 0x61, 5, 3 << 3) && t.a->storage.count.refused == refused + 3);   /* another slot's tag */

    /* The list, and the area for FISes, there. */
    uint64_t cmd = AHCI_PORT + AHCI_CMD;
    guest_write(&t.rig, AHCI_PORT + AHCI_CLB, own); /* it runs: not passed on */
    CHECK(t.fake.port[0].clb[0] == t.d[0].list && t.a->storage.count.malformed == 1);
    guest_write64(&t.rig, AHCI_PORT + AHCI_CLB, own);
    CHECK(t.fake.port[0].clb[0] == t.d[0].list && t.a->storage.count.malformed == 2);
    guest_write(&t.rig, cmd, 6);
    guest_write64(&t.rig, AHCI_PORT + AHCI_FB, own + 256);
    CHECK(t.fake.port[0].fb[0] == own + 256);
    guest_write(&t.rig, cmd, 6 | AHCI_CMD_FRE);
    CHECK(!(t.fake.port[0].cmd & AHCI_CMD_FRE));
    guest_write(&t.rig, AHCI_PORT + AHCI_FB, (uint32_t)t.d[0].fis);
    guest_write(&t.rig, AHCI_PORT + AHCI_CLB, own);
    guest_write(&t.rig, cmd, 6 | AHCI_CMD_FRE | AHCI_CMD_ST);
    CHECK(!(t.fake.port[0].cmd & AHCI_CMD_ST));
    guest_write(&t.rig, AHCI_PORT + AHCI_CI, 1); /* nothing runs: QEMU would do it once something does */
    guest_write(&t.rig, AHCI_PORT + AHCI_SACT, 1);
    uint64_t value = 1;
    CHECK(ahci_write(t.a, AHCI_PORT + AHCI_CI, 1, &value) == STORAGE_DROP && ahci_write(t.a, AHCI_PORT + 0x3a, 4, &value) == STORAGE_DROP);
    CHECK(t.fake.port[0].ci == 0 && t.fake.port[0].sact == 0 && t.a->storage.count.malformed == 6);
    end(&t);
}

/* What is under way when the port, or the controller, is reset may be there. */
static void resets(void)
{
    static const struct {
        uint64_t offset;
        uint32_t value;
    } how[] = {{AHCI_GHC, 0x80000001}, {AHCI_PORT + AHCI_CMD, 6}, {AHCI_PORT + AHCI_SCTL, 1}};
    for (unsigned i = 0; i < sizeof how / sizeof *how; i++) {
        struct test t = {0};
        struct ata c = {.opcode = 0x61, .lba = 80, .count = 8, .bytes = 4096, .write = true};
        uint64_t at[8];
        begin(&t);
        t.fake.lazy = true;
        ahci_driver_put(&t.d[0], 3, &c, at);
        ahci_driver_issue(&t.d[0], 1 << 3, true);
        CHECK(last_is(&t, CHV_OP_WRITE, 1, 80, 8));
        guest_write(&t.rig, how[i].offset, how[i].value);
        CHECK(last_is(&t, CHV_OP_GAP, 1, 80, 8) && t.rig.last.reason == CHV_GAP_FAILED);
        end(&t);
    }
}

/* A bit of PxCI that is written again says nothing new, unless nobody has seen its command. */
static void again(void)
{
    struct test t = {0};
    struct ata c = {.opcode = 0x35, .lba = 80, .count = 8, .bytes = 4096, .write = true};
    uint64_t at[8];
    begin(&t);
    t.fake.lazy = true;
    ahci_driver_put(&t.d[0], 3, &c, at);
    uint64_t writes = t.rig.events[CHV_OP_WRITE];
    t.fake.port[0].ci = 1 << 3;
    guest_write(&t.rig, AHCI_PORT + AHCI_CI, 1 << 3);
    CHECK(last_is(&t, CHV_OP_WRITE, 1, 80, 8) && t.rig.events[CHV_OP_WRITE] == writes + 1);
    guest_write(&t.rig, AHCI_PORT + AHCI_CI, 1 << 3);
    CHECK(t.rig.events[CHV_OP_WRITE] == writes + 1);
    end(&t);
}

/* A queued command has not ended when PxCI says that the device has taken it. */
static void queued(void)
{
    struct test t = {0};
    struct ata c = {.opcode = 0x61, .lba = 80, .count = 8, .bytes = 4096, .write = true};
    uint64_t at[8];
    begin(&t);
    t.fake.lazy = true;
    ahci_driver_put(&t.d[0], 3, &c, at);
    ahci_driver_issue(&t.d[0], 1 << 3, true);
    t.fake.port[0].ci = 0;
    guest_write(&t.rig, AHCI_PORT + AHCI_IS, 1);
    guest_write(&t.rig, AHCI_PORT + AHCI_CMD, 6);
    CHECK(last_is(&t, CHV_OP_GAP, 1, 80, 8) && t.rig.last.reason == CHV_GAP_FAILED);
    end(&t);
}

/* Its registers were somewhere else meanwhile: no command passes until the port is started anew. */
static void moved(void)
{
    struct test t = {0};
    struct ata c = {.opcode = 0x35, .lba = 80, .count = 8, .bytes = 4096, .write = true};
    uint64_t at[8];
    begin(&t);
    ahci_moved(t.a);
    ahci_driver_put(&t.d[0], 0, &c, at);
    ahci_driver_issue(&t.d[0], 1, false);
    CHECK(t.a->storage.count.refused == 1 && t.fake.port[0].ci == 0);
    ahci_driver_start(&t.d[0], &t.rig, 0);
    guest_write(&t.rig, AHCI_PORT + AHCI_CMD, 6);
    ahci_driver_start(&t.d[0], &t.rig, 0);
    CHECK(ata(&t, 0, 0x35, 80, 8, 4096) && last_is(&t, CHV_OP_WRITE, 1, 80, 8));
    end(&t);
}

int main(void)
{
    commands();
    trims();
    memory();
    resets();
    again();
    queued();
    moved();
    return 0;
}

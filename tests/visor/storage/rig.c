#include "rig.h"

static bool in_ram(const struct rig *rig, uint64_t gpa, uint64_t n)
{
    return gpa < rig->ram_bytes && n <= rig->ram_bytes - gpa;
}

static bool owned(void *arg, uint64_t gpa, uint64_t n)
{
    const struct rig *rig = arg;
    if (!n || gpa + n < gpa) return false;
    return gpa < rig->own + rig->own_bytes && rig->own < gpa + n;
}

static bool copy(void *arg, void *dst, uint64_t gpa, size_t n)
{
    struct rig *rig = arg;
    if (!in_ram(rig, gpa, n) || owned(arg, gpa, n)) return false;
    memcpy(dst, rig->ram + gpa, n);
    return true;
}

static bool store(void *arg, uint64_t gpa, const void *src, size_t n)
{
    struct rig *rig = arg;
    if (!in_ram(rig, gpa, n) || owned(arg, gpa, n)) return false;
    memcpy(rig->ram + gpa, src, n);
    return true;
}

static uint32_t reg(void *arg, uint64_t offset)
{
    struct rig *rig = arg;
    return rig->read(rig, offset);
}

static void announce(struct rig *rig, const struct visor_block *b)
{
    struct rig_unit *u = rig_unit(rig, b->unit);
    if (!u) {
        CHECK(rig->units < RIG_UNITS);
        u = &rig->unit[rig->units++];
        u->id = b->unit;
        u->content = calloc(1, b->lba * 512 + 4096);
        u->unknown = calloc(1, b->lba / 8 + 1);
        CHECK(u->content && u->unknown);
        u->sectors = b->lba;
    }
    CHECK(b->lba == u->sectors); /* no test resizes */
    memcpy(u->name, b->data, 32);
}

static void apply(struct rig_unit *u, const struct visor_block *b)
{
    uint64_t lba = b->lba, n = b->sectors;
    if (b->op == CHV_OP_GAP && !n) n = u->sectors;
    if (lba >= u->sectors) return;
    if (n > u->sectors - lba) n = u->sectors - lba;
    switch (b->op) {
    case CHV_OP_WRITE:
        memcpy(u->content + lba * 512, b->data, n * 512);
        if (n == 8) u->unknown[lba / 8] = 0;
        break;
    case CHV_OP_ZERO:
    case CHV_OP_TRIM:
        memset(u->content + lba * 512, 0, n * 512);
        memset(u->unknown + lba / 8, 0, (n + 7) / 8);
        break;
    case CHV_OP_GAP: memset(u->unknown + lba / 8, 1, (n + 7) / 8); break;
    }
}

void rig_check(const struct visor_block *b)
{
    CHECK(b->op > 0 && b->op <= CHV_OP_MAX);
    if (b->op == CHV_OP_WRITE) CHECK(b->data && b->sectors && b->sectors <= 8 && b->lba % 8 + b->sectors <= 8);
    if (b->op == CHV_OP_WRITE) CHECK(!(b->flags & CHV_EVENT_PARTIAL) == (b->sectors == 8));
    if (b->op == CHV_OP_ZERO || b->op == CHV_OP_TRIM || b->op == CHV_OP_GAP) CHECK(b->lba % 8 == 0 && b->sectors % 8 == 0);
    if (b->op == CHV_OP_ZERO || b->op == CHV_OP_TRIM) CHECK(b->sectors);
    if (b->op == CHV_OP_GAP) CHECK(b->reason);
    CHECK(b->lba <= CHV_LBA_MAX && b->sectors <= CHV_LBA_MAX + 1 - b->lba);
}

static void emit(void *arg, const struct visor_block *b)
{
    struct rig *rig = arg;
    rig_check(b);
    rig->events[b->op]++;
    rig->last = *b;
    if (b->op == CHV_OP_WRITE) memcpy(rig->last_data, b->data, b->sectors * 512);
    if (b->op == CHV_OP_SPACE) announce(rig, b);
    else
        for (unsigned i = 0; i < rig->units; i++)
            if (rig->unit[i].id == b->unit || b->unit == VISOR_UNIT_ALL) apply(&rig->unit[i], b);
}

struct storage_port rig_port(struct rig *rig)
{
    return (struct storage_port){.arg = rig, .copy = copy, .store = store, .owned = owned, .reg = reg, .emit = emit};
}

void rig_init(struct rig *rig, uint8_t *ram, uint64_t ram_bytes, uint64_t seed)
{
    *rig = (struct rig){.ram = ram, .ram_bytes = ram_bytes, .own = ram_bytes - (1 << 20), .own_bytes = 1 << 20, .seed = seed, .next = 1 << 20};
}

void rig_fini(struct rig *rig)
{
    for (unsigned i = 0; i < rig->units; i++) free(rig->unit[i].content), free(rig->unit[i].unknown);
}

static void guest_access(struct rig *rig, uint64_t offset, unsigned width, uint64_t value)
{
    if (rig->mediate(rig->mediator, offset, width, &value) == STORAGE_PASS) rig->write(rig, offset, width, value);
}

void guest_write(struct rig *rig, uint64_t offset, uint32_t value)
{
    guest_access(rig, offset, 4, value);
}

void guest_write64(struct rig *rig, uint64_t offset, uint64_t value)
{
    guest_access(rig, offset, 8, value);
}

uint64_t rig_alloc(struct rig *rig, uint64_t bytes, uint64_t align)
{
    uint64_t at = (rig->next + align - 1) & ~(align - 1);
    CHECK(at + bytes <= rig->own);
    rig->next = at + bytes;
    memset(rig->ram + at, 0, bytes);
    return at;
}

uint64_t rig_random(struct rig *rig, uint64_t below)
{
    return unit_random(&rig->seed) % below;
}

struct rig_unit *rig_unit(struct rig *rig, uint32_t id)
{
    for (unsigned i = 0; i < rig->units; i++)
        if (rig->unit[i].id == id) return &rig->unit[i];
    return NULL;
}

uint64_t rig_compare(struct rig *rig, uint32_t id, const uint8_t *disk, uint64_t bytes)
{
    struct rig_unit *u = rig_unit(rig, id);
    uint64_t unknown = 0;
    CHECK(u && u->sectors * 512 == bytes);
    for (uint64_t b = 0; b < bytes / 4096; b++) {
        if (u->unknown[b]) unknown++;
        else if (memcmp(u->content + b * 4096, disk + b * 4096, 4096) != 0) {
            fprintf(stderr, "unit %u, block %llu: what the events say is not what the disk holds\n", id, (unsigned long long)b);
            CHECK(0);
        }
    }
    return unknown;
}

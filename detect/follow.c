#include "detect/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SECTORS 8u           /* most of a piece */
#define READ_SECTORS_MAX (1u << 17) /* 64 MiB, more than any request: what a log says beyond that is not believed */
#define WAYS 4u
#define SLOTS (FOLLOW_TABLE_BYTES / 8)
#define RANGE_WALK 4096u /* longer ranges are looked for in the table, not the other way round */

/* The last known entropy of blocks: sets of WAYS slots, the newest first. A slot is (block + 1) << 16 | entropy. */
struct table {
    uint64_t slot[SLOTS];
};

struct space {
    uint16_t id;
    struct table *table;
};

struct follow {
    struct chv_store *store;
    uint16_t only;
    uint64_t next_seq;
    uint32_t block_sectors;
    size_t count;
    struct space spaces[FOLLOW_SPACES_MAX];
};

static uint64_t *set_of(struct table *t, uint64_t block)
{
    uint64_t h = (block + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return &t->slot[(h >> 40) % (SLOTS / WAYS) * WAYS];
}

static bool table_get(struct table *t, uint64_t block, uint16_t *entropy)
{
    const uint64_t *set = set_of(t, block);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i] >> 16 == block + 1) {
            *entropy = (uint16_t)set[i];
            return true;
        }
    return false;
}

static void table_put(struct table *t, uint64_t block, uint16_t entropy)
{
    uint64_t *set = set_of(t, block);
    unsigned i = 0;
    while (i < WAYS - 1 && set[i] >> 16 != block + 1) i++; /* its own place, or the oldest */
    memmove(set + 1, set, i * sizeof *set);
    set[0] = (block + 1) << 16 | entropy;
}

/* A range holds zeros now (`known`), or nobody knows what. */
static void table_range(struct table *t, uint64_t first, uint64_t blocks, bool known)
{
    if (known && blocks <= RANGE_WALK) {
        for (uint64_t b = first; b < first + blocks; b++) table_put(t, b, 0);
        return;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t key = t->slot[i] >> 16;
        if (key > first && key <= first + blocks) t->slot[i] = known ? key << 16 : 0;
    }
}

static int space_find(struct follow *f, uint16_t id, struct space **out, struct chv_err *err)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->spaces[i].id == id) {
            *out = &f->spaces[i];
            return 0;
        }
    if (f->count == FOLLOW_SPACES_MAX)
        return chv_err_set(err, E2BIG, "%s has more than %u spaces; follow one of them (--space)", chv_store_dir(f->store),
                           FOLLOW_SPACES_MAX);
    struct table *table = calloc(1, sizeof *table);
    if (!table) return chv_err_set(err, ENOMEM, "out of memory");
    *out = &f->spaces[f->count++];
    **out = (struct space){id, table};
    return 0;
}

int follow_open(struct chv_store *store, uint16_t space, uint64_t first_seq, struct follow **out, struct chv_err *err)
{
    struct follow *f = calloc(1, sizeof *f);
    if (!f) return chv_err_set(err, ENOMEM, "out of memory");
    f->store = store;
    f->only = space;
    f->next_seq = first_seq ? first_seq : 1;
    f->block_sectors = chv_store_block_bytes(store) / CHV_SECTOR_BYTES;
    *out = f;
    return 0;
}

uint64_t follow_seq(const struct follow *f)
{
    return f->next_seq - 1;
}

void follow_close(struct follow *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->count; i++) free(f->spaces[i].table);
    free(f);
}

static int pass_read(const struct chv_event *e, follow_fn *fn, void *arg, struct chv_err *err)
{
    struct access a = {.time_ns = e->time_ns, .lba = chv_event_lba(e), .kind = ACCESS_READ};
    uint32_t left = e->sectors < READ_SECTORS_MAX ? e->sectors : READ_SECTORS_MAX;
    int r = 0;
    if (e->flags & CHV_EVENT_CONTINUED) a.flags = ACCESS_CONTINUED;
    for (; r == 0 && left > 0; left -= a.sectors) {
        a.lba += a.sectors;
        a.sectors = BLOCK_SECTORS - (uint32_t)(a.lba % BLOCK_SECTORS);
        if (a.sectors > left) a.sectors = left;
        r = fn(arg, e, &a, err);
        a.flags = ACCESS_CONTINUED;
    }
    return r;
}

static void old_entropy(struct table *t, uint64_t block, struct access *a)
{
    if (table_get(t, block, &a->old_entropy)) a->flags |= ACCESS_OLD_ENTROPY;
}

static int pass_one(struct follow *f, const struct chv_event *e, follow_fn *fn, void *arg, struct chv_err *err)
{
    struct space *s = NULL;
    if (e->space == 0 || e->op == CHV_OP_SPACE) return fn(arg, e, NULL, err);
    int r = space_find(f, e->space, &s, err);
    if (r < 0) return r;
    uint64_t lba = chv_event_lba(e), block = lba / f->block_sectors;
    struct access a = {.time_ns = e->time_ns, .lba = lba, .sectors = e->sectors};
    a.flags = e->flags & CHV_EVENT_CONTINUED ? ACCESS_CONTINUED : 0;
    bool ours = e->flags & CHV_EVENT_REWIND;
    switch (e->op) {
    case CHV_OP_READ:
        return pass_read(e, fn, arg, err);
    case CHV_OP_WRITE:
        a.kind = ACCESS_WRITE;
        a.flags |= ACCESS_ENTROPY | ACCESS_DEDUP | (e->flags & CHV_EVENT_NEW ? ACCESS_NOVEL : 0);
        a.entropy = e->entropy;
        if (a.sectors == 0 || a.sectors > f->block_sectors) a.sectors = f->block_sectors; /* a damaged log */
        old_entropy(s->table, block, &a);
        table_put(s->table, block, e->entropy);
        return fn(arg, e, ours ? NULL : &a, err);
    case CHV_OP_BASELINE:
    case CHV_OP_FOUND:
        table_put(s->table, block, e->entropy);
        return fn(arg, e, NULL, err);
    case CHV_OP_ZERO:
    case CHV_OP_TRIM:
        a.kind = ACCESS_DISCARD;
        old_entropy(s->table, block, &a);
        table_range(s->table, block, (e->sectors + (uint64_t)f->block_sectors - 1) / f->block_sectors, true);
        return fn(arg, e, ours || e->sectors == 0 ? NULL : &a, err);
    case CHV_OP_GAP:
        table_range(s->table, block, (e->sectors + (uint64_t)f->block_sectors - 1) / f->block_sectors, false);
        return fn(arg, e, NULL, err);
    default:
        return fn(arg, e, NULL, err);
    }
}

int follow_step(struct follow *f, uint64_t last_seq, follow_fn *fn, void *arg, struct chv_err *err)
{
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    if (f->next_seq > last_seq) return 0;
    int r = chv_cursor_open(f->store, f->next_seq, last_seq, &cursor, err);
    if (r < 0) return r;
    while ((r = chv_cursor_next(cursor, &batch, &count, err)) > 0) {
        r = 0;
        for (size_t i = 0; r == 0 && i < count; i++) {
            if (f->only && batch[i].space && batch[i].space != f->only) continue;
            r = pass_one(f, &batch[i], fn, arg, err);
        }
        f->next_seq = batch[count - 1].seq + 1;
        if (r != 0) break;
    }
    chv_cursor_close(cursor);
    return r;
}

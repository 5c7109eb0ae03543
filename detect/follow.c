#include "detect/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "detect/content_map.h"

#define BLOCK_SECTORS 8u              /* most of a piece */
#define READ_SECTORS_MAX (1u << 17)   /* 64 MiB, more than any request: what a log says beyond that is not believed */
#define RANGE_BLOCKS_MAX 4096u        /* longer ranges are forgotten: setting each block would take as long as they are */

struct space {
    uint16_t id;
    bool aside; /* memory, where disks are judged: what is done to it is no access */
    struct content_map *map;
};

struct follow {
    struct chv_store *store;
    uint16_t only;
    uint64_t next_seq;
    uint32_t block_sectors;
    size_t count;
    struct space spaces[FOLLOW_SPACES_MAX];
};

/* A range holds zeros now (`known`), or nobody knows what. */
static void range_is(struct follow *f, struct content_map *map, const struct chv_event *e, bool known)
{
    uint64_t lba = chv_event_lba(e), end = lba + e->sectors, unit = f->block_sectors;
    if (!known || e->sectors / unit > RANGE_BLOCKS_MAX) {
        content_map_forget(map, lba, e->sectors);
        return;
    }
    for (; lba < end; lba += unit) content_map_set(map, lba, f->block_sectors, 0);
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
    struct content_map *map = content_map_new(CONTENT_MAP_BITS);
    if (!map) return chv_err_set(err, ENOMEM, "out of memory");
    *out = &f->spaces[f->count++];
    const struct chv_space *space = chv_store_space_by_id(f->store, id);
    **out = (struct space){id, !f->only && space && strcmp(space->name, "ram") == 0, map};
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
    for (size_t i = 0; i < f->count; i++) content_map_free(f->spaces[i].map);
    free(f);
}

static int pass_read(const struct follow *f, const struct content_map *map, const struct chv_event *e, follow_fn *fn, void *arg,
                     struct chv_err *err)
{
    struct access a = {.time_ns = e->time_ns, .lba = chv_event_lba(e), .kind = ACCESS_READ};
    uint32_t left = e->sectors < READ_SECTORS_MAX ? e->sectors : READ_SECTORS_MAX;
    int r = 0;
    bool continued = e->flags & CHV_EVENT_CONTINUED;
    for (; r == 0 && left > 0; left -= a.sectors) {
        a.lba += a.sectors;
        a.sectors = BLOCK_SECTORS - (uint32_t)(a.lba % BLOCK_SECTORS);
        if (a.sectors > left) a.sectors = left;
        a.flags = continued ? ACCESS_CONTINUED : 0;
        if (a.sectors == f->block_sectors && content_map_get(map, a.lba, a.sectors, &a.old_entropy)) a.flags |= ACCESS_OLD_ENTROPY;
        r = fn(arg, e, &a, err);
        continued = true;
    }
    return r;
}

static int pass_one(struct follow *f, const struct chv_event *e, follow_fn *fn, void *arg, struct chv_err *err)
{
    struct space *s = NULL;
    if (e->space == 0 || e->op == CHV_OP_SPACE) return fn(arg, e, NULL, err);
    int r = space_find(f, e->space, &s, err);
    if (r < 0) return r;
    uint64_t lba = chv_event_lba(e), block = lba / f->block_sectors * f->block_sectors;
    if (s->aside || lba >= CHV_LBA_MAX - BLOCK_SECTORS) return fn(arg, e, NULL, err); /* or a damaged log */
    struct access a = {.time_ns = e->time_ns, .lba = lba, .sectors = e->sectors};
    a.flags = e->flags & CHV_EVENT_CONTINUED ? ACCESS_CONTINUED : 0;
    bool ours = e->flags & CHV_EVENT_REWIND;
    switch (e->op) {
    case CHV_OP_READ:
        return pass_read(f, s->map, e, fn, arg, err);
    case CHV_OP_WRITE:
        a.kind = ACCESS_WRITE;
        a.flags |= ACCESS_ENTROPY | ACCESS_DEDUP | (e->flags & CHV_EVENT_NEW ? ACCESS_NOVEL : 0);
        a.entropy = e->entropy;
        if (a.sectors == 0 || a.sectors > f->block_sectors) a.sectors = f->block_sectors; /* a damaged log */
        if (content_map_get(s->map, block, f->block_sectors, &a.old_entropy)) a.flags |= ACCESS_OLD_ENTROPY;
        content_map_set(s->map, block, f->block_sectors, e->entropy);
        return fn(arg, e, ours ? NULL : &a, err);
    case CHV_OP_BASELINE:
    case CHV_OP_FOUND:
        content_map_set(s->map, block, f->block_sectors, e->entropy);
        return fn(arg, e, NULL, err);
    case CHV_OP_ZERO:
    case CHV_OP_TRIM:
        a.kind = ACCESS_DISCARD;
        if (content_map_get(s->map, block, f->block_sectors, &a.old_entropy)) a.flags |= ACCESS_OLD_ENTROPY;
        range_is(f, s->map, e, true);
        return fn(arg, e, ours || e->sectors == 0 ? NULL : &a, err);
    case CHV_OP_GAP:
        if (chv_event_unkept(e)) { /* whether the content is new, nobody knows */
            a.kind = ACCESS_WRITE;
            a.flags |= ACCESS_ENTROPY;
            a.entropy = e->entropy;
            a.sectors = f->block_sectors;
            if (content_map_get(s->map, block, f->block_sectors, &a.old_entropy)) a.flags |= ACCESS_OLD_ENTROPY;
            content_map_set(s->map, block, f->block_sectors, e->entropy);
            return fn(arg, e, &a, err);
        }
        range_is(f, s->map, e, false);
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
            f->next_seq = batch[i].seq + 1;
            if (f->only && batch[i].space && batch[i].space != f->only) continue;
            r = pass_one(f, &batch[i], fn, arg, err);
        }
        if (r != 0) break;
    }
    chv_cursor_close(cursor);
    return r;
}

/* From events to index entries. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/index.h"

static uint8_t *push(struct index_entries *e, enum run_kind kind)
{
    size_t width = run_width(kind);
    if (e->count[kind] == e->room[kind]) {
        uint64_t room = e->room[kind] ? 2 * e->room[kind] : 4096;
        uint8_t *grown = realloc(e->entries[kind], room * width);
        if (!grown) return NULL;
        e->entries[kind] = grown;
        e->room[kind] = room;
    }
    return e->entries[kind] + e->count[kind]++ * width;
}

/* Cover [first, end) with the fewest nodes of the radix-16 tree. */
static int push_range(struct index_entries *e, uint16_t space, uint64_t first, uint64_t end, uint64_t seq)
{
    while (first < end) {
        unsigned level = 0;
        while (level + 1 < RUN_LEVELS && (first & ((UINT64_C(16) << 4 * level) - 1)) == 0 &&
               end - first >= UINT64_C(16) << 4 * level)
            level++;
        uint8_t *entry = push(e, RUN_ADDR);
        if (!entry) return -ENOMEM;
        run_addr_key(entry, space, level, first >> 4 * level, seq);
        first += UINT64_C(1) << 4 * level;
    }
    return 0;
}

static int push_note(struct index_entries *e, uint64_t seq)
{
    if (e->note_count == e->note_room) {
        size_t room = e->note_room ? 2 * e->note_room : 64;
        uint64_t *grown = realloc(e->notes, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        e->notes = grown;
        e->note_room = room;
    }
    e->notes[e->note_count++] = seq;
    return 0;
}

int index_entries_add_events(struct index_entries *e, const struct chv_event *events, size_t count, uint32_t block_bytes)
{
    const uint64_t per_block = block_bytes / CHV_SECTOR_BYTES;
    for (size_t i = 0; i < count; i++) {
        const struct chv_event *v = &events[i];
        uint64_t lba = chv_event_lba(v);
        int r = 0;
        if (chv_op_has_content(v->op)) {
            uint8_t *sight = push(e, RUN_SIGHT), *addr = sight ? push(e, RUN_ADDR) : NULL;
            if (!addr) return -ENOMEM;
            memcpy(sight, v->hash, 8);
            run_put64(sight + 8, v->seq);
            run_addr_key(addr, v->space, 0, lba / per_block, v->seq);
        } else if (chv_op_is_version(v->op)) {
            r = push_range(e, v->space, lba / per_block, (lba + v->sectors + per_block - 1) / per_block, v->seq);
        }
        if (r == 0 && (v->op == CHV_OP_SPACE || v->op == CHV_OP_PRUNE ||
                       (v->op == CHV_OP_GAP && v->hash[0] == CHV_GAP_UNOBSERVED)))
            r = push_note(e, v->seq);
        if (r < 0) return r;
    }
    return 0;
}

int index_entries_add_loc(struct index_entries *e, const uint8_t hash[32], pack_loc loc)
{
    uint8_t *entry = push(e, RUN_LOC);
    if (!entry) return -ENOMEM;
    memcpy(entry, hash, 32);
    run_put64(entry + 32, loc);
    return 0;
}

void index_entries_sort(struct index_entries *e)
{
    for (int k = 0; k < RUN_KINDS; k++) run_sort((enum run_kind)k, e->entries[k], e->count[k]);
    uint64_t kept = 0;
    uint8_t *locs = e->entries[RUN_LOC];
    for (uint64_t i = 0; i < e->count[RUN_LOC]; i++) {
        if (kept && memcmp(locs + (kept - 1) * 40, locs + i * 40, 32) == 0) continue;
        if (kept != i) memcpy(locs + kept * 40, locs + i * 40, 40);
        kept++;
    }
    e->count[RUN_LOC] = kept;
}

void index_entries_fini(struct index_entries *e)
{
    for (int k = 0; k < RUN_KINDS; k++) free(e->entries[k]);
    free(e->notes);
    memset(e, 0, sizeof *e);
}

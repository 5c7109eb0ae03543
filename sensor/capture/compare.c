#include "sensor/capture/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct compare {
    struct capture *c;
    struct chv_store *store;
    uint64_t head_seq, settled_seq;
    bool redo;
    struct compare_counts *counts;
    uint8_t *buf, *newest; /* a block each: what the disk holds, what the log says */
};

static bool is_zero(const uint8_t *p, size_t bytes)
{
    return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

/* Does this state of a block name the content in x->buf? */
static bool holds(const struct compare *x, const struct chv_extent *e, const uint8_t hash[CHV_HASH_BYTES])
{
    if (e->state == CHV_STATE_DATA) return memcmp(e->hash, hash, CHV_HASH_BYTES) == 0;
    return e->state == CHV_STATE_ZERO && is_zero(x->buf, x->c->block_bytes);
}

static int read_disk(struct compare *x, uint64_t block, struct chv_err *err)
{
    struct capture *c = x->c;
    int r = disk_pread(&c->disk, x->buf, c->block_bytes, block * c->block_bytes);
    x->counts->checked++;
    return r < 0 ? chv_err_set(err, -r, "reading %s: %s", c->disk.path, strerror(-r)) : 0;
}

static int record_found(struct compare *x, uint64_t block, struct chv_err *err)
{
    struct capture *c = x->c;
    struct chv_record record = {
        .space = c->space,
        .op = CHV_OP_FOUND,
        .lba = capture_sectors(c, block),
        .sectors = (uint32_t)capture_sectors(c, 1),
        .data = x->buf,
    };
    x->counts->found++;
    return capture_append(c, &record, 1, block, block + 1, NULL, err);
}

/* Put the newest recorded content on the disk, if what it holds is an older recorded one: 1 when done, 0 when not. */
static int redo(struct compare *x, uint64_t block, const struct chv_extent *newest, const uint8_t hash[CHV_HASH_BYTES],
                struct chv_err *err)
{
    struct capture *c = x->c;
    struct chv_extent e;
    struct chv_event next;
    if (newest->state != CHV_STATE_DATA && newest->state != CHV_STATE_ZERO) return 0;
    int r = chv_store_block_at(x->store, c->space, block, x->settled_seq, &e, err);
    for (uint64_t seq = x->settled_seq; r >= 0 && !holds(x, &e, hash);) {
        r = chv_store_next_version(x->store, c->space, block, seq, &next, err);
        if (r <= 0) return r;
        seq = next.seq;
        r = chv_store_block_at(x->store, c->space, block, seq, &e, err);
    }
    if (r < 0) return r;
    uint64_t offset = block * c->block_bytes, bytes = c->disk.size_bytes - offset;
    if (bytes > c->block_bytes) bytes = c->block_bytes;
    if (newest->state == CHV_STATE_DATA) {
        r = chv_store_read_block(x->store, newest->hash, x->newest, err);
        if (r < 0) return r;
    } else {
        memset(x->newest, 0, c->block_bytes);
    }
    r = disk_pwrite(&c->disk, x->newest, bytes, offset);
    if (r < 0) return chv_err_set(err, -r, "writing %s: %s", c->disk.path, strerror(-r));
    x->counts->redone++;
    return 1;
}

static int compare_block(struct compare *x, uint64_t block, const struct chv_extent *newest, struct chv_err *err)
{
    uint8_t hash[1][CHV_HASH_BYTES];
    uint16_t entropy[1];
    int r = read_disk(x, block, err);
    if (r < 0) return r;
    chv_digest_blocks(x->buf, x->c->block_bytes, 1, hash, entropy);
    if (holds(x, newest, hash[0])) return 0;
    r = x->redo ? redo(x, block, newest, hash[0], err) : 0;
    return r == 0 ? record_found(x, block, err) : r < 0 ? r : 0;
}

/* Compare [first, end) with the disk. */
static int compare_range(struct compare *x, uint64_t first, uint64_t end, struct chv_err *err)
{
    struct capture *c = x->c;
    struct chv_map *map;
    struct chv_extent e;
    int r = chv_map_open(x->store, c->space, first, end, x->head_seq, &map, err);
    if (r < 0) return r;
    while ((r = chv_map_next(map, &e, err)) > 0) {
        /* no version, and nothing said of it: whatever the disk holds is right */
        if (e.state == CHV_STATE_SOURCE || (e.state == CHV_STATE_UNKNOWN && e.seq == 0)) continue;
        for (uint64_t b = e.first_block; r > 0 && b < e.first_block + e.blocks; b++) {
            uint64_t run_end, extent_end = (e.first_block + e.blocks) * c->block_bytes;
            if (e.state == CHV_STATE_ZERO && e.blocks > 1 &&
                disk_hole(&c->disk, b * c->block_bytes, extent_end, &run_end) &&
                run_end / c->block_bytes > b) {
                b = run_end / c->block_bytes - 1;
                continue;
            }
            int compared = compare_block(x, b, &e, err);
            if (compared < 0) r = compared;
        }
        if (r < 0) break;
    }
    chv_map_close(map);
    return r;
}

static int begin(struct compare *x, struct capture *c, struct chv_store *store, struct compare_counts *counts,
                 struct chv_err *err)
{
    struct chv_store_info info;
    chv_store_info(store, &info);
    *x = (struct compare){.c = c, .store = store, .head_seq = info.last_seq, .counts = counts};
    x->buf = malloc(c->block_bytes);
    x->newest = malloc(c->block_bytes);
    return x->buf && x->newest ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

static void finish(struct compare *x)
{
    free(x->buf);
    free(x->newest);
}

/* Mark the blocks that the log names after `after_seq`. */
static int find_touched(struct capture *c, struct chv_store *store, uint64_t after_seq, uint64_t last_seq,
                        struct blocks *touched, struct chv_err *err)
{
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint64_t per_block = capture_sectors(c, 1);
    if (after_seq >= last_seq) return 0;
    int r = chv_cursor_open(store, after_seq + 1, last_seq, &cursor, err);
    if (r < 0) return r;
    while ((r = chv_cursor_next(cursor, &batch, &count, err)) > 0) {
        for (size_t i = 0; i < count; i++) {
            const struct chv_event *e = &batch[i];
            if (e->space != c->space || !chv_op_is_version(e->op)) continue;
            uint64_t lba = chv_event_lba(e), first = lba / per_block;
            uint64_t end = (lba + e->sectors + per_block - 1) / per_block;
            if (end > c->block_count) end = c->block_count;
            if (first < end) blocks_set(touched, first, end, BLOCK_KNOWN);
        }
    }
    chv_cursor_close(cursor);
    return r;
}

int compare_redo(struct capture *c, struct chv_store *store, uint64_t settled_seq, struct compare_counts *counts,
                 struct chv_err *err)
{
    struct blocks touched = {0};
    struct compare x;
    int r = begin(&x, c, store, counts, err);
    x.redo = true;
    x.settled_seq = settled_seq;
    if (r == 0 && blocks_init(&touched, c->block_count) < 0) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) r = find_touched(c, store, settled_seq, x.head_seq, &touched, err);
    enum block_state state;
    for (uint64_t at = 0, next; r == 0 && at < c->block_count; at = next) {
        next = blocks_run(&touched, at, c->block_count, &state);
        if (state == BLOCK_KNOWN) r = compare_range(&x, at, next, err);
    }
    blocks_fini(&touched);
    finish(&x);
    return r;
}

int compare_find(struct capture *c, struct chv_store *store, uint64_t unobserved_since_ns,
                 struct compare_counts *counts, struct chv_err *err)
{
    struct compare x;
    int r = begin(&x, c, store, counts, err);
    /* Covers no block, so that what is unchanged stays known; blocks without version are vouched for from here
     * on only (docs/format.md, "What block B held"). */
    struct chv_record gap = {
        .space = c->space,
        .op = CHV_OP_GAP,
        .gap = {.reason = CHV_GAP_UNOBSERVED, .first_time_ns = unobserved_since_ns},
    };
    if (r == 0 && unobserved_since_ns) r = chv_recorder_append(c->rec, &gap, 1, NULL, err);
    if (r >= 0) r = compare_range(&x, 0, c->block_count, err);
    finish(&x);
    return r;
}

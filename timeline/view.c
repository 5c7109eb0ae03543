#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "timeline/view_internal.h"

/* From this many blocks on, one walk of the map is cheaper than a look-up for each, and the
 * blocks go around the cache. */
enum { MAP_FROM_BLOCKS = 8 };
enum { BLOCK_BYTES_MAX = 4096 };

/* Part of a read: bytes [offset, offset + bytes) of the space. */
struct span {
    uint8_t *buf;
    uint64_t offset;
    size_t bytes;
};

static int out_of_memory(struct chv_err *err)
{
    return chv_err_set(err, ENOMEM, "out of memory");
}

/* A device that is gone, or changed behind the recording's back, only matters to the blocks that come from it;
 * one that was named must be there, and is believed. */
static int open_device(struct chv_view *view, const struct chv_space *space, const struct chv_view_options *options)
{
    struct mark mark;
    bool known;
    view->device = device_open(space, options->source, O_RDONLY, &view->device_err);
    if (view->device < 0) {
        int r = options->source ? view->device : 0;
        view->device = -1;
        return r;
    }
    if (options->source || options->assume_unchanged) return 0;
    const char *why = device_differs(chv_store_dir(view->store), space, view->device, &mark, &known);
    if (!why) return 0;
    chv_err_set(&view->device_err, ESTALE,
                "%s is not what recording left: %s; --assume-unchanged believes it, --source PATH names another",
                space->source, why);
    close(view->device);
    view->device = -1;
    return 0;
}

int chv_view_open(struct chv_store *store, const struct chv_space *space, uint64_t seq,
                  const struct chv_view_options *options, struct chv_view **out, struct chv_err *err)
{
    static const struct chv_view_options none;
    if (!options) options = &none;
    struct chv_view *view = calloc(1, sizeof *view);
    if (!view) return out_of_memory(err);
    int r;
    struct chv_store_info info;
    chv_store_info(store, &info);
    view->store = store;
    view->store_last_seq = info.last_seq;
    view->block_bytes = info.block_bytes;
    chv_store_space_as_of(store, space, seq, &view->space); /* a resize does not change what was */
    view->space.source = NULL;
    view->seq = seq;
    view->assume_unchanged = options->assume_unchanged;
    view->zero_unknown = options->zero_unknown;
    view->device = -1;
    atomic_init(&view->unknown_blocks, 0);
    if (seq > info.last_seq || seq < info.pruned_before_seq) {
        r = chv_err_set(err, EINVAL, "seq:%llu is not in the store: it answers from seq:%llu to seq:%llu",
                        (unsigned long long)seq, (unsigned long long)info.pruned_before_seq,
                        (unsigned long long)info.last_seq);
        goto err_free;
    }
    r = live_init(&view->live);
    if (r < 0) {
        r = out_of_memory(err);
        goto err_free;
    }
    if (!(view->cache = block_cache_new(view->block_bytes))) {
        r = out_of_memory(err);
        goto err_live;
    }
    if (view->space.rest == CHV_REST_SOURCE) {
        r = open_device(view, space, options);
        if (r < 0) {
            if (err) *err = view->device_err;
            goto err_cache;
        }
    }
    *out = view;
    return 0;
err_cache:
    block_cache_free(view->cache);
err_live:
    live_fini(&view->live);
err_free:
    free(view);
    return r;
}

void chv_view_close(struct chv_view *view)
{
    if (!view) return;
    if (view->device >= 0) close(view->device);
    block_cache_free(view->cache);
    live_fini(&view->live);
    free(view);
}

uint64_t chv_view_size_bytes(const struct chv_view *view)
{
    return view->space.size_bytes;
}

uint64_t chv_view_seq(const struct chv_view *view)
{
    return view->seq;
}

uint64_t chv_view_unknown_blocks(const struct chv_view *view)
{
    return atomic_load(&view->unknown_blocks);
}

/* --- one pass over the extents of a span --------------------------------------------------- */

static int damaged(const struct chv_view *view, uint64_t block, int r, struct chv_err *err)
{
    chv_err_prefix(err, "block %llu of %s as of seq:%llu", (unsigned long long)block, view->space.name,
                   (unsigned long long)view->seq);
    return r;
}

static int read_data(struct chv_view *view, const struct chv_store *store, const struct chv_extent *extent,
                     struct span span, bool cached, struct chv_err *err)
{
    size_t in_block = (size_t)(span.offset % view->block_bytes);
    if (cached && block_cache_get(view->cache, extent->hash, span.buf, in_block, span.bytes)) return 0;
    uint8_t block[BLOCK_BYTES_MAX];
    uint8_t *into = span.bytes == view->block_bytes ? span.buf : block;
    int r = chv_store_read_block(store, extent->hash, into, err);
    if (r < 0) return damaged(view, extent->first_block, r, err);
    if (cached) block_cache_put(view->cache, extent->hash, into);
    if (into != span.buf) memcpy(span.buf, block + in_block, span.bytes);
    return 0;
}

/* Whole blocks of a long read, to be fetched together. */
enum { BATCH_BLOCKS = 256 };
struct batch {
    size_t count;
    uint8_t hashes[BATCH_BLOCKS][CHV_HASH_BYTES];
    uint8_t *bufs[BATCH_BLOCKS];
    uint64_t blocks[BATCH_BLOCKS];
};

static int batch_flush(struct chv_view *view, const struct chv_store *store, struct batch *batch, struct chv_err *err)
{
    size_t count = batch->count;
    batch->count = 0;
    if (count == 0 || chv_store_read_blocks(store, batch->hashes, batch->bufs, count, NULL) == 0) return 0;
    for (size_t i = 0; i < count; i++) { /* which one? */
        int r = chv_store_read_block(store, batch->hashes[i], batch->bufs[i], err);
        if (r < 0) return damaged(view, batch->blocks[i], r, err);
    }
    return 0;
}

static int batch_add(struct chv_view *view, const struct chv_store *store, struct batch *batch,
                     const struct chv_extent *extent, uint8_t *buf, struct chv_err *err)
{
    memcpy(batch->hashes[batch->count], extent->hash, CHV_HASH_BYTES);
    batch->bufs[batch->count] = buf;
    batch->blocks[batch->count++] = extent->first_block;
    return batch->count == BATCH_BLOCKS ? batch_flush(view, store, batch, err) : 0;
}

static int read_source(struct chv_view *view, struct span span, struct chv_err *err);

/* batch: of a long read; without, the cache is used. from_live: the span already holds what the device had, and SOURCE
 * extents keep it. */
static int read_extent(struct chv_view *view, const struct chv_store *store, const struct chv_extent *extent,
                       struct span span, struct batch *batch, bool from_live, struct chv_err *err)
{
    switch (extent->state) {
    case CHV_STATE_ZERO:
        memset(span.buf, 0, span.bytes);
        return 0;
    case CHV_STATE_DATA:
        if (batch && span.bytes == view->block_bytes) return batch_add(view, store, batch, extent, span.buf, err);
        return read_data(view, store, extent, span, !batch, err);
    case CHV_STATE_SOURCE:
        return from_live ? 0 : read_source(view, span, err);
    case CHV_STATE_UNKNOWN:
        break;
    }
    if (!view->zero_unknown) return unknown_explain(store, &view->space, view->seq, extent, err);
    memset(span.buf, 0, span.bytes);
    atomic_fetch_add(&view->unknown_blocks,
                     (span.offset + span.bytes - 1) / view->block_bytes - span.offset / view->block_bytes + 1);
    return 0;
}

/* Apply an extent to the front of the span and move the span behind it. With assume_unchanged
 * UNKNOWN extents are looked at block by block. */
static int consume(struct chv_view *view, const struct chv_store *store, const struct chv_extent *extent,
                   struct span *span, struct batch *batch, bool from_live, struct chv_err *err)
{
    uint64_t end = (extent->first_block + extent->blocks) * view->block_bytes;
    while (span->bytes > 0 && span->offset < end) {
        struct chv_extent piece = *extent;
        uint64_t piece_end = end;
        if (extent->state == CHV_STATE_UNKNOWN && view->assume_unchanged) {
            piece.first_block = span->offset / view->block_bytes;
            piece.blocks = 1;
            piece_end = (piece.first_block + 1) * view->block_bytes;
            int r = unknown_assume(store, &view->space, view->seq, &piece, err);
            if (r < 0) return r;
        }
        struct span part = *span;
        if (part.bytes > piece_end - part.offset) part.bytes = (size_t)(piece_end - part.offset);
        int r = read_extent(view, store, &piece, part, batch, from_live, err);
        if (r < 0) return r;
        span->buf += part.bytes;
        span->offset += part.bytes;
        span->bytes -= part.bytes;
    }
    return 0;
}

static int read_span(struct chv_view *view, const struct chv_store *store, struct span span, bool from_live,
                     struct chv_err *err)
{
    uint64_t first = span.offset / view->block_bytes;
    uint64_t end = (span.offset + span.bytes - 1) / view->block_bytes + 1;
    struct chv_extent extent;
    if (end - first < MAP_FROM_BLOCKS) {
        int r = 0;
        for (uint64_t block = first; r == 0 && block < end; block++) {
            r = chv_store_block_at(store, view->space.id, block, view->seq, &extent, err);
            if (r == 0) r = consume(view, store, &extent, &span, NULL, from_live, err);
        }
        return r;
    }
    struct chv_map *map;
    struct batch batch;
    batch.count = 0;
    int r = chv_map_open(store, view->space.id, first, end, view->seq, &map, err);
    if (r < 0) return r;
    while (span.bytes > 0 && (r = chv_map_next(map, &extent, err)) > 0)
        if ((r = consume(view, store, &extent, &span, &batch, from_live, err)) < 0) break;
    if (r >= 0) r = batch_flush(view, store, &batch, err);
    chv_map_close(map);
    if (r < 0) return r;
    return span.bytes == 0 ? 0 : chv_err_set(err, EIO, "the map of %s ends before its size", view->space.name);
}

/* Blocks that had no version when the view's store was opened. Device first, log second: a sensor
 * makes the baseline durable before it overwrites a block, so whatever the device had already lost
 * when it was read is in the log when that is looked at. */
static int read_source(struct chv_view *view, struct span span, struct chv_err *err)
{
    if (view->device < 0) {
        if (err) *err = view->device_err;
        return chv_err_prefix(err, "block %llu was never overwritten and is read from the recorded device",
                              (unsigned long long)(span.offset / view->block_bytes));
    }
    int r = device_pread(view->device, span.buf, span.bytes, span.offset, view->space.size_bytes, err);
    if (r < 0) return r;
    r = live_lock_current(&view->live, chv_store_dir(view->store), err);
    if (r < 0) return r;
    if (view->live.pruned_before_seq > view->seq)
        r = chv_err_set(err, EIO, "the history of seq:%llu was pruned while the view was open",
                        (unsigned long long)view->seq);
    else if (view->live.last_seq != view->store_last_seq)
        r = read_span(view, view->live.store, span, true, err);
    live_unlock(&view->live);
    return r;
}

/* Has none of these blocks got a version since the view was opened? */
static int still_source(struct chv_view *view, uint64_t first_block, uint64_t blocks, struct chv_err *err)
{
    int r = live_lock_current(&view->live, chv_store_dir(view->store), err);
    if (r < 0) return r;
    r = view->live.pruned_before_seq <= view->seq;
    if (r > 0 && view->live.last_seq != view->store_last_seq) {
        struct chv_map *map;
        struct chv_extent extent = {.state = CHV_STATE_SOURCE};
        r = chv_map_open(view->live.store, view->space.id, first_block, first_block + blocks, view->seq, &map, err);
        if (r == 0) {
            while ((r = chv_map_next(map, &extent, err)) > 0 && extent.state == CHV_STATE_SOURCE) continue;
            if (r >= 0) r = r == 0;
            chv_map_close(map);
        }
    }
    live_unlock(&view->live);
    return r;
}

int view_source_holes(struct chv_view *view, uint64_t first_block, uint64_t blocks, bool *zeros, uint64_t *run,
                      struct chv_err *err)
{
    uint64_t begin = first_block * view->block_bytes, end = begin + blocks * view->block_bytes;
    *zeros = false;
    *run = blocks;
    if (view->device < 0) return 0; /* reading says why */
    off_t data = lseek(view->device, (off_t)begin, SEEK_DATA);
    if (data < 0 && errno == ENXIO) data = lseek(view->device, 0, SEEK_END); /* nothing but holes from here on */
    uint64_t data_from = data >= (off_t)begin ? (uint64_t)data : begin;
    if (data_from + CHV_SECTOR_BYTES > view->space.size_bytes) data_from = end;
    if (data_from > end) data_from = end;
    uint64_t hole = (data_from - begin) / view->block_bytes;
    if (hole > 0) {
        int r = still_source(view, first_block, hole, err);
        if (r < 0) return r;
        *zeros = r > 0;
        *run = hole;
        return 0;
    }
    off_t hole_from = lseek(view->device, (off_t)begin, SEEK_HOLE);
    if (hole_from > (off_t)begin && (uint64_t)hole_from < end) {
        /* The block in which the hole begins has data before it. */
        *run = ((uint64_t)hole_from - begin + view->block_bytes - 1) / view->block_bytes;
    }
    return 0;
}

int chv_view_pread(struct chv_view *view, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    struct chv_err own;
    if (!err) err = &own;
    if (offset > view->space.size_bytes || bytes > view->space.size_bytes - offset)
        return chv_err_set(err, EINVAL, "%zu bytes at %llu are not inside %s, which has %llu", bytes,
                           (unsigned long long)offset, view->space.name, (unsigned long long)view->space.size_bytes);
    if (bytes == 0) return 0;
    int r = read_span(view, view->store, (struct span){buf, offset, bytes}, false, err);
    if (r < 0 && r != -ENOMEM) {
        err->code = EIO; /* whatever it was below, to a reader of a disk it is an I/O error */
        r = -EIO;
    }
    return r;
}

int chv_view_map(struct chv_view *view, struct chv_map **out, struct chv_err *err)
{
    uint64_t blocks = (view->space.size_bytes + view->block_bytes - 1) / view->block_bytes;
    return chv_map_open(view->store, view->space.id, 0, blocks, view->seq, out, err);
}

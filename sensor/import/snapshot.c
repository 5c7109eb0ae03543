#include "sensor/import/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define CHUNK_BYTES (UINT32_C(256) << 10) /* stays in a core's cache between reading, comparing and appending */

/* What becomes of one block. */
enum verdict { SAME, ZEROED, FOUND };

/* The walk: image and space side by side, in address order, one chunk at a time. */
struct walk {
    struct import_snapshot *s;
    uint32_t block_bytes, chunk_blocks;
    uint64_t bytes, blocks;
    struct chv_map *map;     /* NULL: a new space, all zeros */
    struct chv_extent state; /* the map's extent around the current block */
    int source_fd;           /* the recorded device, or -1 */
    uint8_t zero_hash[CHV_HASH_BYTES];
    uint8_t *data, *source;             /* CHUNK_BYTES each */
    uint8_t *verdicts;                  /* a block: enum verdict, | BASE */
    uint8_t (*unless)[CHV_HASH_BYTES];  /* a block: what it held; zeros where nothing can be the same */
    struct chv_record *records;         /* at most two a block: baseline and what is found */
    size_t count;
    struct import_snapshot_result *result;
};
#define BASE 4 /* its old content is only on the recorded device, and goes first */

int import_snapshot_open(struct import_snapshot *s, const struct import_options *options, const char *path,
                         const char *format, uint64_t at_ns, struct chv_err *err)
{
    *s = (struct import_snapshot){.at_ns = at_ns};
    int r = import_target_look(&s->target, options, err);
    if (r == 0) r = import_target_time(&s->target, at_ns, at_ns, "--at", err);
    if (r == 0) r = image_open(path, format, &s->image, err);
    if (r == 0 && image_bytes(s->image) > CHV_LBA_MAX * CHV_SECTOR_BYTES)
        r = chv_err_set(err, EFBIG, "%s: larger than the largest disk (2^48 sectors)", path);
    if (r < 0) import_snapshot_close(s);
    return r;
}

int import_snapshot_begin(struct import_snapshot *s, struct chv_err *err)
{
    return import_target_begin(&s->target, s->at_ns, err);
}

void import_snapshot_close(struct import_snapshot *s)
{
    import_target_close(&s->target, NULL, NULL);
    image_close(s->image);
    s->image = NULL;
}

static bool all_zeros(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Make w->state the extent around `block`. */
static int state_at(struct walk *w, uint64_t block, struct chv_err *err)
{
    while (block >= w->state.first_block + w->state.blocks) {
        if (!w->map) {
            w->state = (struct chv_extent){.blocks = w->blocks, .state = CHV_STATE_ZERO};
            return 0;
        }
        int r = chv_map_next(w->map, &w->state, err);
        if (r < 0) return r;
        if (r == 0) return chv_err_set(err, EPROTO, "the store's map ends before block %llu", (unsigned long long)block);
    }
    return 0;
}

static int read_source(struct walk *w, uint64_t block, uint8_t *into, struct chv_err *err)
{
    const struct chv_space *before = w->s->target.before;
    uint64_t offset = block * w->block_bytes;
    size_t bytes = w->bytes - offset < w->block_bytes ? (size_t)(w->bytes - offset) : w->block_bytes;
    memset(into, 0, w->block_bytes);
    int r = w->source_fd < 0 ? -ENODEV : io_pread_full(w->source_fd, into, bytes, offset);
    if (r == -ENODATA) r = 0; /* the device ends inside the block */
    if (r == 0) return 0;
    return chv_err_set(err, -r, "block %llu of %s is only on the recorded device, and %s cannot be read: %s",
                       (unsigned long long)block, before->name, before->source ? before->source : "it", strerror(-r));
}

/* Compare block `i` of the chunk that begins at `first` with what the space held. */
static int judge(struct walk *w, uint64_t first, size_t i, bool hole, struct chv_err *err)
{
    const uint8_t *now = w->data + i * w->block_bytes;
    bool zeros = hole || all_zeros(now, w->block_bytes);
    int r = state_at(w, first + i, err);
    if (r < 0) return r;
    memset(w->unless[i], 0, CHV_HASH_BYTES);
    w->verdicts[i] = zeros ? ZEROED : FOUND;
    switch (w->state.state) {
    case CHV_STATE_ZERO:
        if (zeros) w->verdicts[i] = SAME;
        break;
    case CHV_STATE_DATA:
        memcpy(w->unless[i], w->state.hash, CHV_HASH_BYTES);
        if (zeros && memcmp(w->state.hash, w->zero_hash, CHV_HASH_BYTES) == 0) w->verdicts[i] = SAME;
        break;
    case CHV_STATE_SOURCE: {
        uint8_t *old = w->source + i * w->block_bytes;
        r = read_source(w, first + i, old, err);
        if (r < 0) return r;
        if (zeros ? all_zeros(old, w->block_bytes) : memcmp(old, now, w->block_bytes) == 0)
            w->verdicts[i] = SAME;
        else
            w->verdicts[i] |= BASE;
        break;
    }
    case CHV_STATE_UNKNOWN:
        break;
    }
    return 0;
}

static void add_record(struct walk *w, uint8_t op, uint64_t first, size_t i, size_t n, const uint8_t *data)
{
    const uint32_t per_block = w->block_bytes / CHV_SECTOR_BYTES;
    uint64_t lba = (first + i) * per_block, end = lba + n * per_block;
    uint64_t sectors = w->bytes / CHV_SECTOR_BYTES + (w->bytes % CHV_SECTOR_BYTES != 0);
    w->records[w->count++] = (struct chv_record){
        .space = w->s->target.space,
        .op = op,
        .flags = CHV_EVENT_IMPORTED,
        .sectors = (uint32_t)((end < sectors ? end : sectors) - lba),
        .lba = lba,
        .time_ns = w->s->at_ns,
        .data = data ? data + i * w->block_bytes : NULL,
        .unless = op == CHV_OP_FOUND && w->map ? (const uint8_t(*)[CHV_HASH_BYTES])(w->unless + i) : NULL,
    };
}

/* Turn the verdicts of a chunk into records of runs, and append them. */
static int append_chunk(struct walk *w, uint64_t first, size_t n, struct chv_err *err)
{
    w->count = 0;
    for (size_t i = 0, end; i < n; i = end) {
        uint8_t verdict = w->verdicts[i];
        for (end = i + 1; end < n && w->verdicts[end] == verdict;) end++;
        if (verdict & BASE) add_record(w, CHV_OP_BASELINE, first, i, end - i, w->source);
        if ((verdict & ~BASE) == FOUND) add_record(w, CHV_OP_FOUND, first, i, end - i, w->data);
        if ((verdict & ~BASE) == ZEROED) {
            add_record(w, CHV_OP_ZERO, first, i, end - i, NULL);
            w->result->zeroed += end - i;
        }
    }
    return w->count ? chv_recorder_append(w->s->target.rec, w->records, w->count, NULL, err) : 0;
}

/* One step from `block`: skip what is zeros on both sides, or compare a chunk. */
static int step(struct walk *w, uint64_t *block, struct chv_err *err)
{
    uint64_t offset = *block * w->block_bytes, extent_end;
    bool hole;
    int r = image_extent(w->s->image, offset, &extent_end, &hole, err);
    if (r < 0 || (r = state_at(w, *block, err)) < 0) return r;
    /* a hole counts for the blocks wholly in it; the block with its edge is read like data */
    uint64_t end = extent_end >= w->bytes ? w->blocks : extent_end / w->block_bytes;
    if (!hole && extent_end < w->bytes && extent_end % w->block_bytes != 0) end++;
    if (end == *block) {
        hole = false;
        end++;
    }
    if (hole && w->state.state == CHV_STATE_ZERO) {
        uint64_t state_end = w->state.first_block + w->state.blocks;
        end = end < state_end ? end : state_end;
        w->result->holes += end - *block;
        *block = end;
        return 0;
    }
    size_t n = end - *block < w->chunk_blocks ? (size_t)(end - *block) : w->chunk_blocks;
    if (!hole) {
        uint64_t bytes = w->bytes - offset < n * w->block_bytes ? w->bytes - offset : n * w->block_bytes;
        r = image_pread(w->s->image, w->data, (size_t)bytes, offset, err);
        if (r < 0) return r;
        memset(w->data + bytes, 0, n * w->block_bytes - bytes);
    } else {
        w->result->holes += n;
    }
    for (size_t i = 0; i < n; i++)
        if ((r = judge(w, *block, i, hole, err)) < 0) return r;
    r = append_chunk(w, *block, n, err);
    *block += n;
    return r;
}

static int walk_init(struct walk *w, struct import_snapshot *s, struct import_snapshot_result *result, struct chv_err *err)
{
    struct import_target *t = &s->target;
    *w = (struct walk){.s = s, .block_bytes = t->block_bytes, .chunk_blocks = CHUNK_BYTES / t->block_bytes,
                       .bytes = image_bytes(s->image), .source_fd = -1, .result = result};
    w->blocks = w->bytes / w->block_bytes + (w->bytes % w->block_bytes != 0);
    w->data = calloc(1, CHUNK_BYTES);
    w->source = calloc(1, CHUNK_BYTES);
    w->verdicts = calloc(w->chunk_blocks, 1);
    w->unless = calloc(w->chunk_blocks, CHV_HASH_BYTES);
    w->records = calloc(2 * (size_t)w->chunk_blocks, sizeof *w->records);
    if (!w->data || !w->source || !w->verdicts || !w->unless || !w->records) return chv_err_set(err, ENOMEM, "out of memory");
    uint16_t entropy;
    chv_digest_blocks(w->data, w->block_bytes, 1, &w->zero_hash, &entropy);
    if (t->before && t->before->rest == CHV_REST_SOURCE && t->before->source)
        w->source_fd = open(t->before->source, O_RDONLY | O_CLOEXEC);
    return 0;
}

static void walk_fini(struct walk *w)
{
    chv_map_close(w->map);
    if (w->source_fd >= 0) close(w->source_fd);
    free(w->data);
    free(w->source);
    free(w->verdicts);
    free(w->unless);
    free(w->records);
}

int import_snapshot_run(struct import_snapshot *s, struct import_snapshot_result *result, struct chv_err *err)
{
    struct import_target *t = &s->target;
    const struct chv_space *before = t->before;
    struct walk w;
    *result = (struct import_snapshot_result){0};
    int r = walk_init(&w, s, result, err);
    if (r == 0)
        r = import_target_space(t, w.bytes, before ? before->rest : CHV_REST_ZERO, before ? before->source : NULL, err);
    if (r == 0 && before) r = chv_map_open(t->store, before->id, 0, w.blocks, t->last_seq, &w.map, err);
    result->blocks = w.blocks;
    for (uint64_t block = 0; r == 0 && block < w.blocks;) {
        import_progress(t, "importing", block, w.blocks);
        r = step(&w, &block, err);
    }
    walk_fini(&w);
    if (r < 0) return r;
    import_progress(t, "importing", result->blocks, result->blocks);
    return import_target_close(t, &result->store, err);
}

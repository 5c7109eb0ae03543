#include "tests/timeline/world.h"

#include <fcntl.h>
#include <sys/stat.h>

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint64_t space_bytes(const struct world *w)
{
    return round_up(w->size_bytes, CHV_SECTOR_BYTES);
}

void world_random_fill(struct world *w, void *buf, size_t bytes)
{
    uint8_t *p = buf;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t r = unit_random(&w->random);
        memcpy(p + i, &r, bytes - i < 8 ? bytes - i : 8);
    }
}

void world_start_recording(struct world *w)
{
    struct chv_err err;
    const struct chv_recorder_options options = {.queue_blocks = 256,
                                                 .workers = 2,
                                                 .clock_ns = w->now_ns,
                                                 .segment_events = 128, /* many seams */
                                                 .pack_bytes = 256 << 10};
    CHECK_OK(chv_recorder_open(w->store_dir, &options, &w->recorder, &err), err);
}

void world_stop_recording(struct world *w)
{
    struct chv_err err;
    CHECK_OK(chv_recorder_close(w->recorder, &err), err);
    w->recorder = NULL;
}

static uint64_t append_only(struct world *w, const struct chv_record *record)
{
    struct chv_err err;
    uint64_t ticket;
    CHECK_OK(chv_recorder_append(w->recorder, record, 1, &ticket, &err), err);
    return ticket;
}

static uint64_t append(struct world *w, const struct chv_record *record)
{
    struct chv_err err;
    uint64_t ticket = append_only(w, record);
    CHECK_OK(chv_recorder_wait(w->recorder, ticket, &err), err);
    return world_last_seq(w);
}

void world_init(struct world *w, uint32_t block_bytes, uint64_t size_bytes, enum chv_rest rest, uint64_t seed)
{
    char dir[256];
    world_init_at(w, unit_temp_dir(dir), block_bytes, size_bytes, rest, seed);
    w->keep = false;
}

void world_init_at(struct world *w, const char *dir, uint32_t block_bytes, uint64_t size_bytes, enum chv_rest rest,
                   uint64_t seed)
{
    struct chv_err err;
    memset(w, 0, sizeof *w);
    char *path = realpath(dir, NULL);
    CHECK(path && strlen(path) < sizeof w->dir);
    strcpy(w->dir, path);
    free(path);
    w->keep = true;
    snprintf(w->store_dir, sizeof w->store_dir, "%s/store", w->dir);
    snprintf(w->device_path, sizeof w->device_path, "%s/device", w->dir);
    w->block_bytes = block_bytes;
    w->size_bytes = size_bytes;
    w->blocks = round_up(size_bytes, block_bytes) / block_bytes;
    w->random = seed;
    w->now_ns = UINT64_C(1795344067000000000); /* 2026-11-22T10:41:07Z */
    w->captured = calloc(w->blocks, sizeof *w->captured);
    w->fd = open(w->device_path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(w->captured && w->fd >= 0 && ftruncate(w->fd, (off_t)size_bytes) == 0);
    uint8_t block[4096];
    for (uint64_t b = 0; b < w->blocks && rest != CHV_REST_ZERO; b++) {
        if (unit_random(&w->random) % 3 == 0) continue;
        uint64_t at = b * block_bytes, n = size_bytes - at < block_bytes ? size_bytes - at : block_bytes;
        world_random_fill(w, block, n);
        CHECK(pwrite(w->fd, block, n, (off_t)at) == (ssize_t)n);
    }
    const struct chv_store_config config = {.block_bytes = block_bytes};
    CHECK_OK(chv_store_create(w->store_dir, &config, &err), err);
    world_start_recording(w);
    CHECK_OK(chv_recorder_space(w->recorder, "disk:t", space_bytes(w), rest, w->device_path, &w->space, &err), err);
    append(w, &(struct chv_record){.op = CHV_OP_FLUSH, .space = w->space}); /* the space is durable */
}

void world_fini(struct world *w)
{
    if (w->recorder) world_stop_recording(w);
    close(w->fd);
    free(w->captured);
    if (!w->keep) unit_remove_tree(w->dir);
}

void world_device(struct world *w, uint8_t *image)
{
    memset(image, 0, w->blocks * w->block_bytes);
    CHECK(pread(w->fd, image, w->size_bytes, 0) == (ssize_t)w->size_bytes);
}

uint64_t world_last_seq(struct world *w)
{
    struct chv_recorder_stats stats;
    chv_recorder_stats(w->recorder, &stats);
    return stats.last_seq;
}

static uint32_t sectors_of(const struct world *w, uint64_t first_block, uint64_t blocks)
{
    uint64_t at = first_block * w->block_bytes, n = blocks * w->block_bytes;
    return (uint32_t)((n < space_bytes(w) - at ? n : space_bytes(w) - at) / CHV_SECTOR_BYTES);
}

/* The blocks as they stand on the device. */
static void read_blocks(struct world *w, uint64_t first_block, uint64_t blocks, uint8_t *buf)
{
    memset(buf, 0, blocks * w->block_bytes);
    ssize_t n = pread(w->fd, buf, blocks * w->block_bytes, (off_t)(first_block * w->block_bytes));
    CHECK(n > 0);
}

static void write_device(struct world *w, const uint8_t *buf, uint64_t bytes, uint64_t at)
{
    if (bytes > w->size_bytes - at) bytes = w->size_bytes - at;
    CHECK(pwrite(w->fd, buf, bytes, (off_t)at) == (ssize_t)bytes);
}

/* Durable with whatever is waited for next, which is the overwrite. */
static void append_baselines(struct world *w, uint64_t first_block, uint64_t blocks)
{
    uint8_t block[4096];
    for (uint64_t b = first_block; b < first_block + blocks; b++) {
        if (w->captured[b]) continue;
        read_blocks(w, b, 1, block);
        append_only(w, &(struct chv_record){.space = w->space,
                                            .op = CHV_OP_BASELINE,
                                            .lba = b * w->block_bytes / CHV_SECTOR_BYTES,
                                            .sectors = sectors_of(w, b, 1),
                                            .time_ns = w->now_ns += 1000000,
                                            .data = block});
        w->captured[b] = true;
    }
}

uint64_t world_write(struct world *w, uint64_t lba, uint32_t sectors, const void *data)
{
    uint64_t first = lba * CHV_SECTOR_BYTES / w->block_bytes;
    uint64_t end = round_up((lba + sectors) * CHV_SECTOR_BYTES, w->block_bytes) / w->block_bytes;
    uint8_t *buf = malloc((end - first) * w->block_bytes);
    CHECK(buf);
    append_baselines(w, first, end - first);
    read_blocks(w, first, end - first, buf);
    memcpy(buf + (lba * CHV_SECTOR_BYTES - first * w->block_bytes), data, sectors * CHV_SECTOR_BYTES);
    /* What a write puts past the device's end inside its last sector is lost there. */
    if (end * w->block_bytes > w->size_bytes)
        memset(buf + (w->size_bytes - first * w->block_bytes), 0, end * w->block_bytes - w->size_bytes);
    uint64_t seq = append(w, &(struct chv_record){.space = w->space,
                                                  .op = CHV_OP_WRITE,
                                                  .lba = lba,
                                                  .sectors = sectors,
                                                  .time_ns = w->now_ns += 1000000,
                                                  .data = buf});
    write_device(w, buf, (end - first) * w->block_bytes, first * w->block_bytes);
    free(buf);
    return seq;
}

uint64_t world_zero(struct world *w, uint64_t first_block, uint64_t blocks, uint8_t op)
{
    append_baselines(w, first_block, blocks);
    uint64_t seq = append(w, &(struct chv_record){.space = w->space,
                                                  .op = op,
                                                  .lba = first_block * w->block_bytes / CHV_SECTOR_BYTES,
                                                  .sectors = sectors_of(w, first_block, blocks),
                                                  .time_ns = w->now_ns += 1000000});
    /* A hole, as a sensor makes of it where it can: whole blocks of the file system are given back. */
    CHECK(fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first_block * w->block_bytes),
                    (off_t)(blocks * w->block_bytes)) == 0);
    return seq;
}

uint64_t world_lost_write(struct world *w, uint64_t first_block, uint64_t blocks, uint8_t reason, const void *data)
{
    uint64_t seq =
        append(w, &(struct chv_record){.space = w->space,
                                       .op = CHV_OP_GAP,
                                       .lba = first_block * w->block_bytes / CHV_SECTOR_BYTES,
                                       .sectors = sectors_of(w, first_block, blocks),
                                       .time_ns = w->now_ns += 1000000,
                                       .gap = {.reason = reason, .events = blocks, .first_time_ns = w->now_ns}});
    for (uint64_t b = first_block; b < first_block + blocks; b++) w->captured[b] = true;
    write_device(w, data, blocks * w->block_bytes, first_block * w->block_bytes);
    return seq;
}

uint64_t world_find(struct world *w, uint64_t first_block, uint64_t blocks)
{
    uint8_t *buf = malloc(blocks * w->block_bytes);
    CHECK(buf);
    read_blocks(w, first_block, blocks, buf);
    uint64_t seq = append(w, &(struct chv_record){.space = w->space,
                                                  .op = CHV_OP_FOUND,
                                                  .lba = first_block * w->block_bytes / CHV_SECTOR_BYTES,
                                                  .sectors = sectors_of(w, first_block, blocks),
                                                  .time_ns = w->now_ns += 1000000,
                                                  .data = buf});
    for (uint64_t b = first_block; b < first_block + blocks; b++) w->captured[b] = true;
    free(buf);
    return seq;
}

struct chv_view *world_view(struct world *w, uint64_t seq, const struct chv_view_options *options,
                            struct chv_store **store)
{
    struct chv_err err;
    struct chv_view *view;
    const struct chv_space *space;
    CHECK_OK(chv_store_open(w->store_dir, store, &err), err);
    CHECK_OK(chv_store_find_space(*store, "disk:t", &space, &err), err);
    CHECK_OK(chv_view_open(*store, space, seq, options, &view, &err), err);
    return view;
}

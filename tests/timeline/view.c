/* A view over a small disk: every state a block can be in, partial reads, the ragged last block,
 * unknown blocks, a device that is gone or is not the one. */
#include "chronovisor/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/timeline/world.h"
#include "timeline/diff.h"
#include "timeline/rewind.h"

/* Read [offset, offset + bytes) and compare with the image. */
static void same(struct chv_view *view, const uint8_t *image, uint64_t offset, size_t bytes)
{
    uint8_t *buf = malloc(bytes + 2);
    struct chv_err err;
    CHECK(buf);
    buf[0] = buf[bytes + 1] = 0xa5;
    CHECK_OK(chv_view_pread(view, buf + 1, bytes, offset, &err), err);
    CHECK(buf[0] == 0xa5 && buf[bytes + 1] == 0xa5);
    if (memcmp(buf + 1, image + offset, bytes) != 0) {
        fprintf(stderr, "bytes %llu..+%zu as of seq:%llu differ\n", (unsigned long long)offset, bytes,
                (unsigned long long)chv_view_seq(view));
        exit(1);
    }
    free(buf);
}

static void fails(struct chv_view *view, uint64_t offset, size_t bytes, int code, const char *saying)
{
    uint8_t buf[65536];
    struct chv_err err = {0};
    CHECK(bytes <= sizeof buf);
    CHECK(chv_view_pread(view, buf, bytes, offset, &err) == -code);
    if (!strstr(err.text, saying) || strchr(err.text, '\n')) fprintf(stderr, "it said: %s\n", err.text);
    CHECK(err.code == code && strstr(err.text, saying) && !strchr(err.text, '\n'));
    CHECK(chv_view_pread(view, buf, bytes, offset, NULL) == -code);
}

static void states(uint32_t bb)
{
    /* 40 blocks and 1000 bytes: the space ends inside a block, the device inside a sector. */
    struct world w;
    world_init(&w, bb, 40ull * bb + (bb == 512 ? 100 : 1000), CHV_REST_SOURCE, 7);
    uint64_t size = (w.size_bytes + 511) / 512 * 512;
    size_t image_bytes = w.blocks * bb;
    uint8_t *before = malloc(image_bytes), *after = malloc(image_bytes), data[8 * 4096];
    CHECK(before && after);
    world_device(&w, before);
    uint64_t s0 = world_last_seq(&w);
    world_random_fill(&w, data, sizeof data);
    world_write(&w, 2 * bb / 512, 3 * bb / 512, data);            /* blocks 2..4 */
    world_write(&w, 6 * bb / 512 + (bb == 512 ? 0 : 1), 1, data); /* part of block 6 */
    world_zero(&w, 8, 3, CHV_OP_ZERO);
    world_zero(&w, 12, 2, CHV_OP_TRIM);
    uint64_t s1 = world_write(&w, 40 * bb / 512, 1, data); /* the last, ragged block */
    world_device(&w, after);
    world_write(&w, 2 * bb / 512, 1, data + 512); /* later than both views */

    struct chv_store *store;
    struct chv_view *view = world_view(&w, s0, NULL, &store);
    CHECK(chv_view_size_bytes(view) == size && chv_view_seq(view) == s0);
    same(view, before, 0, size);
    for (uint64_t b = 0; b + 3 < w.blocks; b++) {
        same(view, before, b * bb, bb);
        same(view, before, b * bb + 17, bb - 20);
        same(view, before, b * bb + bb - 1, 2);
        same(view, before, b * bb + 5, 2 * bb + 3);
    }
    same(view, before, size - 1, 1);
    same(view, before, size - 700 % bb, 700 % bb);
    same(view, before, size, 0);
    fails(view, size - 1, 2, EINVAL, "not inside");
    fails(view, UINT64_MAX - 1, 4, EINVAL, "not inside");
    chv_view_close(view);
    chv_store_close(store);

    view = world_view(&w, s1, NULL, &store);
    same(view, after, 0, size);
    for (uint64_t b = 0; b + 1 < w.blocks; b++) same(view, after, b * bb + 3, bb);
    struct chv_map *map;
    struct chv_extent e;
    struct chv_err err;
    uint64_t at = 0, seen = 0;
    CHECK_OK(chv_view_map(view, &map, &err), err);
    while (chv_map_next(map, &e, &err) > 0) {
        CHECK(e.first_block == at && e.blocks > 0);
        at += e.blocks;
        seen |= 1u << e.state;
        if (e.first_block == 8) CHECK(e.state == CHV_STATE_ZERO && e.blocks == 3);
    }
    CHECK(at == w.blocks);
    CHECK(seen == (1u << CHV_STATE_ZERO | 1u << CHV_STATE_DATA | 1u << CHV_STATE_SOURCE));
    chv_map_close(map);
    chv_view_close(view);
    chv_store_close(store);
    free(before);
    free(after);
    world_fini(&w);
}

static void unknowns(void)
{
    struct world w;
    world_init(&w, 4096, 32 * 4096, CHV_REST_SOURCE, 11);
    uint8_t image[32 * 4096], later[32 * 4096], data[4 * 4096];
    world_random_fill(&w, data, sizeof data);
    uint64_t s0 = world_write(&w, 0, 8, data);
    world_device(&w, image);
    uint64_t s1 = world_lost_write(&w, 4, 2, CHV_GAP_QUEUE_FULL, data); /* 4, 5: lost for good */
    /* 6: the space was out of sight, and nothing is known to have happened to it */
    uint8_t same_data[4096];
    memcpy(same_data, image + 6 * 4096, 4096);
    uint64_t s2 = world_lost_write(&w, 6, 1, CHV_GAP_UNOBSERVED, same_data);
    world_find(&w, 6, 1);
    world_device(&w, later);

    struct chv_store *store;
    struct chv_view *view = world_view(&w, s2, NULL, &store);
    same(view, later, 0, 4096);
    fails(view, 4 * 4096, 1, EIO, "the queue was full");
    fails(view, 3 * 4096, 3 * 4096, EIO, "block 4 of disk:t");
    fails(view, 6 * 4096, 4096, EIO, "while no sensor was attached");
    chv_view_close(view);
    chv_store_close(store);

    /* Before the unobserved change, what was never captured is not known any more. */
    view = world_view(&w, s0, NULL, &store);
    same(view, image, 0, 4096);
    fails(view, 9 * 4096, 4096, EIO, "while no sensor was attached");
    chv_view_close(view);
    chv_store_close(store);
    const struct chv_view_options assume = {.assume_unchanged = true};
    view = world_view(&w, s0, &assume, &store);
    same(view, image, 0, 4 * 4096);
    fails(view, 4 * 4096, 4096, EIO, "block 4"); /* lost for another reason: no assumption helps */
    same(view, image, 6 * 4096, 26 * 4096);
    chv_view_close(view);
    chv_store_close(store);

    const struct chv_view_options zero = {.zero_unknown = true};
    view = world_view(&w, s1, &zero, &store);
    memset(data, 0, sizeof data);
    uint8_t zeros[32 * 4096] = {0};
    same(view, zeros, 4 * 4096, 2 * 4096);
    CHECK(chv_view_unknown_blocks(view) == 2);
    same(view, zeros, 4 * 4096 + 100, 50);
    CHECK(chv_view_unknown_blocks(view) == 3);
    chv_view_close(view);
    chv_store_close(store);
    world_fini(&w);
}

static void other_rests(enum chv_rest rest)
{
    struct world w;
    world_init(&w, 512, 64 * 512, rest, 13);
    uint8_t data[512], image[64 * 512] = {0};
    uint64_t s0 = world_last_seq(&w);
    world_random_fill(&w, data, sizeof data);
    memcpy(image + 5 * 512, data, 512);
    uint64_t s1 = world_write(&w, 5, 1, data);
    struct chv_store *store;
    struct chv_view *view = world_view(&w, s1, NULL, &store);
    same(view, image, 5 * 512, 512);
    if (rest == CHV_REST_ZERO)
        same(view, image, 0, sizeof image);
    else
        fails(view, 4 * 512, 512, EIO, "never recorded");
    chv_view_close(view);
    struct chv_err err;
    CHECK(chv_view_open(store, chv_store_space(store, 0), s1 + 1000, NULL, &view, &err) == -EINVAL);
    chv_store_close(store);
    (void)s0;
    world_fini(&w);
}

static void wrong_devices(void)
{
    struct world w;
    world_init(&w, 4096, 16 * 4096, CHV_REST_SOURCE, 17);
    uint8_t data[4096], image[16 * 4096];
    world_random_fill(&w, data, sizeof data);
    uint64_t s1 = world_write(&w, 0, 8, data);
    world_device(&w, image);
    char moved[320], other[320];
    snprintf(moved, sizeof moved, "%s/moved", w.dir);
    snprintf(other, sizeof other, "%s/other", w.dir);
    CHECK(rename(w.device_path, moved) == 0);
    struct chv_store *store;
    struct chv_view *view = world_view(&w, s1, NULL, &store);
    same(view, image, 0, 4096); /* recorded content needs no device */
    fails(view, 4096, 4096, EIO, "--source PATH");
    chv_view_close(view);
    struct chv_view_options options = {.source = moved};
    struct chv_err err;
    CHECK_OK(chv_view_open(store, chv_store_space(store, 0), s1, &options, &view, &err), err);
    same(view, image, 0, sizeof image);
    chv_view_close(view);
    options.source = other;
    CHECK(chv_view_open(store, chv_store_space(store, 0), s1, &options, &view, &err) == -ENOENT);
    int fd = open(other, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 15 * 4096) == 0);
    close(fd);
    CHECK(chv_view_open(store, chv_store_space(store, 0), s1, &options, &view, &err) == -ESTALE);
    CHECK(strstr(err.text, "61440 bytes") && strstr(err.text, "--source"));
    options.source = w.dir;
    CHECK(chv_view_open(store, chv_store_space(store, 0), s1, &options, &view, &err) < 0);
    /* It shrinks while it is being looked at. */
    options.source = moved;
    CHECK_OK(chv_view_open(store, chv_store_space(store, 0), s1, &options, &view, &err), err);
    CHECK(ftruncate(w.fd, 8 * 4096) == 0);
    fails(view, 9 * 4096, 4096, EIO, "shrank");
    chv_view_close(view);
    chv_store_close(store);
    world_fini(&w);
}

/* A flipped bit in a pack: short and long reads fail and name the block; what is not in it is still read. */
static void damaged(void)
{
    struct world w;
    world_init(&w, 4096, 64 * 4096, CHV_REST_ZERO, 23);
    static uint8_t data[32 * 4096], image[64 * 4096];
    world_random_fill(&w, data, sizeof data);
    memcpy(image + 4096, data, sizeof data);
    uint64_t seq = world_write(&w, 8, sizeof data / 512, data);
    world_stop_recording(&w);
    char path[400];
    snprintf(path, sizeof path, "%s/packs/00000001.pack", w.store_dir);
    CHECK(chmod(path, 0600) == 0);
    int fd = open(path, O_RDWR);
    static uint8_t pack[1 << 20];
    ssize_t bytes = pread(fd, pack, sizeof pack, 0);
    uint8_t *at = memmem(pack, (size_t)bytes, data + 20 * 4096, 64); /* random content is stored as it is */
    CHECK(at);
    at[99] ^= 4;
    CHECK(pwrite(fd, at + 99, 1, at + 99 - pack) == 1);
    close(fd);
    struct chv_store *store;
    struct chv_view *view = world_view(&w, seq, NULL, &store);
    fails(view, 21 * 4096 + 5, 10, EIO, "block 21 of disk:t");
    fails(view, 21 * 4096, 4096, EIO, "00000001.pack");
    fails(view, 15 * 4096 + 1, 15 * 4096, EIO, "block 21 of disk:t");
    same(view, image, 0, 21 * 4096);
    same(view, image, 22 * 4096, 42 * 4096);
    chv_view_close(view);
    chv_store_close(store);
    world_fini(&w);
}

static int collect(void *arg, const struct diff_extent *e)
{
    struct diff_extent *all = arg;
    while (all->blocks) all++;
    *all = *e;
    return 0;
}

/* A space that shrinks keeps its past; what it lost is told by diff, and cannot be rewound. */
static void resized(void)
{
    struct world w;
    struct chv_err err;
    world_init(&w, 4096, 40 * 4096, CHV_REST_ZERO, 19);
    uint8_t data[2 * 4096], image[40 * 4096] = {0};
    world_random_fill(&w, data, sizeof data);
    memcpy(image + 35 * 4096, data, sizeof data);
    uint64_t before = world_write(&w, 35 * 8, 16, data);
    CHECK_OK(chv_recorder_space(w.recorder, "disk:t", 30 * 4096, CHV_REST_ZERO, w.device_path, &w.space, &err), err);
    uint64_t after = world_write(&w, 8, 8, data);
    struct chv_store *store;
    struct chv_view *view = world_view(&w, before, NULL, &store);
    CHECK(chv_view_size_bytes(view) == sizeof image);
    same(view, image, 0, sizeof image);
    chv_view_close(view);
    CHECK_OK(chv_view_open(store, chv_store_space(store, 0), after, NULL, &view, &err), err);
    CHECK(chv_view_size_bytes(view) == 30 * 4096);
    fails(view, 29 * 4096, 4097, EINVAL, "not inside");
    chv_view_close(view);
    struct diff_extent extents[8] = {0};
    struct diff_totals totals;
    CHECK_OK(diff_run(store, chv_store_space(store, 0), before, after, collect, extents, &totals, &err), err);
    CHECK(totals.extents == 2 && totals.resized_bytes == 10 * 4096);
    CHECK(extents[0].first_block == 1 && extents[0].blocks == 1 && extents[0].kind == DIFF_DATA);
    CHECK(extents[1].offset == 30 * 4096 && extents[1].bytes == 10 * 4096 && extents[1].kind == DIFF_RESIZED);
    struct rewind_plan plan;
    CHECK(rewind_plan(store, chv_store_space(store, 0), before, &plan, &err) == -EFBIG);
    CHECK_OK(rewind_plan(store, chv_store_space(store, 0), after, &plan, &err), err);
    chv_store_close(store);
    world_fini(&w);
}

int main(void)
{
    states(4096);
    states(512);
    unknowns();
    other_rests(CHV_REST_ZERO);
    other_rests(CHV_REST_UNKNOWN);
    wrong_devices();
    resized();
    damaged();
    return 0;
}

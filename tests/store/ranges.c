/* Random writes and ranges of any length on a space of many windows, short segments, against one number a block: what is discarded is
 * thousands of blocks at once on a real disk, at the levels of the index that small spaces do not have. */
#include "chronovisor/chronovisor.h"

#include "tests/unit.h"

enum { BLOCKS = 70000, WRITE_BLOCKS = 16, INSTANTS = 12, STEPS = 6000 };

struct model {
    uint64_t seed, instant[INSTANTS];
    uint32_t now[BLOCKS], then[INSTANTS][BLOCKS]; /* which content; 0: zeros */
    uint32_t contents;
};

static void make(uint32_t content, uint8_t *block)
{
    memset(block, 0, 4096);
    memcpy(block, &content, sizeof content);
}

/* Lengths of all magnitudes. */
static uint64_t some_length(struct model *m)
{
    return 1 + unit_random(&m->seed) % (UINT64_C(1) << unit_random(&m->seed) % 17);
}

static void step(struct model *m, struct chv_recorder *rec, uint16_t space)
{
    static uint8_t data[WRITE_BLOCKS * 4096];
    uint64_t first = unit_random(&m->seed) % BLOCKS, n = some_length(m), ticket;
    /* often where one of the index's nodes begins */
    if (unit_random(&m->seed) % 3 == 0) first -= first % (UINT64_C(1) << 4 * (unit_random(&m->seed) % 4));
    bool zero = unit_random(&m->seed) % 4 == 0;
    if (!zero) n = 1 + n % WRITE_BLOCKS;
    if (n > BLOCKS - first) n = BLOCKS - first;
    struct chv_record r = {.space = space, .op = CHV_OP_WRITE, .lba = first * 8, .sectors = (uint32_t)n * 8};
    struct chv_err err;
    if (zero) {
        r.op = unit_random(&m->seed) % 2 ? CHV_OP_ZERO : CHV_OP_TRIM;
        memset(m->now + first, 0, n * sizeof m->now[0]);
    } else {
        for (uint64_t i = 0; i < n; i++) make(m->now[first + i] = ++m->contents, data + i * 4096);
        r.data = data;
    }
    CHECK_OK(chv_recorder_append(rec, &r, 1, &ticket, &err), err);
    if (unit_random(&m->seed) % 200 == 0) CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
}

static void check_block(const struct chv_store *store, const struct chv_extent *e, uint32_t want)
{
    uint8_t got[4096], block[4096];
    struct chv_err err;
    make(want, block);
    CHECK(e->state == (want ? CHV_STATE_DATA : CHV_STATE_ZERO));
    if (!want) return;
    CHECK_OK(chv_store_read_block(store, e->hash, got, &err), err);
    CHECK(memcmp(got, block, sizeof got) == 0);
}

static void check(struct model *m, const struct chv_store *store, uint16_t space, size_t i)
{
    struct chv_map *map;
    struct chv_extent e;
    struct chv_err err;
    uint64_t at = 0;
    int r;
    CHECK_OK(chv_map_open(store, space, 0, BLOCKS, m->instant[i], &map, &err), err);
    while ((r = chv_map_next(map, &e, &err)) == 1) {
        CHECK(e.first_block == at);
        for (uint64_t b = at; b < at + e.blocks; b++) check_block(store, &e, m->then[i][b]);
        at += e.blocks;
    }
    CHECK_OK(r, err);
    CHECK(at == BLOCKS);
    chv_map_close(map);
    for (int k = 0; k < 500; k++) {
        uint64_t b = unit_random(&m->seed) % BLOCKS;
        CHECK_OK(chv_store_block_at(store, space, b, m->instant[i], &e, &err), err);
        check_block(store, &e, m->then[i][b]);
    }
}

static void remember(struct model *m, struct chv_recorder *rec, size_t i)
{
    struct chv_recorder_stats stats;
    struct chv_err err;
    uint64_t ticket;
    CHECK_OK(chv_recorder_append(rec, NULL, 0, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
    chv_recorder_stats(rec, &stats);
    m->instant[i] = stats.last_seq;
    memcpy(m->then[i], m->now, sizeof m->now);
}

int main(int argc, char **argv)
{
    struct model *m = calloc(1, sizeof *m);
    char dir[256];
    struct chv_err err;
    struct chv_recorder *rec;
    struct chv_store *store;
    uint16_t space;
    m->seed = unit_seed(argc, argv);
    unit_temp_dir(dir);
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = 4096}, &err), err);
    struct chv_recorder_options options = {.queue_blocks = 1024, .segment_events = 512 + (uint32_t)(unit_random(&m->seed) % 4096)};
    CHECK_OK(chv_recorder_open(dir, &options, &rec, &err), err);
    CHECK_OK(chv_recorder_space(rec, "disk:0", (uint64_t)BLOCKS * 4096, CHV_REST_ZERO, NULL, &space, &err), err);
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    for (size_t i = 0; i < INSTANTS; i++) {
        for (int k = 0; k < STEPS / INSTANTS; k++) step(m, rec, space);
        remember(m, rec, i);
        CHECK_OK(chv_store_refresh(store, &err), err);
        check(m, store, space, i);
    }
    chv_store_close(store);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(chv_store_open(dir, &store, &err), err);
        for (size_t i = 0; i < INSTANTS; i++) check(m, store, space, i);
        chv_store_close(store);
        if (!again) CHECK_OK(chv_store_reindex(dir, NULL, NULL, &err), err);
    }
    unit_remove_tree(dir);
    free(m);
    return 0;
}

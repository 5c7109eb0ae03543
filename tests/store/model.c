/* Random operations on several spaces, against one flat array per space and remembered instant.
 * The store is reopened, read while recording, and reindexed on the way. */
#include <errno.h>

#include "chronovisor/chronovisor.h"

#include "tests/unit.h"

enum { SPACES = 3, BLOCKS = 600, INSTANTS = 24, STEPS = 400 };

struct model {
    uint32_t block_bytes;
    uint64_t seed;
    uint8_t *now[SPACES];                 /* content */
    bool touched[SPACES][BLOCKS];
    uint8_t *then[SPACES][INSTANTS];
    uint64_t instant[INSTANTS];           /* seq */
    size_t instants;
    uint16_t ids[SPACES];
};

static void fill_random(struct model *m, uint8_t *p)
{
    uint64_t kind = unit_random(&m->seed) % 4, pick = unit_random(&m->seed);
    for (uint32_t i = 0; i < m->block_bytes; i += 8) {
        uint64_t v = kind == 0 ? 0 : kind == 1 ? pick % 7 : kind == 2 ? (pick % 50) * (i / 64 + 1) : unit_random(&m->seed);
        memcpy(p + i, &v, 8);
    }
}

static void step(struct model *m, struct chv_recorder *rec)
{
    struct chv_err err;
    size_t s = unit_random(&m->seed) % SPACES;
    uint64_t unit = m->block_bytes / 512, first = unit_random(&m->seed) % BLOCKS, n = 1 + unit_random(&m->seed) % 40;
    if (first + n > BLOCKS) n = BLOCKS - first;
    uint8_t *at = m->now[s] + first * m->block_bytes;
    struct chv_record r[2] = {{.space = m->ids[s], .lba = first * unit, .sectors = (uint32_t)(n * unit)}};
    size_t count = 1;
    switch (unit_random(&m->seed) % 8) {
    case 0:
        r[0].op = unit_random(&m->seed) % 2 ? CHV_OP_ZERO : CHV_OP_TRIM;
        memset(at, 0, n * m->block_bytes);
        break;
    case 1:
        r[0].op = CHV_OP_READ;
        break;
    case 2: /* part of a block */
        if (unit > 1) {
            r[0].lba += 1;
            n = 1;
            r[0].sectors = 1;
        } else {
            n = 1;
            r[0].sectors = 1;
        }
        r[0].op = CHV_OP_WRITE;
        memset(at + (unit > 1 ? 512 : 0), (int)unit_random(&m->seed), 512);
        r[0].data = at;
        break;
    default:
        r[0].op = CHV_OP_WRITE;
        for (uint64_t i = 0; i < n; i++) fill_random(m, at + i * m->block_bytes);
        r[0].data = at;
        if (unit_random(&m->seed) % 4 == 0) r[count++] = (struct chv_record){.op = CHV_OP_FLUSH, .space = m->ids[s]};
    }
    uint64_t ticket;
    CHECK_OK(chv_recorder_append(rec, r, count, &ticket, &err), err);
    if (unit_random(&m->seed) % 8 == 0) CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
}

static void remember(struct model *m, struct chv_recorder *rec)
{
    struct chv_err err;
    struct chv_recorder_stats stats;
    uint64_t ticket;
    if (m->instants == INSTANTS) return;
    CHECK_OK(chv_recorder_append(rec, NULL, 0, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
    chv_recorder_stats(rec, &stats);
    m->instant[m->instants] = stats.last_seq;
    for (size_t s = 0; s < SPACES; s++) {
        m->then[s][m->instants] = malloc((size_t)BLOCKS * m->block_bytes);
        memcpy(m->then[s][m->instants], m->now[s], (size_t)BLOCKS * m->block_bytes);
    }
    m->instants++;
}

static void check_block(const struct model *m, const struct chv_store *store, const struct chv_extent *e, const uint8_t *want)
{
    struct chv_err err;
    uint8_t got[4096];
    if (e->state == CHV_STATE_DATA) {
        CHECK_OK(chv_store_read_block(store, e->hash, got, &err), err);
        CHECK(chv_store_has_block(store, e->hash) == 1);
    } else {
        CHECK(e->state == CHV_STATE_ZERO);
        memset(got, 0, sizeof got);
    }
    CHECK(memcmp(got, want, m->block_bytes) == 0);
}

static void check_instant(const struct model *m, const struct chv_store *store, size_t i)
{
    struct chv_err err;
    for (size_t s = 0; s < SPACES; s++) {
        struct chv_map *map;
        struct chv_extent e;
        uint64_t at = 0;
        CHECK_OK(chv_map_open(store, m->ids[s], 0, BLOCKS, m->instant[i], &map, &err), err);
        int r;
        while ((r = chv_map_next(map, &e, &err)) == 1) {
            CHECK(e.first_block == at && e.blocks > 0);
            for (uint64_t b = 0; b < e.blocks; b++) check_block(m, store, &e, m->then[s][i] + (at + b) * m->block_bytes);
            at += e.blocks;
        }
        CHECK_OK(r, err);
        CHECK(at == BLOCKS);
        chv_map_close(map);
        for (int k = 0; k < 40; k++) {
            uint64_t b = (uint64_t)(k * 15 + (int)i) % BLOCKS;
            CHECK_OK(chv_store_block_at(store, m->ids[s], b, m->instant[i], &e, &err), err);
            check_block(m, store, &e, m->then[s][i] + b * m->block_bytes);
        }
    }
}

struct found {
    const struct model *m;
    uint8_t hash[32];
    uint64_t last;
};

static int count_sighting(void *arg, const struct chv_event *e)
{
    struct found *f = arg;
    CHECK(memcmp(e->hash, f->hash, 32) == 0 && chv_op_has_content(e->op));
    f->last = e->seq;
    return 0;
}

/* Every event of the log is found by its hash, and holes are nowhere. */
static void check_events(const struct model *m, const struct chv_store *store, uint64_t exact_from)
{
    struct chv_err err;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint64_t seq = 0, time = 0;
    int r;
    CHECK_OK(chv_cursor_open(store, 1, UINT64_MAX, &cursor, &err), err);
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) == 1)
        for (size_t i = 0; i < count; i++) {
            CHECK(batch[i].seq == seq + 1 || (batch[i].seq > seq && batch[i].seq <= exact_from + 1));
            CHECK(batch[i].time_ns >= time);
            seq = batch[i].seq;
            time = batch[i].time_ns;
            if (!chv_op_has_content(batch[i].op) || seq % 37) continue;
            struct found f = {.m = m};
            memcpy(f.hash, batch[i].hash, 32);
            int64_t n = chv_store_sightings(store, f.hash, 0, count_sighting, &f, &err);
            CHECK_OK(n, err);
            CHECK(n >= 1 && (uint64_t)n == chv_store_sighting_count(store, f.hash));
        }
    CHECK_OK(r, err);
    struct chv_store_info info;
    chv_store_info(store, &info);
    CHECK(seq == info.last_seq);
    chv_cursor_close(cursor);
}

static void print_fault(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "fault: %s\n", text);
}

static void check_whole(const char *dir)
{
    struct chv_err err;
    struct chv_verify_result result;
    struct chv_verify_options options = {.fault = print_fault};
    CHECK_OK(chv_store_verify(dir, &options, &result, &err), err);
    CHECK(result.faults == 0 && result.events > 0 && result.blocks > 0 && result.ignored_bytes == 0);
}

static void run(uint32_t block_bytes, uint64_t seed)
{
    char dir[256];
    struct chv_err err;
    struct model m = {.block_bytes = block_bytes, .seed = seed};
    struct chv_recorder *rec;
    struct chv_store *store;
    unit_temp_dir(dir);
    for (size_t s = 0; s < SPACES; s++) m.now[s] = calloc(BLOCKS, block_bytes);
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = block_bytes}, &err), err);
    size_t first = 0;
    struct chv_recorder_options options = {.queue_blocks = 128, .workers = 3};
    for (int session = 0; session < 3; session++) {
        CHECK_OK(chv_recorder_open(dir, &options, &rec, &err), err);
        struct chv_recorder *second;
        CHECK(chv_recorder_open(dir, &options, &second, &err) == -EBUSY);
        for (size_t s = 0; s < SPACES; s++) {
            char name[32];
            snprintf(name, sizeof name, "disk:%zu", s);
            CHECK_OK(chv_recorder_space(rec, name, (uint64_t)BLOCKS * block_bytes, CHV_REST_ZERO, NULL, &m.ids[s], &err), err);
        }
        CHECK_OK(chv_store_open(dir, &store, &err), err);
        for (int i = 0; i < STEPS; i++) {
            step(&m, rec);
            if (i % 50 != 49) continue;
            remember(&m, rec);
            CHECK_OK(chv_store_refresh(store, &err), err);
            if (m.instants) check_instant(&m, store, m.instants - 1);
        }
        chv_store_close(store);
        CHECK_OK(chv_recorder_close(rec, &err), err);
        check_whole(dir);
        if (session == 0) CHECK_OK(chv_store_reindex(dir, NULL, NULL, &err), err);
        if (session == 1) { /* drop the older half: from there on nothing may change */
            struct chv_prune_result pruned;
            size_t half = m.instants / 2;
            CHECK_OK(chv_store_prune(dir, m.instant[half], NULL, NULL, &pruned, &err), err);
            CHECK(pruned.dropped_events > 0);
            first = half;
            check_whole(dir);
        }
    }
    CHECK(chv_store_prune(dir, 1, NULL, NULL, &(struct chv_prune_result){0}, &err) == -ENOENT);
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    for (size_t i = first; i < m.instants; i++) check_instant(&m, store, i);
    check_events(&m, store, m.instant[first]);
    chv_store_close(store);
    for (size_t s = 0; s < SPACES; s++) {
        free(m.now[s]);
        for (size_t i = 0; i < m.instants; i++) free(m.then[s][i]);
    }
    unit_remove_tree(dir);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(4096, seed);
    run(512, seed + 1);
    return 0;
}

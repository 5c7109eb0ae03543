/* --when-behind gap: what did not fit into the queue is in GAP events, all of it and, but for joined ranges, only it. */
#include "chronovisor/chronovisor.h"
#include "store/queue.h"
#include "tests/store/fault.h"
#include "tests/unit.h"

enum { BLOCK = 512, BLOCKS = 4096, REQUESTS = 1500 };

/* Ranges that touch become one; when there are too many, the nearest are joined: never is a block left out. */
static void joining(uint64_t *seed)
{
    struct queue_file *file = calloc(1, 4096);
    struct queue q = {.file = file};
    static uint8_t lost[3][BLOCKS];
    uint64_t events = 0, said = 0;
    memset(lost, 0, sizeof lost);
    queue_add_gap(&q, 1, 10, 20, 10, 5, CHV_GAP_QUEUE_FULL);
    queue_add_gap(&q, 1, 20, 25, 5, 6, CHV_GAP_QUEUE_FULL);
    queue_add_gap(&q, 1, 8, 12, 2, 7, CHV_GAP_QUEUE_FULL);
    CHECK(file->gap_count == 1 && file->gaps[0].first_block == 8 && file->gaps[0].end_block == 25);
    CHECK(file->gaps[0].events == 17 && file->gaps[0].first_time_ns == 5);
    queue_add_gap(&q, 2, 8, 12, 1, 8, CHV_GAP_QUEUE_FULL);
    CHECK(file->gap_count == 2);
    file->gap_count = 0;
    for (int i = 0; i < 1000; i++) {
        uint16_t space = (uint16_t)(unit_random(seed) % 3);
        uint64_t first = unit_random(seed) % (BLOCKS - 9), end = first + 1 + unit_random(seed) % 8;
        memset(&lost[space][first], 1, end - first);
        queue_add_gap(&q, space, first, end, 1, 1, CHV_GAP_QUEUE_FULL);
        events++;
        CHECK(file->gap_count <= QUEUE_GAPS);
    }
    for (uint32_t i = 0; i < file->gap_count; i++) {
        const struct queue_gap *g = &file->gaps[i];
        said += g->events;
        memset(&lost[g->space][g->first_block], 0, g->end_block - g->first_block);
    }
    CHECK(said == events && !memchr(lost, 1, sizeof lost));
    free(file);
}

static void recording(uint64_t *seed)
{
    char dir[256];
    struct chv_err err;
    struct chv_recorder *rec;
    struct fault f;
    fault_init(&f);
    f.slow_us = 2000;
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 1, .gap_when_behind = true, .io = &f.io};
    uint16_t id;
    static uint8_t last[BLOCKS]; /* what each block was last given; 0: nothing */
    uint8_t data[8 * BLOCK];
    uint64_t blocks = 0, recorded = 0, lost = 0, gaps = 0, joined = 0;
    unit_temp_dir(dir);
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
    CHECK_OK(chv_recorder_open(dir, &o, &rec, &err), err);
    CHECK_OK(chv_recorder_space(rec, "disk:0", BLOCKS * BLOCK, CHV_REST_ZERO, NULL, &id, &err), err);
    for (int i = 0; i < REQUESTS; i++) {
        uint64_t n = 1 + unit_random(seed) % 8, first = unit_random(seed) % (BLOCKS - n);
        uint8_t mark = (uint8_t)(1 + i % 255);
        for (uint64_t k = 0; k < n; k++) {
            for (int b = 0; b < BLOCK; b++) data[k * BLOCK + (uint64_t)b] = (uint8_t)unit_random(seed);
            data[k * BLOCK] = last[first + k] = mark;
        }
        struct chv_record r = {.space = id, .op = CHV_OP_WRITE, .lba = first, .sectors = (uint32_t)n, .data = data};
        CHECK_OK(chv_recorder_append(rec, &r, 1, NULL, &err), err);
        blocks += n;
        if (i % 300 == 299) nanosleep(&(struct timespec){0, 50000000}, NULL); /* the queue empties: gaps are written between */
    }
    CHECK_OK(chv_recorder_close(rec, &err), err);
    struct chv_store *store;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    struct chv_store_info info;
    size_t count;
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    chv_store_info(store, &info);
    CHECK_OK(chv_cursor_open(store, 1, UINT64_MAX, &cursor, &err), err);
    while (chv_cursor_next(cursor, &batch, &count, &err) == 1)
        for (size_t i = 0; i < count; i++) {
            struct chv_gap_detail detail;
            recorded += batch[i].op == CHV_OP_WRITE;
            if (batch[i].op != CHV_OP_GAP) continue;
            memcpy(&detail, batch[i].hash, sizeof detail);
            CHECK(detail.reason == CHV_GAP_QUEUE_FULL && detail.first_time_ns && detail.first_time_ns <= batch[i].time_ns);
            lost += detail.events;
            joined += batch[i].sectors;
            gaps++;
        }
    chv_cursor_close(cursor);
    printf("%llu blocks: %llu recorded, %llu lost in %llu gaps over %llu blocks\n", (unsigned long long)blocks,
           (unsigned long long)recorded, (unsigned long long)lost, (unsigned long long)gaps, (unsigned long long)joined);
    CHECK(recorded + lost == blocks && gaps > 0 && recorded > 0);
    /* No block shows an older content than its last: it is that, or it is unknown. */
    for (uint64_t b = 0; b < BLOCKS; b++) {
        struct chv_extent x;
        CHECK_OK(chv_store_block_at(store, id, b, info.last_seq, &x, &err), err);
        if (x.state == CHV_STATE_DATA) {
            CHECK_OK(chv_store_read_block(store, x.hash, data, &err), err);
            CHECK(data[0] == last[b]);
        } else {
            CHECK(x.state == CHV_STATE_UNKNOWN || !last[b]);
        }
    }
    chv_store_close(store);
    unit_remove_tree(dir);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    joining(&seed);
    recording(&seed);
    return 0;
}

/* Everything at once, for ThreadSanitizer and for plain errors: threads that append and wait, one that keeps asking for
 * statistics, readers that open, refresh and query meanwhile; short segments and packs, so that sealing, indexing and
 * merging go on all the time. What is acknowledged before a reader looks is in what the reader sees. */
#include <pthread.h>
#include <stdatomic.h>

#include "chronovisor/chronovisor.h"
#include "tests/unit.h"

enum { WRITERS = 4, READERS = 2, BLOCK = 512, SPACE_BLOCKS = 256, REQUESTS = 700 };

struct shared {
    char dir[256];
    struct chv_recorder *rec;
    uint16_t ids[WRITERS];
    atomic_ulong acked[WRITERS];  /* requests */
    atomic_bool done;
};

struct thread {
    struct shared *shared;
    int number;
    uint64_t seed;
    pthread_t id;
};

static void content(int writer, unsigned long i, uint8_t *block)
{
    uint64_t words[2] = {(uint64_t)writer, i / 2}; /* each twice */
    memset(block, (int)i % 7, BLOCK);
    memcpy(block, words, sizeof words);
}

static void *write_requests(void *arg)
{
    struct thread *t = arg;
    struct shared *s = t->shared;
    struct chv_err err;
    uint8_t data[BLOCK];
    uint64_t ticket;
    for (unsigned long i = 0; i < REQUESTS; i++) {
        content(t->number, i, data);
        struct chv_record r[2] = {{.space = s->ids[t->number], .op = CHV_OP_WRITE, .lba = i % SPACE_BLOCKS, .sectors = 1, .data = data},
                                  {.space = s->ids[t->number], .op = CHV_OP_FLUSH}};
        CHECK_OK(chv_recorder_append(s->rec, r, 1 + (i % 5 == 0), &ticket, &err), err);
        if (unit_random(&t->seed) % 6) continue;
        CHECK_OK(chv_recorder_wait(s->rec, ticket, &err), err);
        atomic_store(&s->acked[t->number], i + 1);
    }
    CHECK_OK(chv_recorder_wait(s->rec, ticket, &err), err);
    atomic_store(&s->acked[t->number], REQUESTS);
    return NULL;
}

static int first_one(void *arg, const struct chv_event *e)
{
    *(uint64_t *)arg = e->seq;
    return 1;
}

/* The newest version of a block that was acknowledged, or a later one. */
static void check_block(const struct shared *s, const struct chv_store *store, int writer, unsigned long acked, uint64_t *seed)
{
    struct chv_err err;
    struct chv_extent x;
    struct chv_store_info info;
    uint8_t got[BLOCK], want[BLOCK];
    uint64_t words[2], block = unit_random(seed) % SPACE_BLOCKS;
    chv_store_info(store, &info);
    CHECK_OK(chv_store_block_at(store, s->ids[writer], block, info.last_seq, &x, &err), err);
    if (x.state != CHV_STATE_DATA) {
        CHECK(acked <= block);
        return;
    }
    CHECK_OK(chv_store_read_block(store, x.hash, got, &err), err);
    memcpy(words, got, sizeof words);
    CHECK(words[0] == (uint64_t)writer);
    unsigned long i = words[1] * 2 + (words[1] * 2 % SPACE_BLOCKS != block);
    content(writer, i, want);
    CHECK(i % SPACE_BLOCKS == block && i + SPACE_BLOCKS >= acked);
    uint64_t seq = 0;
    CHECK(chv_store_sightings(store, x.hash, 0, first_one, &seq, &err) == 1 && seq > 0);
}

static void *read_store(void *arg)
{
    struct thread *t = arg;
    struct shared *s = t->shared;
    struct chv_err err;
    struct chv_store *store = NULL;
    while (!atomic_load(&s->done)) {
        unsigned long acked[WRITERS];
        for (int w = 0; w < WRITERS; w++) acked[w] = atomic_load(&s->acked[w]);
        if (store && unit_random(&t->seed) % 4) {
            CHECK_OK(chv_store_refresh(store, &err), err);
        } else {
            chv_store_close(store);
            CHECK_OK(chv_store_open(s->dir, &store, &err), err);
        }
        for (int k = 0; k < 20; k++) {
            int w = (int)(unit_random(&t->seed) % WRITERS);
            check_block(s, store, w, acked[w], &t->seed);
        }
    }
    chv_store_close(store);
    return NULL;
}

static void *ask_stats(void *arg)
{
    struct thread *t = arg;
    uint64_t last = 0;
    while (!atomic_load(&t->shared->done)) {
        struct chv_recorder_stats stats;
        chv_recorder_stats(t->shared->rec, &stats);
        CHECK(stats.last_seq >= last && stats.queue_used <= stats.queue_blocks);
        last = stats.last_seq;
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    uint64_t seed = unit_seed(argc, argv);
    struct chv_err err;
    struct shared s = {0};
    struct thread threads[WRITERS + READERS + 1];
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 3, .segment_events = 64, .pack_bytes = 20000};
    unit_temp_dir(s.dir);
    CHECK_OK(chv_store_create(s.dir, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
    CHECK_OK(chv_recorder_open(s.dir, &o, &s.rec, &err), err);
    uint64_t ticket;
    for (int w = 0; w < WRITERS; w++) {
        char name[16];
        snprintf(name, sizeof name, "disk:%d", w);
        CHECK_OK(chv_recorder_space(s.rec, name, SPACE_BLOCKS * BLOCK, CHV_REST_ZERO, NULL, &s.ids[w], &err), err);
    }
    CHECK_OK(chv_recorder_append(s.rec, NULL, 0, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(s.rec, ticket, &err), err);
    for (int i = 0; i < WRITERS + READERS + 1; i++) {
        threads[i] = (struct thread){.shared = &s, .number = i, .seed = seed + (uint64_t)i};
        void *(*run)(void *) = i < WRITERS ? write_requests : i < WRITERS + READERS ? read_store : ask_stats;
        CHECK(pthread_create(&threads[i].id, NULL, run, &threads[i]) == 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i].id, NULL);
    atomic_store(&s.done, true);
    for (int i = WRITERS; i < WRITERS + READERS + 1; i++) pthread_join(threads[i].id, NULL);
    CHECK_OK(chv_recorder_close(s.rec, &err), err);
    struct chv_store *store;
    struct chv_store_info info;
    CHECK_OK(chv_store_open(s.dir, &store, &err), err);
    chv_store_info(store, &info);
    for (int i = 0; i < 500; i++) check_block(&s, store, i % WRITERS, REQUESTS, &seed);
    CHECK(info.segments > 20 && info.packs > 5); /* or it tested nothing */
    chv_store_close(store);
    unit_remove_tree(s.dir);
    return 0;
}

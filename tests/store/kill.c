/* kill -9 of a recording process, again and again, at any moment (also while it recovers from the last time): everything
 * it had appended is in the store, once and in order, though nobody had asked for it to be durable. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "chronovisor/chronovisor.h"
#include "tests/store/fault.h"
#include "tests/unit.h"

enum { THREADS = 3, BLOCK = 4096, SPACE_BLOCKS = 64, MAX_REQUEST = 29 };

/* Shared with the process that is killed. */
struct board {
    atomic_ulong appended[THREADS], acked[THREADS];
};

struct world {
    char dir[256];
    struct chv_recorder_options options;
    struct board *board;
    unsigned long there[THREADS]; /* found in the store so far */
    uint64_t next_seq, events;
    unsigned slow_us;
    bool only_recover; /* the store has not been looked at since the last kill */
};

struct thread {
    struct world *world;
    struct chv_recorder *rec;
    int number;
};

static void content(int thread, unsigned long i, uint8_t *block)
{
    uint64_t state = (uint64_t)i * THREADS + (uint64_t)thread + 1, words[2] = {(uint64_t)thread, i};
    memset(block, (int)i, BLOCK);
    for (int at = 0; at < (i % 3 ? 512 : BLOCK); at += 8) {
        uint64_t v = unit_random(&state);
        memcpy(block + at, &v, 8);
    }
    memcpy(block, words, sizeof words);
}

static void *append(void *arg)
{
    struct thread *t = arg;
    struct chv_err err;
    char name[16];
    uint8_t data[MAX_REQUEST * BLOCK];
    uint16_t id;
    uint64_t ticket;
    snprintf(name, sizeof name, "disk:%d", t->number);
    CHECK_OK(chv_recorder_space(t->rec, name, SPACE_BLOCKS * BLOCK, CHV_REST_ZERO, NULL, &id, &err), err);
    for (unsigned long i = t->world->there[t->number];;) {
        unsigned long at = i % SPACE_BLOCKS, n = 1 + i % MAX_REQUEST;
        if (at + n > SPACE_BLOCKS) n = SPACE_BLOCKS - at;
        for (unsigned long k = 0; k < n; k++) content(t->number, i + k, data + k * BLOCK);
        struct chv_record r = {.space = id, .op = CHV_OP_WRITE, .lba = at * 8, .sectors = (uint32_t)n * 8, .data = data};
        CHECK_OK(chv_recorder_append(t->rec, &r, 1, &ticket, &err), err);
        i += n;
        atomic_store(&t->world->board->appended[t->number], i);
        if (i % 50 < n && t->number > 0) {
            CHECK_OK(chv_recorder_wait(t->rec, ticket, &err), err);
            atomic_store(&t->world->board->acked[t->number], i);
        }
    }
    return NULL;
}

/* Never returns; SIGKILL ends it. */
static void victim(struct world *w)
{
    struct chv_err err;
    struct chv_recorder *rec;
    pthread_t ids[THREADS];
    struct thread threads[THREADS];
    /* A slow disk, so that the queue is rarely empty when the end comes. */
    struct fault slow;
    struct chv_recorder_options o = w->options;
    fault_init(&slow);
    slow.slow_us = w->slow_us;
    o.io = &slow.io;
    CHECK_OK(chv_recorder_open(w->dir, &o, &rec, &err), err);
    if (w->only_recover)
        for (;;) pause();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){w, rec, i};
        CHECK(pthread_create(&ids[i], NULL, append, &threads[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(ids[i], NULL);
    _exit(3);
}

static void check(struct world *w, uint64_t from_seq)
{
    struct chv_err err;
    struct chv_store *store;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    const struct chv_space *space;
    size_t count;
    uint64_t seq = from_seq;
    uint8_t want[BLOCK], hash[32], got[BLOCK];
    int r, thread_of[THREADS + 1] = {0};
    CHECK_OK(chv_store_open(w->dir, &store, &err), err);
    for (int i = 0; i < THREADS; i++) {
        char name[16];
        snprintf(name, sizeof name, "disk:%d", i);
        if (chv_store_find_space(store, name, &space, &err) == 0) thread_of[space->id] = i;
    }
    CHECK_OK(chv_cursor_open(store, from_seq, UINT64_MAX, &cursor, &err), err);
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) == 1)
        for (size_t k = 0; k < count; k++, seq++) {
            const struct chv_event *e = &batch[k];
            CHECK(e->seq == seq && e->op != CHV_OP_GAP);
            if (e->op != CHV_OP_WRITE) continue;
            unsigned long *i = &w->there[thread_of[e->space]];
            content(thread_of[e->space], *i, want);
            chv_digest_blocks(want, BLOCK, 1, &hash, NULL);
            CHECK(chv_event_lba(e) == *i % SPACE_BLOCKS * 8 && memcmp(hash, e->hash, 32) == 0);
            CHECK_OK(chv_store_read_block(store, hash, got, &err), err);
            CHECK(memcmp(want, got, BLOCK) == 0);
            ++*i;
            w->events++;
        }
    CHECK_OK(r, err);
    w->next_seq = seq;
    chv_cursor_close(cursor);
    chv_store_close(store);
}

static unsigned long appended_by_all(const struct world *w)
{
    unsigned long sum = 0;
    for (int i = 0; i < THREADS; i++) sum += atomic_load(&w->board->appended[i]);
    return sum;
}

static void round_of(struct world *w, uint64_t *seed, int last)
{
    struct chv_err err;
    struct chv_recorder *rec;
    w->slow_us = unit_random(seed) % 2 ? 2000 : 0;
    unsigned long before = appended_by_all(w);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) victim(w);
    /* Some die early, while they recover what the one before left; the others work first, however slow the machine. */
    bool early = w->only_recover || unit_random(seed) % 5 == 0;
    for (int i = 0; !early && appended_by_all(w) == before && i < 30000; i++) usleep(1000);
    long ns = (long)(unit_random(seed) % (early ? 20000000 : 60000000));
    nanosleep(&(struct timespec){0, ns}, NULL);
    CHECK(kill(pid, SIGKILL) == 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it was well until then */
    w->only_recover = !last && unit_random(seed) % 3 == 0;
    if (w->only_recover) return;
    CHECK_OK(chv_recorder_open(w->dir, &w->options, &rec, &err), err);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    check(w, w->next_seq);
    for (int i = 0; i < THREADS; i++) {
        unsigned long appended = atomic_load(&w->board->appended[i]);
        if (w->there[i] < appended || w->there[i] > appended + MAX_REQUEST) {
            fprintf(stderr, "thread %d appended %lu, the store has %lu\n", i, appended, w->there[i]);
            exit(1);
        }
        atomic_store(&w->board->appended[i], w->there[i]);
    }
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    uint64_t seed = unit_seed(argc, argv);
    int rounds = argc > 2 ? atoi(argv[2]) : 50;
    struct chv_err err;
    struct world *w = calloc(1, sizeof *w);
    w->options = (struct chv_recorder_options){.queue_blocks = 128, .workers = 2, .segment_events = 500, .pack_bytes = 300000};
    w->next_seq = 1;
    w->board = mmap(NULL, sizeof *w->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(w->board != MAP_FAILED);
    unit_temp_dir(w->dir);
    CHECK_OK(chv_store_create(w->dir, NULL, &err), err);
    for (int i = 0; i < rounds; i++) {
        round_of(w, &seed, i + 1 == rounds);
    }
    uint64_t events = w->events;
    w->events = 0;
    memset(w->there, 0, sizeof w->there);
    check(w, 1); /* and all of it once more, from the beginning */
    CHECK(w->events == events);
    CHECK(events > (uint64_t)rounds); /* few when a slow machine runs a sanitizer, but never none a round */
    printf("%d kills, %llu blocks\n", rounds, (unsigned long long)events);
    unit_remove_tree(w->dir);
    munmap(w->board, sizeof *w->board);
    free(w);
    return 0;
}

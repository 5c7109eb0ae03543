/* kill -9 under load, again and again on one store. Each time: it opens, no acknowledged write is missing on the
 * disk (they outlive the process, flushed or not), and the view of the newest instant is the disk. At the end
 * the disk as it was before the first write can still be read. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/sensor/rig.h"

#define THREADS 4
#define BLOCKS_EACH 200
#define BLOCKS (THREADS * BLOCKS_EACH)
#define BLOCK 4096

struct history { /* of one block; shared with the child that dies */
    _Atomic uint32_t started, acked; /* generations of its content */
    uint32_t open, last;             /* one whose fate an earlier crash left open; the highest ever used */
};

static struct {
    struct history *history;
    struct capture *capture;
    uint64_t seed[THREADS];
} load;

/* What a block holds in a generation: 0 is what was there before recording. */
static void content(uint8_t *buf, uint64_t block, uint32_t generation)
{
    uint64_t x = block << 32 | generation;
    if (generation && generation % 5 == 0) {
        memset(buf, 0, BLOCK);
        return;
    }
    for (int i = 0; i < BLOCK; i += 8) {
        uint64_t v = i < 512 ? unit_random(&x) : x;
        memcpy(buf + i, &v, 8);
    }
}

static void *writer(void *arg)
{
    uint64_t *seed = arg;
    uint64_t base = (uint64_t)(seed - load.seed) * BLOCKS_EACH;
    uint8_t *buf = malloc(32 * BLOCK);
    struct chv_err err;
    for (;;) {
        uint64_t n = unit_random(seed) % 4 ? 1 : 1 + unit_random(seed) % 32, first = unit_random(seed) % (BLOCKS_EACH - n);
        struct history *h = &load.history[base + first];
        /* one request changes all of its blocks to one generation */
        uint32_t generation = 0;
        for (uint64_t i = 0; i < n; i++)
            if (h[i].last >= generation) generation = h[i].last + 1;
        for (uint64_t i = 0; i < n; i++) {
            h[i].started = h[i].last = generation;
            content(buf + i * BLOCK, base + first + i, generation);
        }
        int r = generation % 5 == 0
                    ? capture_zero(load.capture, CHV_OP_TRIM, n * BLOCK, (base + first) * BLOCK, true, false, &err)
                    : capture_write(load.capture, buf, (uint32_t)(n * BLOCK), (base + first) * BLOCK,
                                    unit_random(seed) % 50 == 0, &err);
        CHECK_OK(r, err);
        for (uint64_t i = 0; i < n; i++) h[i].acked = generation;
        if (unit_random(seed) % 100 == 0) CHECK_OK(capture_flush(load.capture, &err), err);
    }
    return NULL;
}

static void child(const struct session_options *o)
{
    struct session *s;
    struct chv_err err;
    pthread_t thread;
    CHECK_OK(session_open(o, &s, &err), err);
    load.capture = &s->captures[0];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&thread, NULL, writer, &load.seed[i]) == 0);
    pause();
}

/* What a generation before the crash left must be on the disk now; generations go on from there. */
static void check_disk(struct rig *rig)
{
    uint8_t now[BLOCK], expected[BLOCK];
    int fd = open(rig->disk, O_RDONLY);
    CHECK(fd >= 0);
    for (uint64_t b = 0; b < BLOCKS; b++) {
        struct history *h = &load.history[b];
        CHECK(pread(fd, now, BLOCK, (off_t)(b * BLOCK)) == BLOCK);
        /* the open one only if nothing was acknowledged since */
        uint32_t possible[3] = {h->acked, h->started, h->open > h->acked ? h->open : h->acked};
        bool found = false;
        uint32_t is = 0;
        for (int i = 0; !found && i < 3; i++) {
            is = possible[i];
            content(expected, b, is);
            found = memcmp(now, expected, BLOCK) == 0;
        }
        if (!found) {
            fprintf(stderr, "block %llu is not generation %u (acknowledged), %u or %u\n", (unsigned long long)b,
                    possible[0], possible[1], possible[2]);
            exit(1);
        }
        h->acked = h->started = h->open = is;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    int kills = argc > 2 ? atoi(argv[2]) : 12;
    struct rig rig;
    rig_init(&rig);
    load.history = mmap(NULL, BLOCKS * sizeof *load.history, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(load.history != MAP_FAILED);
    uint8_t *before = malloc(BLOCKS * BLOCK);
    CHECK(before);
    for (uint64_t b = 0; b < BLOCKS; b++) content(before + b * BLOCK, b, 0);
    int fd = open(rig.disk, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, before, BLOCKS * BLOCK) == BLOCKS * BLOCK);
    close(fd);

    struct session_options o = rig_options(&rig);
    o.queue_blocks = 1024;
    o.record_reads = false;
    uint64_t writes = 0;
    bool skipped = false;
    for (int kill_number = 0; kill_number < kills; kill_number++) {
        for (int i = 0; i < THREADS; i++) load.seed[i] = unit_random(&seed);
        fflush(stdout);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) child(&o);
        usleep((useconds_t)(1000 + unit_random(&seed) % 250000));
        kill(pid, SIGKILL);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status)); /* it did not end by itself */
        if (!skipped && unit_random(&seed) % 3 == 0) { /* the next finds the remains of both */
            for (int b = 0; b < BLOCKS; b++) load.history[b].open = load.history[b].started;
            skipped = true;
            continue;
        }
        skipped = false;

        struct session *s;
        struct chv_err err;
        CHECK_OK(session_open(&o, &s, &err), err);
        check_disk(&rig);
        CHECK_OK(session_close(s, NULL, 0, &err), err);
        rig_same(&rig, "disk:vda", rig.disk);
        uint64_t bytes;
        uint8_t *first = rig_view(&rig, "disk:vda", 1, false, &bytes);
        CHECK(memcmp(first, before, BLOCKS * BLOCK) == 0);
        free(first);
    }
    for (uint64_t b = 0; b < BLOCKS; b++) writes += load.history[b].last;
    printf("%d kills, %llu generations\n", kills, (unsigned long long)writes);
    CHECK(writes > 0);
    free(before);
    rig_fini(&rig);
    return 0;
}

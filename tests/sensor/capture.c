/* Requests of many threads, overlapping, of every kind and shape; at the end the view is the disk, and
 * what each thread wrote where nobody else does is what it reads. At a moment in between the view is what
 * the disk was then. */
#include <pthread.h>

#include "tests/sensor/rig.h"

#define THREADS 6
#define SHARED_BYTES (1u << 20)  /* everybody writes here */
#define OWN_BYTES (256u << 10)   /* and each in a part of its own */
#define DISK_BYTES (SHARED_BYTES + THREADS * OWN_BYTES + 777) /* no multiple of anything */

struct worker {
    struct capture *capture;
    uint64_t seed;
    unsigned index, rounds;
    uint8_t *model; /* of the thread's own part */
};

static void one_request(struct worker *w, uint8_t *buf)
{
    struct capture *c = w->capture;
    struct chv_err err;
    uint64_t start = SHARED_BYTES + (uint64_t)w->index * OWN_BYTES, room = OWN_BYTES;
    bool own = unit_random(&w->seed) % 3 != 0;
    if (!own) {
        start = 0;
        room = unit_random(&w->seed) % 8 ? SHARED_BYTES : DISK_BYTES;
        if (room == DISK_BYTES) start = DISK_BYTES - 777, room = 777; /* the ragged end */
    }
    uint64_t offset = start + unit_random(&w->seed) % room, bytes = 1 + unit_random(&w->seed) % 20000;
    if (unit_random(&w->seed) % 2) { /* mostly aligned, as guests are */
        offset -= offset % 4096 < offset - start ? offset % 4096 : 0;
        bytes = (bytes + 4095) / 4096 * 4096;
    }
    if (bytes > start + room - offset) bytes = start + room - offset;
    bool fua = unit_random(&w->seed) % 64 == 0;
    uint8_t *mine = own ? w->model + (offset - start) : NULL;
    switch (unit_random(&w->seed) % 8) {
    case 0:
    case 1:
        CHECK_OK(capture_read(c, buf, (uint32_t)bytes, offset, &err), err);
        if (mine) CHECK(memcmp(buf, mine, bytes) == 0);
        break;
    case 2:
        CHECK_OK(capture_zero(c, unit_random(&w->seed) % 2 ? CHV_OP_ZERO : CHV_OP_TRIM, bytes, offset,
                              unit_random(&w->seed) % 2, fua, &err), err);
        if (mine) memset(mine, 0, bytes);
        break;
    case 3:
        if (unit_random(&w->seed) % 16 == 0) CHECK_OK(capture_flush(c, &err), err);
        break;
    default:
        memset(buf, (int)(1 + unit_random(&w->seed) % 255), bytes);
        if (unit_random(&w->seed) % 2)
            for (uint64_t i = 0; i + 8 <= bytes; i += 512) memcpy(buf + i, &w->seed, 8);
        if (mine) memcpy(mine, buf, bytes);
        CHECK_OK(capture_write(c, buf, (uint32_t)bytes, offset, fua, &err), err);
    }
}

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    uint8_t *buf = malloc(1 << 16);
    CHECK(buf);
    for (unsigned i = 0; i < w->rounds; i++) one_request(w, buf);
    free(buf);
    return NULL;
}

static void read_all(struct capture *c, uint8_t *buf)
{
    struct chv_err err;
    CHECK_OK(capture_read(c, buf, DISK_BYTES, 0, &err), err);
}

static uint64_t durable_seq(struct session *s)
{
    struct chv_recorder_stats stats;
    chv_recorder_stats(s->rec, &stats);
    return stats.last_seq;
}

static void run(struct session_options *o, struct rig *rig, uint8_t *models, uint64_t *seed)
{
    struct session *s;
    struct chv_err err;
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    uint8_t *then = malloc(DISK_BYTES);
    CHECK(then);
    CHECK_OK(session_open(o, &s, &err), err);
    uint64_t then_seq = 0;
    for (int half = 0; half < 2; half++) {
        for (unsigned i = 0; i < THREADS; i++) {
            w[i] = (struct worker){.capture = &s->captures[0], .seed = unit_random(seed), .index = i, .rounds = 250,
                                   .model = models + i * OWN_BYTES};
            CHECK(pthread_create(&thread[i], NULL, worker_run, &w[i]) == 0);
        }
        for (unsigned i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
        if (half == 0) { /* nobody writes now */
            CHECK_OK(capture_flush(&s->captures[0], &err), err);
            then_seq = durable_seq(s);
            read_all(&s->captures[0], then);
        }
    }
    CHECK(s->captures[0].blocks.suspects == 0);
    char summary[256];
    CHECK_OK(session_close(s, summary, sizeof summary, &err), err);
    printf("%s\n", summary);
    rig_same(rig, "disk:vda", rig->disk);
    uint64_t bytes;
    bool unknown = o->baseline == SESSION_NONE;
    uint8_t *view = rig_view(rig, "disk:vda", then_seq, unknown, &bytes);
    if (!unknown) CHECK(memcmp(view, then, DISK_BYTES) == 0);
    free(view);
    free(then);
}

static void original(const struct rig *rig, uint8_t *buf)
{
    int fd = open(rig->disk, O_RDONLY);
    CHECK(fd >= 0 && pread(fd, buf, DISK_BYTES, 0) == DISK_BYTES);
    close(fd);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    uint8_t *before = malloc(DISK_BYTES);
    CHECK(before);
    for (int kind = 0; kind < 5; kind++) {
        struct rig rig;
        rig_init(&rig);
        rig_disk(&rig, DISK_BYTES, kind == 1 ? 0 : DISK_BYTES * 2 / 3, &seed);
        original(&rig, before);
        struct session_options o = rig_options(&rig);
        if (kind == 2) o.block_bytes = 512;
        if (kind == 3) o.baseline = SESSION_FULL;
        if (kind == 4) o.queue_blocks = 64;
        printf("kind %d\n", kind);
        uint8_t *models = malloc(THREADS * OWN_BYTES);
        CHECK(models);
        memcpy(models, before + SHARED_BYTES, THREADS * OWN_BYTES);
        run(&o, &rig, models, &seed);
        run(&o, &rig, models, &seed); /* goes on where the first ended */
        free(models);
        /* as of the first event nothing had been written: whatever was overwritten since is in the baselines */
        uint64_t bytes;
        uint8_t *view = rig_view(&rig, "disk:vda", 1, false, &bytes);
        CHECK(memcmp(view, before, DISK_BYTES) == 0);
        free(view);
        rig_fini(&rig);
    }
    free(before);
    return 0;
}

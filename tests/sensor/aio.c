/* io_uring on a file: what is put in by several threads, many at a time, is done once, whole, and tells its end; also
 * at the file's end, behind it, and where the kernel does a part only. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "sensor/capture/aio.h"
#include "tests/sensor/rig.h"

#define BLOCK 4096u
#define THREADS 4u
#define OWN 96u /* blocks of a thread */
#define ROUNDS 40u

struct request {
    struct aio_op op; /* the first member */
    struct iovec iov[3];
    uint8_t data[3 * BLOCK];
    struct worker *worker;
    uint64_t offset, bytes; /* the op's change */
    int error;
};

struct worker {
    struct aio *aio;
    uint64_t seed, base; /* of its blocks */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned left;
    uint8_t *model;
    struct request request[OWN];
};

static void on_done(struct aio_op *op, int error)
{
    struct request *r = (struct request *)op;
    struct worker *w = r->worker;
    r->error = error;
    pthread_mutex_lock(&w->mutex);
    if (--w->left == 0) pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static void prepare(struct worker *w, struct request *r, bool write, uint64_t offset, unsigned pieces, size_t bytes)
{
    r->op = (struct aio_op){.done = on_done, .iov = r->iov, .iovs = pieces, .write = write, .offset = offset};
    for (unsigned i = 0; i < pieces; i++) {
        r->iov[i] = (struct iovec){r->data + i * BLOCK, i + 1 < pieces ? BLOCK : bytes};
        r->op.bytes += r->iov[i].iov_len;
    }
    r->offset = offset;
    r->bytes = r->op.bytes;
    r->worker = w;
    r->error = 1;
}

static void do_all(struct worker *w, struct aio_batch *batch)
{
    w->left = batch->count;
    aio_submit(w->aio, batch);
    CHECK(batch->count == 0);
    pthread_mutex_lock(&w->mutex);
    while (w->left) pthread_cond_wait(&w->cond, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

/* Each of its blocks is written or read once a round, alone or up to three together. */
static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct aio_batch batch = {0};
        unsigned n = 0;
        for (unsigned at = 0; at < OWN; n++) {
            unsigned pieces = 1 + (unsigned)(unit_random(&w->seed) % 3);
            if (pieces > OWN - at) pieces = OWN - at;
            struct request *r = &w->request[n];
            prepare(w, r, unit_random(&w->seed) % 2, w->base + at * BLOCK, pieces, BLOCK);
            memset(r->data, (int)unit_random(&w->seed), sizeof r->data);
            if (r->op.write) memcpy(w->model + at * BLOCK, r->data, pieces * BLOCK);
            aio_add(&batch, &r->op);
            at += pieces;
        }
        do_all(w, &batch);
        for (unsigned i = 0; i < n; i++) {
            struct request *r = &w->request[i];
            CHECK(r->error == 0 && memcmp(r->data, w->model + (r->offset - w->base), r->bytes) == 0);
        }
    }
    return NULL;
}

static struct worker *worker_new(struct aio *aio, unsigned number)
{
    struct worker *w = calloc(1, sizeof *w);
    CHECK(w && (w->model = calloc(OWN, BLOCK)));
    w->aio = aio;
    w->base = (uint64_t)number * OWN * BLOCK;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    return w;
}

static void worker_free(struct worker *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w->model);
    free(w);
}

static int one(struct worker *w, bool write, uint64_t offset, unsigned pieces, size_t bytes)
{
    struct aio_batch batch = {0};
    prepare(w, &w->request[0], write, offset, pieces, bytes);
    aio_add(&batch, &w->request[0].op);
    do_all(w, &batch);
    return w->request[0].error;
}

/* The disk's last block is a short one: behind its end there are zeros. Where the file was cut, nothing is made up. */
static void ends(struct worker *w, const struct disk *disk, const char *path)
{
    const uint64_t last = disk->size_bytes / BLOCK * BLOCK, rest = disk->size_bytes - last;
    struct request *r = &w->request[0];
    CHECK(rest > 0);
    memset(r->data, 0x5a, sizeof r->data);
    CHECK(one(w, true, last - BLOCK, 2, rest) == 0);
    memset(r->data, 0xff, sizeof r->data);
    CHECK(one(w, false, last - BLOCK, 3, BLOCK) == 0);
    for (unsigned i = 0; i < 3 * BLOCK; i++) CHECK(r->data[i] == (i < BLOCK + rest ? 0x5a : 0));
    CHECK(truncate(path, (off_t)(last - BLOCK)) == 0);
    CHECK(one(w, false, last - 2 * BLOCK, 3, BLOCK) == -EIO);
    CHECK(truncate(path, (off_t)disk->size_bytes) == 0);
    CHECK(one(w, false, last, 1, BLOCK) == 0 && r->data[0] == 0);
}

/* The kernel writes up to the limit, and then no more: the rest is tried, and its error told. */
static void fails(struct worker *w, const struct disk *disk)
{
    struct rlimit before, less;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    less = before;
    less.rlim_cur = BLOCK + 1000;
    CHECK(setrlimit(RLIMIT_FSIZE, &less) == 0);
    CHECK(one(w, true, 0, 3, BLOCK) == -EFBIG);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    uint8_t *bad = (uint8_t *)(uintptr_t)BLOCK; /* nobody's */
    struct aio_batch batch = {0};
    prepare(w, &w->request[0], false, 0, 2, BLOCK);
    w->request[0].iov[1].iov_base = bad;
    aio_add(&batch, &w->request[0].op);
    do_all(w, &batch);
    CHECK(w->request[0].error == -EFAULT);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    struct rig rig;
    struct disk disk;
    struct aio *aio;
    struct chv_err err;
    struct worker *w[THREADS];
    pthread_t thread[THREADS];
    rig_init(&rig);
    rig_disk(&rig, THREADS * OWN * BLOCK + 3 * BLOCK + 1000, 0, &seed);
    if (aio_check(&err) < 0) {
        printf("SKIP: %s\n", err.text);
        return getenv("CHV_NO_SKIP") ? 1 : 77;
    }
    CHECK_OK(disk_open(rig.disk, &disk, &err), err);
    CHECK_OK(aio_new(&disk, &aio, &err), err);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = worker_new(aio, i);
        w[i]->seed = unit_random(&seed);
        CHECK(pthread_create(&thread[i], NULL, work, w[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    ends(w[0], &disk, rig.disk);
    fails(w[0], &disk);
    for (unsigned i = 0; i < THREADS; i++) worker_free(w[i]);
    aio_free(aio);
    CHECK_OK(aio_new(&disk, &aio, &err), err); /* one that is never used */
    aio_free(aio);
    disk_close(&disk);
    rig_fini(&rig);
    return 0;
}

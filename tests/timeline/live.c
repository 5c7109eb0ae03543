/* A view while the guest goes on writing: blocks that come from the device are overwritten behind
 * the readers' backs, and every read still gives what was there at the view's instant. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/timeline/world.h"
#include "timeline/restore.h"

enum { BLOCKS = 400, READERS = 3 };

struct live {
    struct world w;
    uint64_t seq;
    uint8_t *image; /* at seq */
    struct chv_view *view;
    atomic_bool writing;
    atomic_int reads;
};

/* Every block once, in random order: each read of a block races at most once with its first overwrite. */
static void *writer(void *arg)
{
    struct live *live = arg;
    struct world *w = &live->w;
    uint32_t order[BLOCKS];
    uint64_t random = 99;
    uint8_t *data = malloc(w->block_bytes);
    CHECK(data);
    for (uint32_t i = 0; i < BLOCKS; i++) order[i] = i;
    for (uint32_t i = BLOCKS - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(unit_random(&random) % (i + 1)), t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        world_random_fill(w, data, w->block_bytes);
        if (i % 7 == 0)
            world_zero(w, order[i], 1, CHV_OP_ZERO);
        else
            world_write(w, order[i] * w->block_bytes / 512, w->block_bytes / 512, data);
    }
    free(data);
    atomic_store(&live->writing, false);
    return NULL;
}

static void *reader(void *arg)
{
    struct live *live = arg;
    uint64_t size = chv_view_size_bytes(live->view), random = (uint64_t)(uintptr_t)&random;
    uint8_t *buf = malloc(size);
    struct chv_err err;
    CHECK(buf);
    bool last = false;
    while (!last) {
        last = !atomic_load(&live->writing);
        uint64_t from = unit_random(&random) % size;
        uint64_t most = unit_random(&random) % 3 ? 2 * live->w.block_bytes : size;
        uint64_t n = 1 + unit_random(&random) % most;
        if (n > size - from) n = size - from;
        CHECK_OK(chv_view_pread(live->view, buf, n, from, &err), err);
        CHECK(memcmp(buf, live->image + from, n) == 0);
        atomic_fetch_add(&live->reads, 1);
    }
    free(buf);
    return NULL;
}

/* A restore of the same instant, meanwhile. */
static void *restorer(void *arg)
{
    struct live *live = arg;
    uint64_t size = chv_view_size_bytes(live->view);
    uint8_t *buf = malloc(size);
    struct chv_err err;
    CHECK(buf);
    bool last = false;
    while (!last) {
        last = !atomic_load(&live->writing);
        FILE *f = tmpfile();
        struct restore_result result;
        const struct restore_options options = {.workers = 2};
        CHECK(f);
        CHECK_OK(restore_write(live->view, fileno(f), &options, &result, &err), err);
        CHECK(pread(fileno(f), buf, size, 0) == (ssize_t)size && memcmp(buf, live->image, size) == 0);
        fclose(f);
    }
    free(buf);
    return NULL;
}

int main(void)
{
    struct live live = {.writing = true};
    struct world *w = &live.w;
    world_init(w, 4096, BLOCKS * 4096, CHV_REST_SOURCE, 5);
    live.seq = world_last_seq(w);
    live.image = malloc(BLOCKS * 4096);
    CHECK(live.image);
    world_device(w, live.image);
    struct chv_store *store;
    live.view = world_view(w, live.seq, NULL, &store);
    pthread_t threads[READERS + 2];
    CHECK(pthread_create(&threads[0], NULL, writer, &live) == 0);
    CHECK(pthread_create(&threads[1], NULL, restorer, &live) == 0);
    for (int i = 0; i < READERS; i++) CHECK(pthread_create(&threads[2 + i], NULL, reader, &live) == 0);
    for (int i = 0; i < READERS + 2; i++) pthread_join(threads[i], NULL);
    printf("%d reads\n", atomic_load(&live.reads));
    CHECK(atomic_load(&live.reads) > READERS);
    chv_view_close(live.view);
    chv_store_close(store);
    free(live.image);
    world_fini(w);
    return 0;
}

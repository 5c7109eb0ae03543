#include "sensor/capture/hold.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/held.h"

static void look(struct hold *h)
{
    bool now = held_is(h->store_dir);
    if (now == hold_is(h)) return;
    atomic_store_explicit(&h->held, now, memory_order_release);
    fprintf(stderr, "chronovisor record: %s: %s\n", h->store_dir,
            now ? "held: writes wait until 'chronovisor release'" : "released: writes go on");
}

static void *run(void *arg)
{
    struct hold *h = arg;
    const struct timespec pause = {.tv_nsec = HOLD_LOOK_NS};
    while (!atomic_load(&h->stop)) {
        nanosleep(&pause, NULL);
        look(h);
    }
    return NULL;
}

int hold_start(struct hold *h, const char *store_dir, struct chv_err *err)
{
    h->store_dir = store_dir;
    look(h);
    int r = pthread_create(&h->thread, NULL, run, h);
    h->running = r == 0;
    return r == 0 ? 0 : chv_err_set(err, r, "threads: %s", strerror(r));
}

void hold_stop(struct hold *h)
{
    if (!h->running) return;
    atomic_store(&h->stop, true);
    pthread_join(h->thread, NULL);
    h->running = false;
}

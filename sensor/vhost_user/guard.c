#include "sensor/vhost_user/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* A signal's handler gets nothing but the address, so what it looks into is the one table of the process. A fault
 * within a range comes from a thread that holds the mapping, so its place is not given away meanwhile. */
static struct {
    pthread_once_t once;
    struct place {
        _Atomic uintptr_t start, end; /* end 0: free; 1: being filled */
        size_t unit;
        struct guard *guard;
    } place[GUARDS_MAX];
} table = {.once = PTHREAD_ONCE_INIT};

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
    const int saved = errno;
    const uintptr_t at = (uintptr_t)info->si_addr;
    for (unsigned i = 0; i < GUARDS_MAX; i++) {
        struct place *p = &table.place[i];
        uintptr_t start = atomic_load_explicit(&p->start, memory_order_relaxed);
        if (at >= atomic_load_explicit(&p->end, memory_order_acquire) || at < start) continue;
        void *page = (void *)(start + (at - start) / p->unit * p->unit);
        if (mmap(page, p->unit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            break;
        atomic_store_explicit(&p->guard->lost, true, memory_order_release);
        errno = saved;
        return; /* and the instruction is done again */
    }
    struct sigaction fatal = {.sa_handler = SIG_DFL};
    sigaction(signal, &fatal, NULL); /* not ours: it happens again, and is the end */
    errno = saved;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

int guard_begin(struct guard *g, void *map, size_t bytes, size_t unit)
{
    pthread_once(&table.once, install);
    atomic_init(&g->lost, false);
    for (int i = 0; i < (int)GUARDS_MAX; i++) {
        struct place *p = &table.place[i];
        uintptr_t free_end = 0;
        if (!atomic_compare_exchange_strong(&p->end, &free_end, 1)) continue;
        p->guard = g;
        p->unit = unit;
        atomic_store_explicit(&p->start, (uintptr_t)map, memory_order_relaxed);
        atomic_store_explicit(&p->end, (uintptr_t)map + bytes, memory_order_release);
        g->slot = i;
        return 0;
    }
    g->slot = -1;
    return -ENOSPC;
}

void guard_end(struct guard *g)
{
    if (g->slot >= 0) atomic_store_explicit(&table.place[g->slot].end, 0, memory_order_release);
    g->slot = -1;
}

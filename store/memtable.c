#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/recorder_impl.h"

#define HUGE_PAGE (2u << 20)

/* Touched all over at once: a page fault for every 4 KiB would cost more than what is written there. */
static void *huge_alloc(size_t bytes)
{
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *p = aligned_alloc(HUGE_PAGE, bytes);
    if (p) madvise(p, bytes, MADV_HUGEPAGE); /* a kernel without them does without */
    return p;
}

struct memtable *memtable_new(void)
{
    struct memtable *t = huge_alloc(sizeof *t);
    if (t) memtable_clear(t);
    return t;
}

void memtable_clear(struct memtable *t)
{
    memset(t, 0, sizeof *t);
}

struct chv_event *events_new(void)
{
    return huge_alloc(SEGMENT_EVENTS * sizeof(struct chv_event));
}

static size_t slot_of(const uint8_t hash[32])
{
    uint64_t h;
    memcpy(&h, hash + 8, 8); /* not the bytes that packs and runs are ordered by */
    return (size_t)(h & (MEMTABLE_SLOTS - 1));
}

bool memtable_find(const struct memtable *t, const uint8_t hash[32])
{
    for (size_t i = slot_of(hash);; i = (i + 1) & (MEMTABLE_SLOTS - 1)) {
        if (atomic_load_explicit(&t->slots[i].loc, memory_order_acquire) == 0) return false;
        if (memcmp(t->slots[i].hash, hash, 32) == 0) return true;
    }
}

void memtable_insert(struct memtable *t, const uint8_t hash[32], pack_loc loc)
{
    size_t i = slot_of(hash);
    while (atomic_load_explicit(&t->slots[i].loc, memory_order_relaxed) != 0) {
        if (memcmp(t->slots[i].hash, hash, 32) == 0) return;
        i = (i + 1) & (MEMTABLE_SLOTS - 1);
    }
    t->count++;
    memcpy(t->slots[i].hash, hash, 32);
    atomic_store_explicit(&t->slots[i].loc, loc, memory_order_release); /* whoever sees it sees the hash */
}

void memtable_prefetch(const struct memtable *t, const uint8_t hash[32])
{
    __builtin_prefetch(&t->slots[slot_of(hash)]);
}

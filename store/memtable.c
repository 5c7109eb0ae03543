#include <string.h>

#include "store/recorder_impl.h"

static size_t slot_of(const uint8_t hash[32])
{
    uint64_t h;
    memcpy(&h, hash + 8, 8); /* not the bytes that packs and runs are ordered by */
    return (size_t)(h & (MEMTABLE_SLOTS - 1));
}

bool memtable_find(const struct memtable *t, const uint8_t hash[32])
{
    for (size_t i = slot_of(hash);; i = (i + 1) & (MEMTABLE_SLOTS - 1)) {
        if (t->slots[i].loc == 0) return false;
        if (memcmp(t->slots[i].hash, hash, 32) == 0) return true;
    }
}

void memtable_insert(struct memtable *t, const uint8_t hash[32], pack_loc loc)
{
    size_t i = slot_of(hash);
    while (t->slots[i].loc != 0) {
        if (memcmp(t->slots[i].hash, hash, 32) == 0) return;
        i = (i + 1) & (MEMTABLE_SLOTS - 1);
    }
    memcpy(t->slots[i].hash, hash, 32);
    t->slots[i].loc = loc;
    t->count++;
}

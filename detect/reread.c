#include "detect/reread.h"

#include <stdlib.h>
#include <string.h>

#define SETS 8192
#define WAYS 8

/* sectors 0: empty. The most recent of a set is first. */
struct seen {
    uint64_t time_ns;
    uint64_t place; /* lba << 16 | sectors */
};

struct reread {
    struct seen sets[SETS][WAYS];
};

struct reread *reread_new(void)
{
    return calloc(1, sizeof(struct reread));
}

void reread_free(struct reread *r)
{
    free(r);
}

size_t reread_memory(void)
{
    return sizeof(struct reread);
}

bool reread_push(struct reread *r, uint64_t time_ns, uint64_t lba, uint32_t sectors)
{
    struct seen *set = r->sets[(lba * UINT64_C(0x9e3779b97f4a7c15)) >> 51];
    unsigned way = 0;
    while (way < WAYS - 1 && (set[way].place >> 16 != lba || set[way].place == 0)) way++;
    const struct seen old = set[way];
    uint64_t length = old.place & 0xffff;
    bool recent = length > 0 && old.place >> 16 == lba && time_ns - old.time_ns < REREAD_WINDOW_NS;
    bool again = recent && length >= sectors;
    memmove(set + 1, set, way * sizeof *set);
    /* a shorter repetition says nothing new of the rest, and may be one of a poll in two lengths: keep the longer */
    set[0] = (struct seen){time_ns, lba << 16 | (again ? length : sectors)};
    return again;
}

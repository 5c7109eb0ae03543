#include "sensor/import/blockset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_unique(struct blockset *set)
{
    if (set->count == 0) return;
    qsort(set->blocks, set->count, sizeof *set->blocks, compare);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++)
        if (set->blocks[i] != set->blocks[kept - 1]) set->blocks[kept++] = set->blocks[i];
    set->count = kept;
}

int blockset_add(struct blockset *set, uint64_t block)
{
    if (set->count > 0 && set->blocks[set->count - 1] == block) return 0;
    if (set->count == set->room) {
        sort_unique(set); /* grow only when half of the room is really used */
        if (set->count >= set->room / 2) {
            size_t room = set->room ? set->room * 2 : 1024;
            uint64_t *blocks = reallocarray(set->blocks, room, sizeof *blocks);
            if (!blocks) return -ENOMEM;
            set->blocks = blocks;
            set->room = room;
        }
    }
    set->blocks[set->count++] = block;
    return 0;
}

int blockset_seal(struct blockset *set)
{
    sort_unique(set);
    set->flags = calloc(set->count ? set->count : 1, sizeof *set->flags);
    return set->flags ? 0 : -ENOMEM;
}

size_t blockset_from(const struct blockset *set, uint64_t block)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->blocks[middle] < block)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void blockset_fini(struct blockset *set)
{
    free(set->blocks);
    free(set->flags);
    *set = (struct blockset){0};
}

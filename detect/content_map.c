/* Entries of 8 bytes in sets of 8, the most recent first. A set and a tag together are a bijection of the block number, so
 * a hit is never another block's.
 *
 *   tag:32 | entropy:16 | 0:9 | first sector in the block:3 | sectors:4 (0: an empty entry)
 *
 * A block has one entry: a piece that begins in it, and that may reach into the next block. */
#include "detect/content_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define BLOCK_BITS 45 /* a 48-bit LBA in blocks of 8 sectors */
#define BLOCK_MASK ((UINT64_C(1) << BLOCK_BITS) - 1)
#define MIX UINT64_C(0x1d8e4e27c47d) /* odd: multiplying by it modulo 2^45 can be undone */

_Static_assert(BLOCK_BITS - CONTENT_MAP_BITS_MIN <= 32, "a tag takes what the set's number leaves of a block's");

struct content_map {
    unsigned bits;
    bool crossed; /* some entry reached into the next block; never with aligned pieces */
    uint64_t (*sets)[WAYS];
};

static uint64_t mix(uint64_t block)
{
    block = block * MIX & BLOCK_MASK;
    return block ^ block >> 23; /* its own inverse: 2 * 23 > 45 */
}

static uint64_t unmix(uint64_t mixed)
{
    uint64_t inverse = MIX; /* Newton: each step doubles the bits that are right, of 3 */
    for (int i = 0; i < 4; i++) inverse *= 2 - MIX * inverse;
    return (mixed ^ mixed >> 23) * inverse & BLOCK_MASK;
}

static uint32_t entry_tag(uint64_t e)
{
    return (uint32_t)(e >> 32);
}

static uint32_t entry_first(uint64_t e)
{
    return (uint32_t)(e >> 4) & 7;
}

static uint32_t entry_sectors(uint64_t e)
{
    return (uint32_t)e & 15;
}

size_t content_map_memory(unsigned bits)
{
    return ((size_t)1 << bits) * sizeof(uint64_t[WAYS]);
}

struct content_map *content_map_new(unsigned bits)
{
    assert(bits >= CONTENT_MAP_BITS_MIN && bits <= CONTENT_MAP_BITS_MAX);
    struct content_map *map = calloc(1, sizeof *map);
    if (!map) return NULL;
    map->bits = bits;
    map->sets = aligned_alloc(64, content_map_memory(bits));
    if (!map->sets) {
        free(map);
        return NULL;
    }
    content_map_clear(map);
    return map;
}

void content_map_free(struct content_map *map)
{
    if (!map) return;
    free(map->sets);
    free(map);
}

void content_map_clear(struct content_map *map)
{
    memset(map->sets, 0, content_map_memory(map->bits));
    map->crossed = false;
}

static uint64_t *find_set(const struct content_map *map, uint64_t block, uint32_t *tag)
{
    uint64_t mixed = mix(block);
    *tag = (uint32_t)(mixed >> map->bits);
    return map->sets[mixed & ((UINT64_C(1) << map->bits) - 1)];
}

/* The block's place in its set, or WAYS. */
static unsigned find_way(const uint64_t *set, uint32_t tag)
{
    unsigned way = 0;
    while (way < WAYS && (entry_tag(set[way]) != tag || entry_sectors(set[way]) == 0)) way++;
    return way;
}

static void drop_way(uint64_t *set, unsigned way)
{
    memmove(set + way, set + way + 1, (WAYS - 1 - way) * sizeof *set);
    set[WAYS - 1] = 0;
}

/* Forget the block's entry when it has a sector in [first, end) of the block; the entry may end beyond 8. */
static void forget_overlap(struct content_map *map, uint64_t block, uint64_t first, uint64_t end)
{
    uint32_t tag;
    uint64_t *set = find_set(map, block, &tag);
    unsigned way = find_way(set, tag);
    if (way == WAYS) return;
    uint32_t begin = entry_first(set[way]);
    if (begin < end && begin + entry_sectors(set[way]) > first) drop_way(set, way);
}

void content_map_set(struct content_map *map, uint64_t lba, uint32_t sectors, uint16_t entropy)
{
    assert(sectors >= 1 && sectors <= 8 && lba < UINT64_C(1) << 48);
    uint64_t block = lba >> 3;
    uint32_t first = (uint32_t)lba & 7, tag;
    if (first + sectors > 8) {
        map->crossed = true;
        forget_overlap(map, (block + 1) & BLOCK_MASK, 0, first + sectors - 8);
    }
    if (map->crossed && block > 0) forget_overlap(map, block - 1, 8 + first, 8 + first + sectors);
    uint64_t *set = find_set(map, block, &tag);
    unsigned way = find_way(set, tag);
    if (way == WAYS) way = WAYS - 1; /* the one seen longest ago */
    memmove(set + 1, set, way * sizeof *set);
    set[0] = (uint64_t)tag << 32 | (uint64_t)entropy << 16 | first << 4 | sectors;
}

bool content_map_get(const struct content_map *map, uint64_t lba, uint32_t sectors, uint16_t *entropy)
{
    uint32_t tag;
    const uint64_t *set = find_set(map, lba >> 3 & BLOCK_MASK, &tag);
    unsigned way = find_way(set, tag);
    if (way == WAYS || entry_first(set[way]) != (lba & 7) || entry_sectors(set[way]) != sectors) return false;
    *entropy = (uint16_t)(set[way] >> 16);
    return true;
}

/* Too many blocks to look up one by one: look at every entry instead. */
static void forget_sweep(struct content_map *map, uint64_t lba, uint64_t end)
{
    for (uint64_t s = 0; s < UINT64_C(1) << map->bits; s++) {
        uint64_t *set = map->sets[s];
        for (unsigned way = WAYS; way-- > 0;) {
            if (entry_sectors(set[way]) == 0) continue;
            uint64_t at = unmix((uint64_t)entry_tag(set[way]) << map->bits | s) << 3 | entry_first(set[way]);
            if (at < end && at + entry_sectors(set[way]) > lba) drop_way(set, way);
        }
    }
}

void content_map_forget(struct content_map *map, uint64_t lba, uint64_t sectors)
{
    uint64_t limit = UINT64_C(1) << 48;
    if (lba >= limit || sectors == 0) return;
    uint64_t end = sectors < limit - lba ? lba + sectors : limit;
    if ((end - lba) >> 3 > (UINT64_C(1) << map->bits) / 4) {
        forget_sweep(map, lba, end);
        return;
    }
    uint64_t block = lba >> 3;
    if (block > 0) forget_overlap(map, block - 1, (lba & 7) + 8, end - (block - 1) * 8);
    for (; block << 3 < end; block++) forget_overlap(map, block, lba > block << 3 ? lba - (block << 3) : 0, end - (block << 3));
}

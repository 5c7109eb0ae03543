#include "timeline/block_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Set-associative: a hash can live in one of WAYS slots of one set. SHA-256 is uniform, so its
 * first bytes choose the set. Sets share a few locks; a critical section copies one block. */
enum { WAYS = 8, LOCKS = 64 };

struct slot {
    uint8_t hash[CHV_HASH_BYTES];
    uint32_t used; /* the set's clock at the last use; 0: empty */
};

struct set {
    uint32_t clock;
    struct slot slots[WAYS];
};

struct block_cache {
    uint32_t block_bytes;
    size_t set_count;
    struct set *sets;
    uint8_t *blocks; /* set_count * WAYS blocks, touched as they fill */
    pthread_mutex_t locks[LOCKS];
};

struct block_cache *block_cache_new(uint32_t block_bytes)
{
    struct block_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->block_bytes = block_bytes;
    cache->set_count = BLOCK_CACHE_BYTES / block_bytes / WAYS;
    cache->sets = calloc(cache->set_count, sizeof *cache->sets);
    cache->blocks = malloc(cache->set_count * WAYS * block_bytes);
    if (!cache->sets || !cache->blocks) {
        free(cache->sets);
        free(cache->blocks);
        free(cache);
        return NULL;
    }
    for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&cache->locks[i], NULL);
    return cache;
}

void block_cache_free(struct block_cache *cache)
{
    if (!cache) return;
    for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&cache->locks[i]);
    free(cache->sets);
    free(cache->blocks);
    free(cache);
}

static size_t set_of(const struct block_cache *cache, const uint8_t *hash)
{
    uint64_t prefix;
    memcpy(&prefix, hash, sizeof prefix);
    return (size_t)(prefix % cache->set_count);
}

static uint8_t *block_of(const struct block_cache *cache, size_t set, int way)
{
    return cache->blocks + (set * WAYS + (size_t)way) * cache->block_bytes;
}

/* The clock of a set wraps after 4 billion uses of it: forget its order then, not its contents. */
static uint32_t tick(struct set *set)
{
    if (++set->clock == 0) {
        for (int way = 0; way < WAYS; way++) set->slots[way].used = set->slots[way].used != 0;
        set->clock = 2;
    }
    return set->clock;
}

bool block_cache_get(struct block_cache *cache, const uint8_t hash[CHV_HASH_BYTES], void *buf, size_t offset,
                     size_t bytes)
{
    size_t s = set_of(cache, hash);
    struct set *set = &cache->sets[s];
    pthread_mutex_t *lock = &cache->locks[s % LOCKS];
    bool found = false;
    pthread_mutex_lock(lock);
    for (int way = 0; way < WAYS && !found; way++) {
        struct slot *slot = &set->slots[way];
        if (!slot->used || memcmp(slot->hash, hash, CHV_HASH_BYTES) != 0) continue;
        slot->used = tick(set);
        memcpy(buf, block_of(cache, s, way) + offset, bytes);
        found = true;
    }
    pthread_mutex_unlock(lock);
    return found;
}

void block_cache_put(struct block_cache *cache, const uint8_t hash[CHV_HASH_BYTES], const void *block)
{
    size_t s = set_of(cache, hash);
    struct set *set = &cache->sets[s];
    pthread_mutex_t *lock = &cache->locks[s % LOCKS];
    int victim = 0;
    pthread_mutex_lock(lock);
    for (int way = 0; way < WAYS; way++) {
        if (set->slots[way].used && memcmp(set->slots[way].hash, hash, CHV_HASH_BYTES) == 0) {
            victim = -1; /* another thread was faster */
            break;
        }
        if (set->slots[way].used < set->slots[victim].used) victim = way;
    }
    if (victim >= 0) {
        memcpy(set->slots[victim].hash, hash, CHV_HASH_BYTES);
        memcpy(block_of(cache, s, victim), block, cache->block_bytes);
        set->slots[victim].used = tick(set);
    }
    pthread_mutex_unlock(lock);
}

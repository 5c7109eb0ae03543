/* A bounded cache of decompressed, verified blocks, by content hash. Safe for many threads. */
#ifndef CHV_TIMELINE_BLOCK_CACHE_H
#define CHV_TIMELINE_BLOCK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

#define BLOCK_CACHE_BYTES (16u << 20) /* of block contents, a view */

struct block_cache;

struct block_cache *block_cache_new(uint32_t block_bytes);
void block_cache_free(struct block_cache *cache);

/* Copy `bytes` of the block from `offset` in it; false when it is not here. */
bool block_cache_get(struct block_cache *cache, const uint8_t hash[CHV_HASH_BYTES], void *buf, size_t offset,
                     size_t bytes);
/* Keep a copy of a whole block; the least recently used of its set makes room. */
void block_cache_put(struct block_cache *cache, const uint8_t hash[CHV_HASH_BYTES], const void *block);

#endif

/* What is known of the content that blocks hold: the entropy of the last write or read of each, for as many blocks as a
 * fixed memory takes. So a change can be compared with what it replaces. What was seen longest ago is forgotten first;
 * an answer is never a guess: a block that is not known, or not known as exactly this piece, is said to be unknown.
 *
 * A set of 8 entries is one cache line, and no two pieces share a key: a look-up is one line, two where pieces lie across
 * the borders of 4 KiB blocks. One thread. */
#ifndef CHV_DETECT_CONTENT_MAP_H
#define CHV_DETECT_CONTENT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_MAP_BITS_MIN 13 /* 65536 blocks (256 MiB of content) in 512 KiB; each bit more doubles it */
#define CONTENT_MAP_BITS 15     /* 262144 blocks (1 GiB of content) in 2 MiB */
#define CONTENT_MAP_BITS_MAX 20

struct content_map;
/* 2^bits sets. NULL: out of memory. */
struct content_map *content_map_new(unsigned bits);
void content_map_free(struct content_map *map); /* NULL is fine */
void content_map_clear(struct content_map *map);
size_t content_map_memory(unsigned bits); /* in bytes */

/* `sectors` 1..8 from `lba` (below 2^48) now hold content of this entropy. Whatever overlaps them is forgotten. */
void content_map_set(struct content_map *map, uint64_t lba, uint32_t sectors, uint16_t entropy);
/* The entropy of what was last set for exactly these sectors; false: not known. */
bool content_map_get(const struct content_map *map, uint64_t lba, uint32_t sectors, uint16_t *entropy);
/* These sectors hold something unknown now. Any number of them: costs at most a pass over the map. */
void content_map_forget(struct content_map *map, uint64_t lba, uint64_t sectors);

#endif

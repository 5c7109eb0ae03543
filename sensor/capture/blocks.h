/* What the log knows of each block of a disk: two bits a block. */
#ifndef CHV_SENSOR_BLOCKS_H
#define CHV_SENSOR_BLOCKS_H

#include <stdint.h>

enum block_state {
    BLOCK_NONE = 0,    /* no version yet: its content is only on the disk */
    BLOCK_KNOWN = 1,   /* the newest version is what the disk holds */
    BLOCK_SUSPECT = 2, /* there are versions, but the disk may hold something else (a gap, a failed write) */
};

/* Readers and writers of different blocks share words, so every access is atomic; whoever
 * decides by a block's state holds its range (ranges.h). */
struct blocks {
    uint64_t count, words;
    uint64_t *known, *suspect;
    uint64_t suspects; /* how many are SUSPECT */
};

int blocks_init(struct blocks *b, uint64_t count); /* all NONE */
void blocks_fini(struct blocks *b);
enum block_state blocks_get(const struct blocks *b, uint64_t block);
void blocks_set(struct blocks *b, uint64_t first, uint64_t end, enum block_state state);
/* The end of the run of equal states that starts at `first`, at most `end`. */
uint64_t blocks_run(const struct blocks *b, uint64_t first, uint64_t end, enum block_state *state);

#endif

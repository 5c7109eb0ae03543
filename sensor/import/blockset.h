/* A set of block numbers, collected first and looked up by range afterwards, with a slot number and
 * a flag each. Its memory grows with the numbers in it, never with the size of a disk. */
#ifndef CHV_SENSOR_IMPORT_BLOCKSET_H
#define CHV_SENSOR_IMPORT_BLOCKSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockset {
    uint64_t *blocks; /* ascending, once sealed */
    bool *flags;      /* the user's; false after blockset_seal */
    size_t count, room;
};

/* Before sealing. Duplicates are fine. 0 or -ENOMEM. */
int blockset_add(struct blockset *set, uint64_t block);
int blockset_seal(struct blockset *set);
/* The slot of the first number >= block; `count` when there is none. */
size_t blockset_from(const struct blockset *set, uint64_t block);
void blockset_fini(struct blockset *set);

#endif

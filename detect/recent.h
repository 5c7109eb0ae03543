/* When blocks were last read and written: a fixed table of the most recent ones, for "this write overwrites what was read
 * a moment ago". Four entries to a set, one cache line; a full set forgets its longest untouched. So the answer is a lower
 * bound, and the same for the same accesses. */
#ifndef CHV_DETECT_RECENT_H
#define CHV_DETECT_RECENT_H

#include <stdint.h>

#define RECENT_SETS (1u << 16)
#define RECENT_WAYS 4
#define RECENT_SHIFT 24      /* times are in units of 2^24 ns: 16.8 ms, and 2.2 years before they come round */
#define RECENT_REACH 3576u   /* a minute of those; older is never */

struct recent_entry {
    uint32_t tag;
    uint32_t read, written; /* time + 1, 0: never */
    uint32_t touched;       /* the later of both */
};

struct recent {
    struct recent_entry entry[RECENT_SETS][RECENT_WAYS];
};

/* How long ago, in units of time + 1; 0: not within reach. */
struct recent_age {
    uint32_t read, written;
};

/* Note that a block is read or written now (units), and say what was known of it before. */
struct recent_age recent_touch(struct recent *r, uint64_t block, uint32_t now, int writing);
/* The same, of a block that is not accessed. */
struct recent_age recent_look(const struct recent *r, uint64_t block, uint32_t now);

#endif

/* What a space's accesses came to, a tick at a time, and over the last 1, 5, 10 and 30 ticks. Integers all through, so that
 * sums that slide are exact and the same everywhere. */
#ifndef CHV_DETECT_WINDOW_H
#define CHV_DETECT_WINDOW_H

#include <stdint.h>

enum window { W1, W5, W10, W30, WINDOWS };
#define WINDOW_TICKS 30u /* of the longest */

/* Counters come in pairs, reads then writes, where the name has no side: COUNT_x + 1 is of the writes. */
enum count {
    COUNT_PIECES, COUNT_PIECES_W,       /* pieces of at most a block */
    COUNT_BYTES, COUNT_BYTES_W,
    COUNT_COMMANDS, COUNT_COMMANDS_W,   /* as they were given, before they were cut into pieces */
    COUNT_RUNS, COUNT_RUNS_W,           /* that began: commands that continue no recent one (streams.h) */
    COUNT_FORWARD, COUNT_FORWARD_W,     /* of them, a little after the end of a recent run */
    COUNT_BACK, COUNT_BACK_W,           /* a little before */
    COUNT_OTHER, COUNT_OTHER_W,         /* commands that continue a run which others had interrupted */
    COUNT_SMALL, COUNT_SMALL_W,         /* runs that begin with less than a block: files that are no longer, or tails */
    COUNT_ENDED, COUNT_ENDED_W,         /* runs that come to less than a block: a file was gone through to its end */
    COUNT_THROUGH, COUNT_THROUGH_W,     /* runs that went on: second commands */
    COUNT_HEAD, COUNT_HEAD_W,           /* of them, after a first command of one block */
    COUNT_DEPTH0, COUNT_DEPTH0_W,       /* pieces within the first 16 KiB of their run */
    COUNT_DEPTH1, COUNT_DEPTH1_W,       /* up to 128 KiB */
    COUNT_DEPTH2, COUNT_DEPTH2_W,       /* up to 1 MiB; the others are beyond */
    COUNT_AGAIN, COUNT_AGAIN_W,         /* of a block read (written) within a minute, and now again */
    COUNT_CROSSED, COUNT_CROSSED_W,     /* reads of a block written within a minute; writes over a block read within one */
    COUNT_SWITCH, COUNT_SWITCH_W,       /* commands after one of the other side */
    COUNT_QUICK,                        /* writes over a block read within the last second */
    COUNT_SLOW,                         /* over a block read more than ten seconds ago */
    COUNT_DELAY,                        /* sum of those delays, 2^24 ns */
    COUNT_ENTROPY_KNOWN,                /* writes */
    COUNT_ENTROPY,                      /* sum over them, 65535 each at most */
    COUNT_HIGH,                         /* of them, above 0.97 */
    COUNT_PLAIN,                        /* below 0.7 */
    COUNT_FLAT,                         /* as of 64 symbols that are as frequent: base64 of what looks random */
    COUNT_CROSSED_KNOWN,                /* writes over a block read within a minute, entropy known */
    COUNT_CROSSED_ENTROPY, COUNT_CROSSED_HIGH,
    COUNT_OVERWRITES,                   /* runs of writes that overwrite what was read within a minute */
    COUNT_SEALED,                       /* runs of writes with entropy above 0.97 */
    COUNT_SCRAMBLES,                    /* both, in one block: a file encrypted in place */
    COUNT_OLD_KNOWN,                    /* changes whose old entropy is known too */
    COUNT_RISING,                       /* of them, from below 0.9 to above 0.97 */
    COUNT_RISE,                         /* sum of new - old + 65535 */
    COUNT_DESTROYED,                    /* writes over known content that was not zeros, all one byte or nearly so */
    COUNT_SPOILED,                      /* of them, from below 0.9 to above 0.97 */
    COUNT_BLANKED,                      /* of them, with such content */
    COUNT_READ_KNOWN,                   /* reads of known content */
    COUNT_READ_ENTROPY,                 /* sum over them */
    COUNT_READ_PLAIN,                   /* of them, below 0.7 */
    COUNT_READ_HIGH,                    /* of them, above 0.97 */
    COUNT_ALIKE,                        /* runs of high entropy written, as long as one that was read within a minute */
    COUNT_DEDUP_KNOWN, COUNT_NOVEL,
    COUNT_DISCARDS,                     /* pieces of at most a block that were discarded */
    COUNT_DISCARDS_FULL,                /* of the first block of each discard, those of known content other than zeros */
    COUNT_DISCARDS_CROSSED,             /* of the first 256 of each discard, those read within a minute */
    COUNTS
};

#define REGION_BITS 4096u /* regions are hashed to as many bits */
#define REGION_WORDS (REGION_BITS / 64)

/* Of the addresses of at most MOMENT_MOST pieces of a tick. */
#define MOMENT_MOST (1u << 19)
struct moment {
    uint64_t n, sum;
    unsigned __int128 squares;
};

struct tick {
    uint64_t count[COUNTS];
    struct moment lba[2];
    uint64_t region[2][REGION_WORDS]; /* of 1 MiB */
};

struct windows {
    struct tick ring[WINDOW_TICKS]; /* ring[now % WINDOW_TICKS] is being filled */
    uint64_t now;                   /* tick */
    uint64_t sum[WINDOWS][COUNTS];  /* without the tick that is being filled, until window_close */
    struct moment lba[WINDOWS][2];
};

extern const unsigned window_ticks[WINDOWS];

static inline struct tick *windows_tick(struct windows *w)
{
    return &w->ring[w->now % WINDOW_TICKS];
}

/* The tick is full: the sums are of the windows that end with it. */
void windows_close(struct windows *w);
/* Begin the next, ticks >= 1 later. */
void windows_next(struct windows *w, uint64_t ticks);
/* Regions that side (0: reads) touched in the last ticks. */
unsigned windows_regions(const struct windows *w, int side, unsigned ticks);

void moment_add(struct moment *m, uint64_t lba);
double moment_variance(const struct moment *m);

#endif

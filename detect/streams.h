/* Sequential streams: commands that go on where one of the latest left off are one run, as a file is read or written. */
#ifndef CHV_DETECT_STREAMS_H
#define CHV_DETECT_STREAMS_H

#include <stdint.h>

#define STREAMS 16               /* remembered at a time */
#define STREAM_DONE 0x80u        /* a mark of its own: its length was told */
#define STREAMS_NEAR_SECTORS 2048u /* a run that begins no farther from the end of one is near it */

struct stream {
    uint64_t next_lba; /* where it would go on */
    uint64_t sectors;  /* so long already */
    uint64_t commands; /* made of so many */
    uint64_t used;     /* when, in commands; 0: free */
    uint8_t marks;     /* what its user noted of it */
};

struct streams {
    struct stream stream[STREAMS];
    unsigned latest;
    uint64_t commands;
    uint64_t done_sectors; /* of the run that the placement before left behind for a new one, once; else 0 */
    uint8_t done_marks;
};

enum stream_kind {
    STREAM_SAME,    /* goes on with the latest */
    STREAM_OTHER,   /* goes on with one that was interrupted by others */
    STREAM_FORWARD, /* a new run, a little after the end of one */
    STREAM_BACK,    /* a new run, a little before */
    STREAM_FAR,     /* a new run elsewhere */
};

/* Where a piece belongs; `first`: of its command. *depth: sectors of its run before it. *command: which one of its run it
 * is of, from 0. */
enum stream_kind streams_place(struct streams *s, uint64_t lba, uint32_t sectors, int first, uint64_t *depth,
                               uint64_t *command);

/* Note something of the run that was placed last; true the first time. */
int streams_mark(struct streams *s, uint8_t mark);

#endif

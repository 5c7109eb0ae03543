/* One access to a space, as the detector sees it: a piece of at most one block of a read or a change. Every source (a
 * recorder's log, a live follower, RanSAP) is turned into these, in order of time; features are made of nothing else. */
#ifndef CHV_DETECT_ACCESS_H
#define CHV_DETECT_ACCESS_H

#include <stdint.h>

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_DISCARD };

enum access_flag {
    ACCESS_CONTINUED = 1,   /* not the first piece of its command */
    ACCESS_ENTROPY = 2,     /* `entropy` is known */
    ACCESS_OLD_ENTROPY = 4, /* `old_entropy`, of what a change replaces or a read found, is known */
    ACCESS_NOVEL = 8,       /* a write of content that was never stored before (only with ACCESS_DEDUP) */
    ACCESS_DEDUP = 16,      /* ACCESS_NOVEL is known */
};

struct access {
    uint64_t time_ns;     /* never earlier than the access before */
    uint64_t lba;         /* in 512-byte sectors */
    uint32_t sectors;     /* 1..8 of a piece; any of a discard */
    uint8_t kind, flags;
    uint16_t entropy;     /* normalised Shannon entropy of the content, 0..65535 (chronovisor/store.h) */
    uint16_t old_entropy;
};

#endif

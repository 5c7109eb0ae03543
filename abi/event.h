/* The 64-byte event: the one record of the evidence log, shared by every room.
 *
 * Freestanding on purpose (only <stdint.h>, <stddef.h>): the hypervisor, the wire
 * and outside readers use the same layout. docs/format.md describes it byte by byte;
 * a change here is a change of the format version.
 */
#ifndef CHV_ABI_EVENT_H
#define CHV_ABI_EVENT_H

#include <stddef.h>
#include <stdint.h>

#define CHV_FORMAT_VERSION 1u
#define CHV_SECTOR_BYTES 512u
#define CHV_HASH_BYTES 32u
#define CHV_SPACE_NAME_BYTES 32u /* SPACE events carry the name in the hash field */
#define CHV_LBA_MAX ((UINT64_C(1) << 48) - 1)

/* What happened. Values are part of the format; 0 is never valid. */
enum chv_op {
    CHV_OP_SPACE = 1,    /* a space begins or is resized: lba = sectors, hash = name, flags = enum chv_rest */
    CHV_OP_WRITE = 2,    /* content written */
    CHV_OP_READ = 3,     /* metadata only: no hash, one event a request */
    CHV_OP_ZERO = 4,     /* a range became zeros (block-aligned, any length) */
    CHV_OP_TRIM = 5,     /* a range was discarded and reads as zeros (block-aligned, any length) */
    CHV_OP_BASELINE = 6, /* content that stood here until now, unseen; true for every earlier time */
    CHV_OP_FOUND = 7,    /* content found here by looking (snapshot, resynchronisation, acquisition) */
    CHV_OP_FLUSH = 8,    /* the guest asked for durability */
    CHV_OP_GAP = 9,      /* what happened to this range was not recorded; hash = struct chv_gap_detail */
    CHV_OP_COMMIT = 10,  /* the recorder's durability mark; hash = digest of the segment so far */
    CHV_OP_MARK = 11,    /* hash = head digest of the custody log */
    CHV_OP_PRUNE = 12,   /* history before lba (as seq) was dropped; hash = digest of the last segment sealed before it */
};
#define CHV_OP_MAX 12

/* Event flags (for SPACE events the field holds enum chv_rest instead). */
enum chv_event_flag {
    CHV_EVENT_FUA = 1 << 0,      /* the request demanded durability by itself */
    CHV_EVENT_PARTIAL = 1 << 1,  /* the request covered part of the block; hash is of the whole block */
    CHV_EVENT_NEW = 1 << 2,      /* this event's content was first stored by it */
    CHV_EVENT_CONTINUED = 1 << 3,/* same request as the event before it */
    CHV_EVENT_REWIND = 1 << 4,   /* written by Chronovisor putting the space back */
    CHV_EVENT_IMPORTED = 1 << 5, /* came from an import, with the import's clock */
    CHV_EVENT_EXECUTE = 1 << 6,  /* READ of memory: a processor fetched instructions there */
};

/* What a block without any version holds. */
enum chv_rest {
    CHV_REST_UNKNOWN = 0, /* nothing is known: reading it is an error */
    CHV_REST_ZERO = 1,    /* zeros */
    CHV_REST_SOURCE = 2,  /* what the recorded device still holds there */
};

/* Little-endian, naturally aligned. lba and sectors are in 512-byte sectors. */
struct chv_event {
    uint64_t seq;     /* 0: no holes within a stream, starts at 1 */
    uint64_t time_ns; /* 8: UTC, never goes backwards within a stream */
    uint32_t lba_lo;  /* 16 */
    uint16_t lba_hi;  /* 20: a 48-bit LBA */
    uint16_t entropy; /* 22: Shannon entropy of the block / 8 bits * 65535 */
    uint32_t sectors; /* 24: length; within one block for events with content */
    uint16_t space;   /* 28: 1..65535 */
    uint8_t op;       /* 30: enum chv_op */
    uint8_t flags;    /* 31: enum chv_event_flag */
    uint8_t hash[CHV_HASH_BYTES]; /* 32: SHA-256 of the whole aligned block, or as the op says */
};

_Static_assert(sizeof(struct chv_event) == 64, "the event is 64 bytes");
_Static_assert(offsetof(struct chv_event, time_ns) == 8, "time_ns at 8");
_Static_assert(offsetof(struct chv_event, lba_lo) == 16, "lba_lo at 16");
_Static_assert(offsetof(struct chv_event, lba_hi) == 20, "lba_hi at 20");
_Static_assert(offsetof(struct chv_event, entropy) == 22, "entropy at 22");
_Static_assert(offsetof(struct chv_event, sectors) == 24, "sectors at 24");
_Static_assert(offsetof(struct chv_event, space) == 28, "space at 28");
_Static_assert(offsetof(struct chv_event, op) == 30, "op at 30");
_Static_assert(offsetof(struct chv_event, flags) == 31, "flags at 31");
_Static_assert(offsetof(struct chv_event, hash) == 32, "hash at 32");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

/* Why a GAP was recorded. */
enum chv_gap_reason {
    CHV_GAP_QUEUE_FULL = 1,  /* --when-behind gap: the queue was full */
    CHV_GAP_STORE_ERROR = 2, /* the store could not take it (disk full, I/O error) */
    CHV_GAP_UNOBSERVED = 3,  /* the source changed while no sensor was attached */
    CHV_GAP_CRASH = 4,       /* the recorder died with this in its queue */
    CHV_GAP_MALFORMED = 5,   /* no change was lost: a queue of the guest's requests made no sense and was stopped */
    CHV_GAP_UNKNOWN = 6,     /* a request whose effect the sensor cannot tell, or whose data it could not read */
    CHV_GAP_FAILED = 7,      /* the device failed a request that was already recorded, or a reset ended it: some of it may be there */
    CHV_GAP_PARTIAL = 8,     /* a part of the block was written, and what the rest of it held is not known */
    CHV_GAP_UNKEPT = 9,      /* the block was written, and of its content only the entropy was kept, as configured */
};

/* The hash field of a GAP event. */
struct chv_gap_detail {
    uint8_t reason; /* enum chv_gap_reason */
    uint8_t reserved;
    uint16_t entropy; /* UNKEPT: of the content that was not kept, and the event's own field says it, too; else 0 */
    uint8_t reserved1[4];
    uint64_t events;        /* block events not recorded */
    uint64_t first_time_ns; /* of the first of them */
    uint64_t reserved2;
};
_Static_assert(sizeof(struct chv_gap_detail) == CHV_HASH_BYTES, "fits the hash field");

static inline uint64_t chv_event_lba(const struct chv_event *e)
{
    return (uint64_t)e->lba_hi << 32 | e->lba_lo;
}

static inline void chv_event_set_lba(struct chv_event *e, uint64_t lba)
{
    e->lba_lo = (uint32_t)lba;
    e->lba_hi = (uint16_t)(lba >> 32);
}

/* Does this operation carry the hash of a block's content? */
static inline int chv_op_has_content(uint8_t op)
{
    return op == CHV_OP_WRITE || op == CHV_OP_BASELINE || op == CHV_OP_FOUND;
}

/* A write of which only the entropy is known? */
static inline int chv_event_unkept(const struct chv_event *e)
{
    return e->op == CHV_OP_GAP && e->hash[0] == CHV_GAP_UNKEPT;
}

/* Does this operation change (or lose) what a range holds? */
static inline int chv_op_is_version(uint8_t op)
{
    return chv_op_has_content(op) || op == CHV_OP_ZERO || op == CHV_OP_TRIM || op == CHV_OP_GAP;
}

#endif

/* Records into a store: each becomes one event (with 512-byte blocks a row of them), in order, once.
 *
 * The store is one sensor's. Its space `wire` holds, as content, how far the stream has got; the events behind that mark are
 * counted when the collector starts, so that it goes on with the record after the last durable one (docs/wire.md). */
#ifndef CHV_NET_SINK_H
#define CHV_NET_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/frame.h"
#include "chronovisor/recorder.h"
#include "chronovisor/store.h"
#include "net/committer.h"
#include "net/walked.h"

#define SINK_BATCH 32u

struct sink_options {
    const char *store_dir;
    uint32_t block_bytes;    /* of a store that is made; 0: 4096 */
    const char *signing_key; /* or NULL */
    uint64_t queue_blocks;   /* 0: the recorder's default */
    bool rest_zero;          /* new spaces: what was never written was zeros */
    bool trust_between;      /* nothing but the watched machine writes to its disks: no gap between two streams */
};

struct sink_counters {
    uint64_t records, bytes, streams, gaps, unobserved, missing, partial, partial_unknown, clock_ahead;
};

struct partial_cache;

struct sink {
    struct sink_options options;
    struct chv_recorder *rec;
    struct chv_store *store; /* what is durable, to look up blocks of which a part is written */
    struct committer *committer;
    struct partial_cache *partial;
    uint32_t block_bytes;
    uint16_t wire_space;

    char sensor[CHV_WIRE_NAME_BYTES + 1]; /* "": none yet */
    uint8_t stream[CHV_WIRE_STREAM_BYTES];
    uint64_t recorded, durable; /* records of it */
    uint64_t marked;            /* records when the last mark was written */
    uint32_t announced;         /* devices of this stream that the log knows */
    uint64_t last_ns;           /* time of its last record; 0: none since the store was opened */
    uint64_t skip_events;       /* of the record after `recorded`: in the log already */
    struct chv_device devices[CHV_WIRE_DEVICES];
    uint16_t spaces[CHV_WIRE_DEVICES];
    uint32_t device_count;

    struct chv_record batch[SINK_BATCH];
    uint8_t *content; /* SINK_BATCH * 4096 */
    uint32_t batched;
    struct sink_counters counters;
    struct walked walked; /* the last walk of page tables */
};

/* Open (make) the store and find out how far its stream has got. */
int sink_open(struct sink *s, const struct sink_options *options, struct chv_err *err);
/* Everything durable; also after an error. */
int sink_close(struct sink *s, struct chv_err *err);

/* -EACCES: the store is another sensor's. */
int sink_resume(const struct sink *s, const struct chv_hello *hello, uint64_t *records, bool *known);
/* A session begins, or its devices changed. *fresh: this stream is new. */
int sink_devices(struct sink *s, const struct chv_hello *hello, const struct chv_device *devices, size_t count, bool *fresh,
                 struct chv_err *err);
int sink_record(struct sink *s, const struct chv_wire_record *record, const void *content, struct chv_err *err);
/* Records that will never come: the devices' content is unknown from now on. */
int sink_missing(struct sink *s, uint64_t first, uint64_t last, struct chv_err *err);
/* Hand what is batched to the recorder, and have it made durable. */
int sink_flush(struct sink *s, struct chv_err *err);

/* Between its files. mark.c: */
int mark_open(struct sink *s, struct chv_err *err);
int mark_write(struct sink *s, struct chv_err *err);
int mark_devices(struct sink *s, struct chv_err *err);
/* What a capture of memory was, into a space "capture:…"; or what a walk was, one line, and the runs of pages that it found, into
 * "map:cr3-…". Durable on return. EINVAL: another name, or too long; or nothing such was walked. */
int mark_capture(struct sink *s, const char *space, const char *text, uint64_t *last_seq, struct chv_err *err);
/* sink.c: room in the batch for one more record; its content in *content. */
struct chv_record *sink_add(struct sink *s, uint8_t **content, struct chv_err *err);
int sink_gap(struct sink *s, uint32_t device, uint8_t reason, uint64_t events, bool all, uint64_t time_ns, struct chv_err *err);

/* partial.c: of blocks that were written in part, the last ones and what is known of them. */
struct partial_cache *partial_new(void);
/* Put a part of a block over what it held. 1: `block` (4096 bytes) is all known now; 0: it is not; -errno. */
int partial_write(struct sink *s, uint32_t device, const struct chv_wire_record *r, const void *content, uint8_t *block,
                  struct chv_err *err);
/* Blocks became something else as a whole. `content` may be NULL: forget them. */
void partial_forget(struct partial_cache *c, uint32_t device, uint64_t first_block, uint64_t end_block, const void *content);

#endif

/* One segment of the evidence log: reading, following its durable end, writing, sealing. */
#ifndef CHV_STORE_SEGMENT_H
#define CHV_STORE_SEGMENT_H

#include <stdbool.h>

#include "store/format.h"
#include "store/meta.h"
#include "store/sha.h"
#include "store/sign.h"

struct segment {
    uint64_t number, first_seq, events; /* events: durable ones */
    uint64_t last_seq, last_time_ns;    /* sealed only */
    bool sealed, carry;
    uint8_t prev_digest[32], digest[32]; /* digest: sealed only */
};

/* Read header and, when sealed, footer (structure only; the digest is verify's business).
 * events of an unsealed one is 0 until segment_tail_read says more.
 * ENODATA: the header was never written; a death or a reader met the last segment at its birth. */
int segment_probe(const struct meta *meta, uint64_t number, struct segment *out, struct chv_err *err);

/* Is this a last segment that was being created when the power failed? Its header is durable before anything is
 * written behind it, so a longer file with a bad header is damage and not this. */
bool segment_is_stillborn(const struct meta *meta, uint64_t number);

/* Where the durable part of an unsealed segment ends, and the digest state there. */
struct segment_tail {
    struct sha256 sha;
    uint64_t first_seq, events; /* durable events so far */
    uint64_t pack, pack_bytes;  /* as the last COMMIT says */
};

/* Start at the header (which is hashed). */
int segment_tail_init(struct segment_tail *tail, int fd);
/* Read on and stop behind the last COMMIT that fits; newly durable events are appended to *events
 * (malloc'd, may be NULL at first; *count is its length). Calling again later continues. */
int segment_tail_read(struct segment_tail *tail, int fd, struct chv_event **events, size_t *count);

/* Does a COMMIT that was written after a sync stand behind the durable end, within the file's first `bytes`? Then the end is
 * where it is because something before that COMMIT was damaged, or the power failed before all of it had arrived.
 * Returns 1 or 0, or -errno. */
int segment_promises(const struct segment_tail *tail, int fd, uint64_t bytes);

static inline uint64_t segment_event_offset(uint64_t index)
{
    return sizeof(struct segment_header) + index * sizeof(struct chv_event);
}

/* --- writing ---------------------------------------------------------------------------- */

struct segment_writer {
    const struct meta *meta;
    const struct io *io;
    const struct signer *signer; /* NULL: unsigned */
    const char *temp_path;       /* instead of log/NNNNNNNN.seg, for a carry segment; NULL: as usual */
    bool verbatim;               /* leave COMMITs as they are (carry segments) */
    int fd;
    uint64_t number, first_seq, events;
    struct sha256 sha;           /* over everything written */
};

/* Create the next segment, durably named, holding only its header. */
int segment_create(struct segment_writer *w, uint64_t number, uint64_t first_seq, uint32_t flags,
                   const uint8_t prev_digest[32], struct chv_err *err);
/* Go on behind the durable end of an unsealed segment; cuts off the rest. */
int segment_resume(struct segment_writer *w, uint64_t number, const struct segment_tail *tail, struct chv_err *err);
/* Write `count` events; COMMITs among them get their hash here. */
int segment_append(struct segment_writer *w, struct chv_event *events, size_t count, struct chv_err *err);
/* Footer, signature, sync, read-only, close. digest gets the footer's. */
int segment_seal(struct segment_writer *w, uint64_t last_seq, uint64_t last_time_ns, uint8_t digest[32],
                 struct chv_err *err);

#endif

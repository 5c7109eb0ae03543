/* Reading a store: what was recorded, what stood where at which instant, and where
 * a content was ever seen.
 *
 * A `struct chv_store` is a snapshot of everything that was durable when it was opened
 * (or last refreshed), also while a recorder writes into the store; no lock is taken.
 * One handle serves many threads at once, except for chv_store_refresh and _close,
 * which need the caller to have it alone.
 *
 * Positions: `block` numbers are addresses in units of the store's block size
 * (chv_store_info.block_bytes, 4096 or 512); a block covers block_bytes / 512 sectors.
 * An instant is a sequence number: "as of seq S" means after every event with seq <= S.
 */
#ifndef CHRONOVISOR_STORE_H
#define CHRONOVISOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"
#include "chronovisor/err.h"

struct chv_store;

struct chv_store_info {
    uint8_t uuid[16];
    uint32_t block_bytes;
    uint64_t first_seq, last_seq;   /* last_seq 0: nothing recorded yet */
    uint64_t first_time_ns, last_time_ns;
    uint64_t pruned_before_seq;     /* views are exact from here on; 0: never pruned */
    uint64_t segments, packs;
    uint64_t log_bytes, pack_bytes, index_bytes;
    uint64_t unindexed_events;      /* tail of the log that is searched without an index */
    bool is_signed;                 /* a public key is configured */
    uint8_t public_key[32];         /* Ed25519, when is_signed */
};

struct chv_space {
    uint16_t id;
    char name[CHV_SPACE_NAME_BYTES + 1];
    uint64_t size_bytes;
    enum chv_rest rest;
    uint64_t first_seq;   /* of its SPACE event */
    uint64_t first_time_ns;
    const char *source;   /* path of the recorded device, or NULL; owned by the store */
};

/* Open for reading. Errors: ENOENT not a store, EPROTO damaged or newer format. */
int chv_store_open(const char *dir, struct chv_store **out, struct chv_err *err);
void chv_store_close(struct chv_store *store);
/* Move the snapshot to everything durable now. Borrowed pointers from the handle end. */
int chv_store_refresh(struct chv_store *store, struct chv_err *err);

void chv_store_info(const struct chv_store *store, struct chv_store_info *out);
const char *chv_store_dir(const struct chv_store *store);
uint32_t chv_store_block_bytes(const struct chv_store *store);

/* Spaces in order of id; pointers are valid until refresh or close. */
size_t chv_store_space_count(const struct chv_store *store);
const struct chv_space *chv_store_space(const struct chv_store *store, size_t index);
const struct chv_space *chv_store_space_by_id(const struct chv_store *store, uint16_t id);
/* The same space with the size and rest it had as of `seq` (before its first event: what it had then). */
void chv_store_space_as_of(const struct chv_store *store, const struct chv_space *space, uint64_t seq, struct chv_space *out);
/* By name; NULL or "" means "the only one" (not counting those that describe others: wire, capture:…). ENOENT (with the names in the text) or EINVAL. */
int chv_store_find_space(const struct chv_store *store, const char *name, const struct chv_space **out,
                         struct chv_err *err);

/* The last seq with time <= time_ns; 0 when everything is later. */
int chv_store_seq_at(const struct chv_store *store, uint64_t time_ns, uint64_t *seq, struct chv_err *err);

/* Copy the event with this seq. ENOENT when it is not there (pruned or not yet recorded). */
int chv_store_event(const struct chv_store *store, uint64_t seq, struct chv_event *out, struct chv_err *err);

/* --- events in order ------------------------------------------------------------------ */

struct chv_cursor;
/* Iterate events with first_seq <= seq <= last_seq, in order. Holds at most one segment in memory. */
int chv_cursor_open(const struct chv_store *store, uint64_t first_seq, uint64_t last_seq,
                    struct chv_cursor **out, struct chv_err *err);
/* Returns 1 with *batch and *count (borrowed until the next call), 0 at the end, or -errno. */
int chv_cursor_next(struct chv_cursor *cursor, const struct chv_event **batch, size_t *count,
                    struct chv_err *err);
void chv_cursor_close(struct chv_cursor *cursor);

/* --- what a block held ---------------------------------------------------------------- */

enum chv_state {
    CHV_STATE_UNKNOWN = 0, /* a gap, or never captured: reading it is an error */
    CHV_STATE_ZERO = 1,
    CHV_STATE_DATA = 2,    /* content named by hash */
    CHV_STATE_SOURCE = 3,  /* never changed since recording began: ask the recorded device */
};

struct chv_extent {
    uint64_t first_block, blocks; /* DATA extents are always one block */
    enum chv_state state;
    uint64_t seq;                 /* the event that says so; 0 when it is the space's rest */
    uint8_t hash[CHV_HASH_BYTES]; /* DATA only */
};

/* What `block` of `space` held as of `seq`. out->blocks is 1. */
int chv_store_block_at(const struct chv_store *store, uint16_t space, uint64_t block, uint64_t seq,
                       struct chv_extent *out, struct chv_err *err);

struct chv_map;
/* Walk [first_block, end_block) as of `seq` in address order; the extents tile the range.
 * Memory is bounded whatever the history. */
int chv_map_open(const struct chv_store *store, uint16_t space, uint64_t first_block, uint64_t end_block,
                 uint64_t seq, struct chv_map **out, struct chv_err *err);
/* Returns 1 with *out filled, 0 at the end, or -errno. */
int chv_map_next(struct chv_map *map, struct chv_extent *out, struct chv_err *err);
void chv_map_close(struct chv_map *map);

/* The first version event that touches `block` with seq > after_seq (what ended a sighting).
 * Returns 1 with *out filled, 0 when there is none, or -errno. */
int chv_store_next_version(const struct chv_store *store, uint16_t space, uint64_t block, uint64_t after_seq,
                           struct chv_event *out, struct chv_err *err);

/* --- content ---------------------------------------------------------------------------- */

/* Read the block with this hash into buf[block_bytes] and verify it.
 * ENOENT: no pack holds it; EBADMSG: the stored bytes do not match (the text names the pack). */
int chv_store_read_block(const struct chv_store *store, const uint8_t hash[CHV_HASH_BYTES], void *buf,
                         struct chv_err *err);
/* The same for many blocks: bufs[i] gets the block of hashes[i]. Those that were recorded one after another are read in one
 * piece. When one cannot be read, the error is about it and the buffers hold anything. */
int chv_store_read_blocks(const struct chv_store *store, const uint8_t (*hashes)[CHV_HASH_BYTES], uint8_t *const *bufs,
                          size_t count, struct chv_err *err);
/* 1 if the content is stored, 0 if not, -errno. Exact (full hash), does not touch packs. */
int chv_store_has_block(const struct chv_store *store, const uint8_t hash[CHV_HASH_BYTES]);

/* Called for one sighting: the event that put (or found) the content there.
 * Return non-zero to stop; the value comes back from the lookup. */
typedef int chv_sighting_fn(void *arg, const struct chv_event *event);

/* Every sighting of one content, in no particular order, at most `limit` (0: all).
 * Returns the number reported, or what fn returned, or -errno. */
int64_t chv_store_sightings(const struct chv_store *store, const uint8_t hash[CHV_HASH_BYTES],
                            uint64_t limit, chv_sighting_fn *fn, void *arg, struct chv_err *err);
/* How many sightings the index holds for this content (never reads the log). */
uint64_t chv_store_sighting_count(const struct chv_store *store, const uint8_t hash[CHV_HASH_BYTES]);

/* Count for many contents at once; counts[i] answers hashes[i]. Fastest when hashes are sorted. */
void chv_store_sighting_counts(const struct chv_store *store, const uint8_t (*hashes)[CHV_HASH_BYTES],
                               size_t count, uint64_t *counts);

/* --- digests ------------------------------------------------------------------------------ */

/* SHA-256 and normalised entropy (0..65535) of `count` consecutive blocks of block_bytes. */
void chv_digest_blocks(const void *data, size_t block_bytes, size_t count,
                       uint8_t (*hashes)[CHV_HASH_BYTES], uint16_t *entropies);

#endif

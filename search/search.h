/* Where a content was: from block hashes to placements in space and time.
 *
 *   feeder (file, sample, hash list) ──► search_batch: counts, sightings, when each ended
 *        ──► spans (consecutive blocks with the same lifetime) ──► search_finish: runs ──► candidates
 *
 * File positions and addresses are in 512-byte sectors. One struct search serves one thread.
 */
#ifndef CHV_SEARCH_SEARCH_H
#define CHV_SEARCH_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/store.h"

/* What a block says about the file it came from. Only BLOCK_PROBATIVE counts in a fraction. */
enum block_kind {
    BLOCK_PROBATIVE = 0,
    BLOCK_CONSTANT,    /* one byte value throughout: never looked up */
    BLOCK_PERIODIC,    /* repeats itself with a period of at most 256 bytes */
    BLOCK_LOW_ENTROPY, /* few distinct byte values, or one 32-bit word in more than a quarter of it */
    BLOCK_RAMP,        /* mostly counting 32-bit integers (allocation tables) */
    BLOCK_BLANK,       /* three quarters white space */
    BLOCK_SHORT,       /* the last few bytes of a file */
    BLOCK_REPEATED,    /* the file itself repeats it: only its first positions are placed */
    BLOCK_COMMON,      /* stood at very many addresses of this store */
    BLOCK_KINDS
};

/* Judge `bytes` of content (before any zero padding). */
enum block_kind block_kind(const uint8_t *data, size_t bytes);
const char *block_kind_name(enum block_kind kind);

struct search_block {
    uint64_t sector; /* position in the file */
    uint8_t hash[CHV_HASH_BYTES];
    uint8_t kind; /* enum block_kind as its content alone tells; a hash list says BLOCK_PROBATIVE */
};

#define SEARCH_STILL UINT64_MAX /* to_seq of what was never overwritten */

struct search_options {
    uint16_t space;              /* 0: every space */
    uint64_t from_seq, to_seq;   /* only what stood there at some instant in [from, to]; to 0: no end */
    uint64_t sighting_cap;       /* looked at per block; 0: 1024 */
    uint64_t common_addresses;   /* more addresses than this make a block BLOCK_COMMON; 0: 64 */
    size_t span_cap;             /* bound of memory; 0: 1 << 19 (about 56 MiB) */
    size_t run_cap;              /* pieces assembled into candidates; 0: 16384 */
};

/* Consecutive blocks of the file at consecutive addresses with one lifetime. */
struct search_span {
    uint64_t file_sector, sector, blocks;
    uint64_t from_seq, from_seq_last, from_ns, from_ns_last; /* first and last block to arrive */
    uint64_t to_seq, to_seq_last, to_ns, to_ns_last;         /* first and last to go; SEARCH_STILL */
    uint16_t space;
    uint8_t phase;   /* file_sector modulo the block's sectors */
    uint8_t weak;    /* non-probative */
    uint8_t from_op; /* of the first: WRITE, FOUND, BASELINE (there before recording began) */
    uint8_t to_op;   /* of the last: what ended it; 0 when still there */
    uint32_t group;  /* internal: which run */
};

/* How many probative blocks stood there from this instant on. */
struct search_step {
    uint64_t seq, time_ns, blocks;
};

struct search_candidate {
    uint16_t space;
    uint8_t phase;
    bool weak;                   /* rests on non-probative blocks alone */
    bool ascending;              /* later parts of the file at higher addresses */
    struct search_span *spans;   /* in file order */
    size_t span_count;
    size_t pieces;               /* runs of consecutive addresses at the best instant */
    uint64_t first_sector, end_sector; /* address range it covered at any time */
    uint64_t total;              /* probative blocks of the file in this phase */
    uint64_t best;               /* most of them there at one instant */
    uint64_t best_seq, best_from_ns, best_to_ns; /* that instant; best_to_ns SEARCH_STILL */
    uint64_t best_end_seq;       /* the last event before it became fewer, or SEARCH_STILL */
    uint64_t weak_at_best;       /* non-probative blocks in place then, not counted */
    uint64_t from_seq, from_ns;  /* first block to arrive; from_op tells how that is known */
    uint64_t to_seq, to_ns;      /* when the last block went, or SEARCH_STILL */
    uint8_t from_op, to_op;
    struct search_step *steps;   /* how the number changed; thinned to at most 32 */
    size_t step_count;
    bool steps_thinned;
};

struct search_result {
    uint64_t blocks, kinds[BLOCK_KINDS]; /* of the file, looked at */
    uint64_t phase_total[8];             /* probative blocks by phase */
    uint64_t found;                      /* probative blocks seen at least once (within the restrictions) */
    uint64_t sightings;                  /* merged: the same content rewritten in place counts once */
    uint64_t capped;                     /* blocks with more sightings than were looked at */
    uint64_t tolerance_ns;               /* lifetimes were rounded to this to bound memory; 0: exact */
    uint64_t pieces_dropped;             /* smallest pieces left out to bound the work */
    struct search_candidate *candidates; /* best first */
    size_t candidate_count;
};

struct search;

/* The store must outlive the search. NULL: out of memory. */
struct search *search_new(const struct chv_store *store, const struct search_options *options);
void search_free(struct search *search);
/* Look up `count` blocks of the file, in any order; best some thousands at a time. The array is reordered. */
int search_batch(struct search *search, struct search_block *blocks, size_t count, struct chv_err *err);
/* Assemble. The result belongs to the search. Call once. */
int search_finish(struct search *search, const struct search_result **out, struct chv_err *err);

/* --- feeders -------------------------------------------------------------------------------- */

typedef void search_progress_fn(void *arg, uint64_t done_bytes, uint64_t total_bytes);

struct search_feed {
    bool fragment;       /* also at the file's other sector offsets (4096-byte stores) */
    uint64_t sample;     /* 0: every block; else so many, drawn without replacement */
    uint64_t seed;
    search_progress_fn *progress;
    void *progress_arg;
};

struct search_feed_report {
    uint64_t bytes, blocks; /* of the whole file (phase 0) */
    uint64_t sampled;       /* blocks drawn */
};

/* Feed a file (or block device, or, without sampling, anything readable) to the search in bounded memory. */
int search_feed_file(struct search *search, const char *path, const struct search_feed *feed,
                     struct search_feed_report *report, struct chv_err *err);

/* Draw `count` distinct numbers below `population`, ascending, into out (Floyd's algorithm). */
int sample_draw(uint64_t population, uint64_t count, uint64_t seed, uint64_t *out);
/* Probability that n draws out of N meet none of M: (1 - M/N)^n with replacement (the bound in the
 * literature: Garfinkel et al., "Using purpose-built functions and block hashes to enable small block and
 * sub-file forensics", 2010), and exactly, without replacement. */
double sample_miss(double M, double N, double n);
double sample_miss_exact(uint64_t M, uint64_t N, uint64_t n);
/* The smallest M of N that n draws miss with a probability of at most p (by the bound). */
uint64_t sample_least(uint64_t N, uint64_t n, double p);

#endif

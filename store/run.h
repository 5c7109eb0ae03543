/* Sorted runs: the one data structure of the derived index.
 *
 * A run is an immutable, sorted array of fixed-width entries, compared bytewise (fields are big-endian), with a
 * small directory to find the right cache line at once. Three kinds answer the three questions:
 *
 *   SIGHT  hash[8]  seq[8]           where was this content ever seen?
 *   ADDR   space:16 level:4 node:48 seq:60   which events changed this address?
 *   LOC    hash[32] loc[8]           where is this content stored?
 *
 * A ranged event (ZERO, TRIM, GAP) is in ADDR at the levels of a radix-16 tree over block numbers: level L,
 * node N covers blocks [N << 4L, (N + 1) << 4L). A block's versions are those of its node at every level.
 *
 * In memory (the unindexed tail) a run is the same array without directory.
 */
#ifndef CHV_STORE_RUN_H
#define CHV_STORE_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "chronovisor/err.h"

enum run_kind { RUN_SIGHT, RUN_ADDR, RUN_LOC, RUN_KINDS };

#define RUN_LEVELS 13u /* 4 bits each: 13 * 4 > 48 */

struct run {
    enum run_kind kind;
    const uint8_t *entries;
    uint64_t count;
    uint16_t levels;            /* ADDR: which levels occur, one bit each */
    const uint32_t *buckets;    /* SIGHT, LOC: first entry by the top bucket_bits of the hash; NULL in memory */
    unsigned bucket_bits;
    const uint8_t *tags;        /* SIGHT, LOC: hash[RUN_TAG] of each entry; NULL in memory, and in files of version 1 */
    int fd;                     /* of a large SIGHT or LOC file; 0: none kept */
    const uint8_t *fences;      /* ADDR: every stride-th entry; NULL in memory */
    uint64_t fence_count;
    unsigned stride;
    void *map;                  /* NULL in memory: entries are malloc'd */
    size_t map_bytes;
};

#define RUN_WIDTH_MAX 40
#define RUN_TAG 7 /* not of the bytes that choose the bucket */

size_t run_width(enum run_kind kind);
static inline const uint8_t *run_entry(const struct run *run, uint64_t i, size_t width)
{
    return run->entries + i * width;
}

/* Index of the first entry whose first key_bytes are >= key. */
uint64_t run_lower_bound(const struct run *run, const uint8_t *key, size_t key_bytes);

/* The first entry of a SIGHT or LOC run that begins with these key_bytes (8 to 32): its place in *at, itself in `entry`.
 * False: there is none. By read: a page fault brings and maps 64 KiB for 16 bytes, which is worth it only where the pages
 * stay. */
bool run_find(const struct run *run, const uint8_t *key, size_t key_bytes, bool by_read, uint64_t *at,
              uint8_t entry[RUN_WIDTH_MAX]);
void run_copy(const struct run *run, uint64_t i, bool by_read, uint8_t entry[RUN_WIDTH_MAX]);
/* False: entry i is of another hash. Looks at its tag only. */
static inline bool run_may_be(const struct run *run, uint64_t i, const uint8_t *hash)
{
    return !run->tags || run->tags[i] == hash[RUN_TAG];
}

/* Part of the answer in two steps, so that look-ups in many runs can wait for memory together:
 * where in the directory (prefetched), then where in tags or entries (prefetched). */
void run_prefetch_bucket(const struct run *run, const uint8_t *key);
void run_prefetch_entry(const struct run *run, const uint8_t *key);

void run_put64(uint8_t *p, uint64_t v);
static inline uint64_t run_get64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

/* ADDR keys. */
#define RUN_SEQ_MAX ((UINT64_C(1) << 60) - 1)
void run_addr_key(uint8_t key[16], uint16_t space, unsigned level, uint64_t node, uint64_t seq);
static inline uint64_t run_addr_seq(const uint8_t *entry)
{
    return run_get64(entry + 8) & RUN_SEQ_MAX;
}
static inline uint64_t run_addr_node(const uint8_t *entry)
{
    return (run_get64(entry) & ((UINT64_C(1) << 44) - 1)) << 4 | entry[8] >> 4;
}

/* Sort entries in place; make an in-memory run of them (takes the array). */
void run_sort(enum run_kind kind, uint8_t *entries, uint64_t count);
void run_from_memory(struct run *run, enum run_kind kind, uint8_t *entries, uint64_t count);

/* Map a run file. EBADMSG when it is damaged (structure; the digest only with `verify`). */
int run_open(struct run *run, enum run_kind kind, const char *path, bool verify, struct chv_err *err);
void run_close(struct run *run);
/* Let go of resident pages of the mapping (they stay in the page cache): all, or all but directory and tags. */
void run_release_pages(const struct run *run);
void run_release_entries(const struct run *run);

/* How much of mapped runs may become resident, counted in look-ups instead of asking the kernel at each. */
struct run_pages {
    _Atomic int left;   /* runs that may be looked into before asking again; a lost count does no harm */
    _Atomic int granted;             /* what `left` began with */
    _Atomic uint64_t resident_bytes; /* and how much was resident then */
    _Atomic uint64_t touch_bytes;    /* what became so with a look, the last time; 0: not known yet */
    _Atomic bool tight; /* they did not all fit: from now on entries are read instead */
};
/* Looking into `runs` runs: is it time to look at the resident set (run_pages_settle)? */
static inline bool run_pages_spent(struct run_pages *p, size_t runs)
{
    int left = atomic_load_explicit(&p->left, memory_order_relaxed) - (int)runs;
    atomic_store_explicit(&p->left, left, memory_order_relaxed);
    return left < 0;
}
static inline bool run_pages_tight(const struct run_pages *p)
{
    return atomic_load_explicit(&p->tight, memory_order_relaxed);
}
/* Bytes of mapped files in this process's resident set; 0 when the kernel does not tell. */
uint64_t run_pages_resident(void);
/* So many are resident: learn what a look costs. */
void run_pages_learn(struct run_pages *p, uint64_t resident_bytes);
/* So many are left resident: how many look-ups until more than limit_bytes may be? */
void run_pages_settle(struct run_pages *p, uint64_t resident_bytes, uint64_t limit_bytes);

/* Write a run file of exactly `count` entries, given in order. */
struct run_writer;
int run_writer_new(const struct io *io, enum run_kind kind, const char *path, uint64_t count, struct run_writer **out,
                   struct chv_err *err);
int run_writer_add(struct run_writer *w, const uint8_t *entries, uint64_t count, struct chv_err *err);
/* Sync and close (also frees); on error or when finish is false the file is removed. */
int run_writer_end(struct run_writer *w, bool finish, struct chv_err *err);

/* Merge sorted runs of one kind into a file; LOC entries of one hash are kept once (the oldest). */
int run_merge(const struct io *io, enum run_kind kind, const struct run *const *runs, size_t n, const char *path,
              struct chv_err *err);

#endif

/* Packs: files of content-addressed, compressed blocks. */
#ifndef CHV_STORE_PACK_H
#define CHV_STORE_PACK_H

#include <pthread.h>
#include <stdbool.h>

#include "store/behind.h"
#include "store/format.h"
#include "store/meta.h"

/* Where a block is: pack number and offset of its record, in one word. */
typedef uint64_t pack_loc;
#define PACK_OFFSET_BITS 32
static inline pack_loc pack_loc_make(uint64_t pack, uint64_t offset)
{
    return pack << PACK_OFFSET_BITS | offset;
}
static inline uint64_t pack_loc_pack(pack_loc loc)
{
    return loc >> PACK_OFFSET_BITS;
}
static inline uint64_t pack_loc_offset(pack_loc loc)
{
    return loc & ((UINT64_C(1) << PACK_OFFSET_BITS) - 1);
}

/* --- reading: any number of threads ------------------------------------------------------- */

#define PACK_FDS 256
struct pack_set {
    const struct meta *meta;
    pthread_rwlock_t lock;
    struct {
        uint64_t pack; /* 0: free */
        int fd;
    } fds[PACK_FDS];
};
void pack_set_init(struct pack_set *set, const struct meta *meta);
/* Close what is open; the caller has the set alone. */
void pack_set_forget(struct pack_set *set);
void pack_set_fini(struct pack_set *set);

/* Read, decompress and verify one block into buf[block_bytes]. EBADMSG names pack and offset. */
int pack_read(struct pack_set *set, pack_loc loc, const uint8_t hash[32], void *buf, struct chv_err *err);

/* The same for many blocks: neighbours in a pack are read in one piece. Reorders `wants`. */
struct pack_want {
    pack_loc loc;
    const uint8_t *hash;
    uint8_t *buf;
};
int pack_read_many(struct pack_set *set, struct pack_want *wants, size_t count, struct chv_err *err);

/* Check header and size of pack `number`. */
int pack_check_header(const struct meta *meta, uint64_t number, int fd, struct chv_err *err);

/* Call fn for each record in [from, to) of a pack (from 0: the first). Stops at a record that does not
 * fit and says where in *end (which is `to` when all is well). With `verify`, content must match. */
typedef int pack_scan_fn(void *arg, const struct pack_record *record, pack_loc loc);
int pack_scan(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, bool verify, pack_scan_fn *fn,
              void *arg, uint64_t *end, struct chv_err *err);

/* The same for whoever must find every block that is still there: steps over damage (header and records) to the next
 * record that holds. What is found is not otherwise verified. */
int pack_scan_over(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, pack_scan_fn *fn, void *arg,
                   struct chv_err *err);

/* pack_scan_over from one place in the packs to another. A pack that is not there was emptied by prune, or its loss is
 * for verify to name. */
int pack_scan_range(const struct meta *meta, uint64_t pack, uint64_t bytes, uint64_t to_pack, uint64_t to_bytes,
                    pack_scan_fn *fn, void *arg, struct chv_err *err);

/* --- writing: one committer ----------------------------------------------------------------- */

struct pack_writer {
    const struct meta *meta;
    const struct io *io;
    int fd;
    uint64_t max_bytes;     /* a pack that has as much is full; 0: PACK_MAX_BYTES */
    uint64_t number, bytes; /* bytes: of the file, written */
    uint64_t base;          /* place in the file of the buffer's first byte, a multiple of 4096, <= bytes */
    uint8_t *buffer;        /* what the file's last, partial block holds, then records not yet written */
    size_t used, room;
    bool direct, no_direct; /* the descriptor bypasses the page cache now; it cannot */
    struct behind behind;   /* writes `other`, if anything */
    uint8_t *other;
    size_t other_bytes, other_room;
    uint64_t other_base;
};
int pack_create(struct pack_writer *w, uint64_t number, struct chv_err *err);
int pack_resume(struct pack_writer *w, uint64_t number, uint64_t bytes, struct chv_err *err);
/* Add a record (buffered); *loc is where it will be. Grows the buffer; call pack_flush before a COMMIT covers it. */
int pack_add(struct pack_writer *w, const uint8_t hash[32], uint8_t codec, const void *stored, uint32_t stored_bytes,
             pack_loc *loc, struct chv_err *err);
int pack_flush(struct pack_writer *w, struct chv_err *err);
/* Write most of what is buffered, when it is much: memory stays bounded between flushes. */
int pack_drain(struct pack_writer *w, struct chv_err *err);
bool pack_full(const struct pack_writer *w);
/* Flush, sync, read-only, close. */
int pack_seal(struct pack_writer *w, struct chv_err *err);
void pack_writer_fini(struct pack_writer *w);

#endif

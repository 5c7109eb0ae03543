/* The second digest column: MD5 to SHA-256 for every block of the store.
 *
 * Derived, made on demand (lists of MD5 block hashes are still common) and kept beside the index:
 *   STORE/index/md5-FIRST-LAST.run   blocks first seen in events FIRST..LAST
 *     header (96 bytes): magic "CHVMD5\r\n", u32 version 1, u32 entry bytes 48, u8[16] store uuid,
 *     u64 first seq, u64 last seq, u64 entries, u64 0, u8[32] SHA-256 of the entries
 *     entries, sorted: u8[16] MD5, u8[32] SHA-256
 * A run that does not match its digest is made again; deleting these files loses nothing but time. */
#ifndef CHV_SEARCH_MD5_H
#define CHV_SEARCH_MD5_H

#include "search/hash_list.h"

struct md5_index;

struct md5_report {
    uint64_t blocks;     /* digested now */
    uint64_t unreadable; /* contents that could not be read back; verify names them */
};

/* Bring the column up to date with the store and open it. */
int md5_index_open(const struct chv_store *store, search_progress_fn *progress, void *progress_arg,
                   struct md5_index **out, struct md5_report *report, struct chv_err *err);
void md5_index_close(struct md5_index *index);
uint64_t md5_index_entries(const struct md5_index *index);
/* The contents with this MD5, at most `most`; normally one at most. Returns how many. */
size_t md5_index_find(const struct md5_index *index, const uint8_t md5[MD5_BYTES], uint8_t (*sha256)[CHV_HASH_BYTES],
                      size_t most);

#endif

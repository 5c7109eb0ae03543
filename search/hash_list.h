/* Lists of block hashes from outside: plain, md5deep/sha256deep, hashdeep, hashdb tables and exports. */
#ifndef CHV_SEARCH_HASH_LIST_H
#define CHV_SEARCH_HASH_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "search/search.h"

#define MD5_BYTES 16

struct hash_entry {
    uint64_t line;
    const char *name;  /* the file it was made from, or ""; borrowed until the next entry */
    uint64_t offset;   /* where in that file, if has_offset */
    uint8_t sha256[CHV_HASH_BYTES], md5[MD5_BYTES];
    bool has_sha256, has_md5, has_offset;
    bool too_short;    /* of fewer bytes than a block: cannot be found (see the README) */
};

struct hash_list;

/* `in` stays the caller's; `label` is what errors call it. NULL: out of memory. */
struct hash_list *hash_list_new(FILE *in, const char *label, uint32_t block_bytes);
/* Returns 1 with *out, 0 at the end, or -errno with "LABEL:LINE: what is wrong". */
int hash_list_next(struct hash_list *list, struct hash_entry *out, struct chv_err *err);
void hash_list_free(struct hash_list *list);

#endif

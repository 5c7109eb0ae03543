/* A list of block hashes against the store: entries of one file, with their places in it, are searched as
 * that file; an entry without a place is searched by itself. Memory does not grow with the list. */
#ifndef CHV_SEARCH_LIST_SEARCH_H
#define CHV_SEARCH_LIST_SEARCH_H

#include "search/hash_list.h"
#include "search/md5.h"

struct list_report {
    uint64_t entries, found; /* found: with at least one sighting in the whole store */
    uint64_t too_short;      /* entries of less than a block, which cannot be found */
    uint64_t md5_ambiguous;  /* MD5s that several contents of the store share */
    bool used_md5;
    struct md5_report md5;
};

/* Called for each file (or single hash) of the list that has a sighting within the options. `name` is that of
 * the file, or the hash. Return non-zero to stop. */
typedef int list_found_fn(void *arg, const char *name, const struct search_result *result);

int search_hash_list(const struct chv_store *store, const struct search_options *options, struct hash_list *list,
                     list_found_fn *fn, void *arg, search_progress_fn *md5_progress, void *progress_arg,
                     struct list_report *report, struct chv_err *err);

#endif

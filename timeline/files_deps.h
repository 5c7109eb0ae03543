/* The blocks an answer depends on, each with the first version that came after. */
#ifndef CHV_TIMELINE_FILES_DEPS_H
#define CHV_TIMELINE_FILES_DEPS_H

#include "chronovisor/store.h"

enum {
    FILES_DEP_METADATA = 1,
    FILES_DEP_CONTENT = 2,
    FILES_DEP_CACHED = 4, /* the parser may still hold what this block was */
};

struct files_deps;
int files_deps_new(struct files_deps **out);
void files_deps_free(struct files_deps *deps);
/* -ENOMEM also beyond 16 million blocks (64 GiB of 4 KiB blocks). */
int files_deps_add(struct files_deps *deps, uint64_t block, unsigned kind);
/* No block is needed for `kind` any more (what is known about its versions is kept). */
void files_deps_forget(struct files_deps *deps, unsigned kind);
/* The least seq > after_seq at which a block of these kinds got a version; UINT64_MAX when none does.
 * after_seq must not go backwards from call to call. */
int files_deps_next(struct files_deps *deps, const struct chv_store *store, uint16_t space, uint64_t after_seq, unsigned kinds,
                    uint64_t *seq, struct chv_err *err);
/* The 4 KiB pages of blocks of these kinds that got a version after the last files_deps_next (asked for these kinds)
 * and up to `seq`. *pages is malloc'd. */
int files_deps_changed(const struct files_deps *deps, uint64_t seq, unsigned kinds, uint32_t block_bytes, uint64_t **pages,
                       size_t *count);
size_t files_deps_count(const struct files_deps *deps);

#endif

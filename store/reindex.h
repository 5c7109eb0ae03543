/* The index, made again from log and packs alone. */
#ifndef CHV_STORE_REINDEX_H
#define CHV_STORE_REINDEX_H

#include "chronovisor/maintain.h"
#include "store/meta.h"

/* With the writer lock held. Covers the sealed segments; the unsealed one is the tail, as always. */
int reindex_locked(const struct meta *meta, const struct io *io, chv_progress_fn *progress, void *arg,
                   struct chv_err *err);

#endif

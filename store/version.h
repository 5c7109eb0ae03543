/* Finding the event that decides what a block held (docs/format.md, "What block B of space S held"). */
#ifndef CHV_STORE_VERSION_H
#define CHV_STORE_VERSION_H

#include "store/snapshot.h"

/* Seq of the newest version of `block` with seq <= at; 0 when there is none. */
uint64_t version_newest(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t at);
/* Seq of the oldest version of `block` with seq > after; 0 when there is none. */
uint64_t version_oldest(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t after);

/* Does this event, to which an index entry led, change `block` of `space`? If not, the index is damaged. */
bool version_covers(const struct chv_store *s, const struct chv_event *e, uint16_t space, uint64_t block);
/* The error for that. */
int version_misfit(const struct chv_store *s, uint64_t seq, struct chv_err *err);

/* Fill *out (blocks = 1) from the events found: newest <= at (0: none) and oldest > at (0: none; asked only
 * when newest is 0). */
int version_resolve(const struct chv_store *s, const struct chv_space *space, uint64_t block, uint64_t at,
                    const struct chv_event *newest, const struct chv_event *oldest, struct chv_extent *out);

#endif

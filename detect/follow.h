/* A store's log as accesses: a recording that is over, or one that is being made.
 *
 * Reads are split into pieces of at most a block, as changes are in the log. What a change replaced is known when the log
 * said so lately: BASELINE, FOUND and earlier changes go into a bounded map (content_map.h), one a space.
 * Changes that Chronovisor made itself (rewind) are no accesses. */
#ifndef CHV_DETECT_FOLLOW_H
#define CHV_DETECT_FOLLOW_H

#include "chronovisor/store.h"
#include "detect/access.h"

#define FOLLOW_SPACES_MAX 64u

struct follow;

/* Each event of the spaces chosen, and each of space 0 (COMMIT, MARK); `a` is NULL where it is no access. An event that
 * is split is passed once a piece. Not 0: stop there, and return that (negative: an error, err is filled by the callee). */
typedef int follow_fn(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err);

/* Follow `space` (0: all of them, and what is done to `ram` is no access then: it says nothing about disks) from first_seq on. The
 * store outlives it. ENOMEM. */
int follow_open(struct chv_store *store, uint16_t space, uint64_t first_seq, struct follow **out, struct chv_err *err);
/* Pass on what the store's snapshot holds up to last_seq and was not passed yet; to go on, refresh the store and call
 * again. E2BIG: more than FOLLOW_SPACES_MAX spaces. After a stop the next call goes on behind the event. */
int follow_step(struct follow *f, uint64_t last_seq, follow_fn *fn, void *arg, struct chv_err *err);
/* The last event passed on; first_seq - 1 before there was one. */
uint64_t follow_seq(const struct follow *f);
void follow_close(struct follow *f);

#endif

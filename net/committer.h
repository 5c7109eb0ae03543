/* A thread that waits for the store, so that the one that receives need not: many records share one commit. */
#ifndef CHV_NET_COMMITTER_H
#define CHV_NET_COMMITTER_H

#include <stdint.h>

#include "chronovisor/recorder.h"

struct committer;

int committer_start(struct chv_recorder *rec, struct committer **out, struct chv_err *err);
/* Waits for the commit that is under way. */
void committer_stop(struct committer *c);
/* Everything up to `ticket` is to be made durable; then `records` of stream number `epoch` are. */
void committer_want(struct committer *c, uint64_t ticket, uint64_t epoch, uint64_t records);
/* What is durable by now of that stream; 0: nothing new. -errno: the store takes no more. */
int committer_done(struct committer *c, uint64_t epoch, uint64_t *records, struct chv_err *err);
/* Readable when something became durable, or failed. */
int committer_fd(const struct committer *c);

#endif

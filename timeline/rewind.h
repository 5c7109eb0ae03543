/* Put a recorded device back to an instant by writing only the blocks that differ.
 *
 *   plan    what would be written, from the log alone; refuses nothing, touches nothing
 *   verify  compare the device with the head of the log; what differs is recorded as FOUND
 *   write   append WRITE and ZERO events (flag REWIND), wait until they are durable, write the device
 *
 * The log is ahead of the device by one batch at most. After a crash in between, running it again
 * finds the blocks that were not written, records what they hold, and writes them.
 */
#ifndef CHV_TIMELINE_REWIND_H
#define CHV_TIMELINE_REWIND_H

#include <signal.h>

#include "chronovisor/recorder.h"
#include "chronovisor/store.h"

struct rewind_plan {
    uint64_t blocks, bytes;  /* to be written */
    uint64_t unknown_blocks; /* not known as of the instant, or at the head and never since baselined */
    uint64_t first_unknown;  /* block number of the first of them */
};

struct rewind {
    struct chv_store *store; /* refreshed by rewind_verify and rewind_write */
    uint16_t space_id;
    uint64_t seq; /* the instant to go back to */
    int device;   /* open for reading and writing */
    struct chv_recorder *recorder;
    void (*progress)(void *arg, const char *what, uint64_t done, uint64_t total); /* may be NULL */
    void *arg;
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: end after the current batch with -EINTR */
    /* Results. */
    uint64_t checked_blocks, found_blocks;
    uint64_t undo_seq; /* rewinding to this brings back what was there before the first block was written */
    uint64_t written_blocks, written_bytes;
};

int rewind_plan(const struct chv_store *store, const struct chv_space *space, uint64_t seq, struct rewind_plan *plan,
                struct chv_err *err);
/* Fills undo_seq. */
int rewind_verify(struct rewind *rewind, struct chv_err *err);
/* Blocks that are unknown as of the instant are left as they are. The device is synced. */
int rewind_write(struct rewind *rewind, struct chv_err *err);

#endif

/* Block events as records of the stream: which unit of which controller is which device of its list. What cannot be said of a
 * device at its place is said as a gap: nothing that changed a disk is without a record. The machine's lock is held. */
#ifndef VISOR_CORE_RECORDS_H
#define VISOR_CORE_RECORDS_H

#include "visor/out/sender.h"
#include "visor/storage/port.h"

/* The device that stands for disks that are not in the list. No disk has that name: theirs have one colon. */
#define RECORDS_OTHERS SENDER_OTHERS "others"

/* `poll` is called while the ring is full: it moves evidence on. Both stay the caller's, for good. */
void records_init(struct sender *sender, bool (*poll)(void));

/* Takes a block in; waits while the ring is full, unless the sender is configured otherwise. */
void records_take(const struct visor_block *block);

/* Events that changed something and that only a gap tells of, for reasons other than a full ring: disks that could not be
 * announced, places that a disk does not have, records that make no sense. */
uint64_t records_lost(void);

#endif

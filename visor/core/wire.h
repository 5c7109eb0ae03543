/* Evidence onto the network: the hypervisor's own card (visor/net) and the stream to the collector (visor/out). */
#ifndef VISOR_CORE_WIRE_H
#define VISOR_CORE_WIRE_H

#include "visor/core/config.h"
#include "visor/out/sender.h"
#include "visor/storage/port.h"

/* At boot: takes the card that the configuration names (`nic`) from the guest. NULL: done, or there is no `nic`, and events
 * go nowhere. Otherwise why not, and the card does nothing any more: a machine that is to be recorded and cannot be is not
 * launched. */
const char *wire_init(const struct config *config);

/* Takes a block in, and waits while the ring is full, unless `when_full gap` is configured. */
void wire_take(const struct visor_block *block);

/* A space of the stream: a disk's, or memory ("ram" by guest-physical address, of which the rest is zeros, unless the
 * camera tells of a sample; "proc:…", "map:…"). The name is padded with zeros. Its number among the devices of the
 * stream; -1: no wire, no room now, or no such name. */
int wire_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes);

/* Is at least half of the ring free (or is there no wire)? For what must not get in the way of other evidence. */
bool wire_spare(void);

/* May the collector ask for something? */
bool wire_listens(void);
/* The stream itself, for who records memory; NULL: there is no wire. */
struct sender *wire_sender(void);

/* Sends and receives what there is. True: not all that was taken in is durable at the collector. */
bool wire_poll(void);

/* Waits until it is, at most so many seconds; says how it ended. */
void wire_finish(unsigned seconds);

#endif

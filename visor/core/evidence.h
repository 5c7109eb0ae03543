/* Where what was seen goes. */
#ifndef VISOR_CORE_EVIDENCE_H
#define VISOR_CORE_EVIDENCE_H

#include "visor/core/config.h"
#include "visor/storage/port.h"

#define EVIDENCE_RAM 0xffffu /* the device number of the guest's memory, by guest-physical address */

/* NULL, or why what was seen could not go where the configuration says. */
const char *evidence_init(const struct config *config);

/* Takes the block in before it returns; its data are the caller's. The machine's lock is held. */
void evidence_take(const struct visor_block *block);

/* Between exits: moves evidence on. True: there is some that is not safe yet, so call again soon. The machine's lock is
 * held. */
bool evidence_poll(void);

/* The machine goes off: waits until all is safe, as long as the configuration's `finish_seconds` (30) allows. The lock
 * is held. */
void evidence_finish(void);

#endif

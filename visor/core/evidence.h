/* Where what was seen goes. */
#ifndef VISOR_CORE_EVIDENCE_H
#define VISOR_CORE_EVIDENCE_H

#include "visor/core/config.h"
#include "visor/storage/port.h"

void evidence_init(const struct config *config);

/* Takes the block in before it returns; its data are the caller's. The machine's lock is held. */
void evidence_take(const struct visor_block *block);

#endif

/* The storage controllers of the machine, and who hears of what the guest does to them: between pages of registers
 * (mmio.h), configuration space (pci.h) and the mediators (visor/storage). */
#ifndef VISOR_CORE_DISKS_H
#define VISOR_CORE_DISKS_H

#include "visor/core/config.h"

/* At boot: finds the controllers, and watches their registers wherever the guest moves them. NULL, or why the machine is to
 * stay as it is: evidence could not go where the configuration says (evidence.h), or a storage controller is one that
 * would not be watched. With `unknown_storage ignore` in the configuration such ones are only named on COM1. */
const char *disks_init(const struct config *config);

#endif

/* The storage controllers of the machine, and who hears of what the guest does to them: between pages of registers
 * (mmio.h), configuration space (pci.h) and the mediators (visor/storage). */
#ifndef VISOR_CORE_DISKS_H
#define VISOR_CORE_DISKS_H

#include "visor/core/config.h"

/* At boot: finds the controllers, and watches their registers wherever the guest moves them. NULL, or why evidence could
 * not go where the configuration says (evidence.h). */
const char *disks_init(const struct config *config);

#endif

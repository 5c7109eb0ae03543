/* The firmware's own drivers of storage controllers: ended before the launch and started again after it.
 *
 * A controller that the firmware has used is running, with queues that nobody saw being made; what goes through them
 * would be a gap until the operating system resets it. Started again, the driver resets the controller and tells it
 * everything once more, under our eyes. */
#ifndef VISOR_BOOT_DRIVERS_H
#define VISOR_BOOT_DRIVERS_H

#include "visor/boot/efi.h"

enum { DRIVERS_MAX = 16, DRIVERS_PATH_BYTES = 512 };

struct drivers {
    EFI_HANDLE controller[DRIVERS_MAX]; /* whose driver was ended */
    unsigned count;
    uint8_t path[DRIVERS_PATH_BYTES]; /* of the volume; [0] == 0: not known */
};

/* Ends the drivers of all NVMe and AHCI controllers that have one. Handles of volumes on them are invalid from then on;
 * where `volume` is, is noted. */
void drivers_end(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, struct drivers *drivers);

/* Starts them again, with everything that was on them. Returns the handle that `volume` has now; NULL: it did not come
 * back. */
EFI_HANDLE drivers_start(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, struct drivers *drivers);

#endif

/* Files of the EFI system partition that this program was loaded from. */
#ifndef VISOR_BOOT_FILE_H
#define VISOR_BOOT_FILE_H

#include "visor/boot/efi.h"
#include "visor/core/config.h"

/* Reads a file of at most *bytes bytes; *bytes is its size afterwards. False if it is longer, or cannot be read; *bytes is 0
 * if it is not there. */
bool file_read(EFI_BOOT_SERVICES *boot, EFI_HANDLE device, uint16_t *path, void *out, size_t *bytes);

/* Starts the configuration's `loader` with its `options`; without one, or when it cannot be started, returns what makes
 * the firmware go on with its boot order. device: the partition, NULL if it is gone. */
EFI_STATUS file_chain(EFI_BOOT_SERVICES *boot, EFI_HANDLE self, EFI_HANDLE device, const struct config *config);

#endif

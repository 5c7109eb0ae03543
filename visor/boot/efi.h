/* UEFI's declarations are those of Debian's gnu-efi. It lacks the MP services (PI specification, volume 2, 13.4). Functions
 * are called in Microsoft's convention, which is this target's own. */
#ifndef VISOR_BOOT_EFI_H
#define VISOR_BOOT_EFI_H

#include <efi.h>

#include "visor/core/lib.h"

#define MP_SERVICES_GUID {0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}}

struct mp_services {
    EFI_STATUS (*count)(struct mp_services *, uint64_t *all, uint64_t *enabled);
    void (*info)(void);
    EFI_STATUS (*start_all)(struct mp_services *, void (*procedure)(void *), uint8_t one_by_one, void *event,
                            uint64_t timeout_us, void *arg, uint64_t **failed);
};

_Static_assert(offsetof(EFI_BOOT_SERVICES, LocateProtocol) == 24 + 37 * 8, "UEFI 2.9, 4.4");

#endif

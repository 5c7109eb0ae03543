/* An EFI program that a machine starts that was not launched: is the processor as it was? */
#include "visor/arch/x86/cpu.h"
#include "visor/boot/efi.h"
#include "visor/core/print.h"

#define EXTENDED_FEATURES 0x80000001u

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    (void)handle;
    (void)system;
    print("@@ svm %u", (unsigned)(cpuid(EXTENDED_FEATURES, 0).c >> 2 & 1));
    print_bytes("@@ end\n", 7); /* as machine.sh wants it, without our name before */
    __asm__ volatile("cli; lidt %0; ud2" : : "m"((struct table_register){0, 0}));
    return 0;
}

/* An EFI program like a firmware that runs with page tables of five levels (CR4.LA57), which Debian 12's does not: switches them on, on every
 * processor, and starts \chronovisor.efi. All memory is below 4 GiB. AMD64 manual, volume 2, 5.3.1: only where paging is off. */
#include "visor/arch/x86/cpu.h"
#include "visor/boot/efi.h"
#include "visor/boot/file.h"
#include "visor/core/print.h"

/* Out of long mode into 32 bits and back: RCX the new CR3, RDX the bits of CR4 to set; with descriptors of its own meanwhile. */
void switch_paging(uint64_t cr3, uint64_t cr4);
__asm__(".text\n.globl switch_paging\nswitch_paging:\n"
        "push %rbx\npush %rbp\n"
        "sub $32, %rsp\nsgdt (%rsp)\nmov %cs, 16(%rsp)\nmov %ss, 24(%rsp)\n"
        "lea table(%rip), %rax\nmov %rax, pointer + 2(%rip)\nlgdt pointer(%rip)\n"
        "lea back(%rip), %rax\nmov %eax, far(%rip)\nlea far(%rip), %rbx\n"
        "lea down(%rip), %rax\npush $8\npush %rax\nlretq\n"
        ".code32\ndown: mov $16, %eax\nmov %eax, %ds\nmov %eax, %ss\n"
        "mov %cr0, %eax\nmov %eax, %ebp\nand $0x7fffffff, %eax\nmov %eax, %cr0\n"
        "mov %cr4, %eax\nor %edx, %eax\nmov %eax, %cr4\nmov %ecx, %cr3\n"
        "mov %ebp, %cr0\nljmpl *(%ebx)\n"
        ".code64\nback: lgdt (%rsp)\nmov 24(%rsp), %ax\nmov %ax, %ss\nmov %ax, %ds\nmov %ax, %es\n"
        "lea 1f(%rip), %rax\npushq 16(%rsp)\npush %rax\nlretq\n1: add $32, %rsp\npop %rbp\npop %rbx\nret\n"
        ".data\n.balign 8\ntable: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff\n"
        "pointer: .word 31\n.quad 0\nfar: .long 0\n.word 24\n.text\n");

static uint64_t top = UINT32_MAX; /* the table of the fifth level, for all processors */

static void five(void *arg)
{
    (void)arg;
    switch_paging(top, CR4_LA57);
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    static EFI_GUID guid = LOADED_IMAGE_PROTOCOL, mp_guid = MP_SERVICES_GUID;
    EFI_BOOT_SERVICES *boot = system->BootServices;
    EFI_LOADED_IMAGE *image;
    struct mp_services *mp;
    uint64_t all = 1, enabled;
    if (boot->AllocatePages(AllocateMaxAddress, EfiBootServicesData, 1, &top) || boot->HandleProtocol(handle, &guid, (void **)&image))
        return EFI_LOAD_ERROR;
    if (!(cpuid(7, 0).c >> 16 & 1)) {
        print("@@ levels: the processor has not five");
        return EFI_LOAD_ERROR;
    }
    memset((void *)top, 0, PAGE_BYTES);
    *(uint64_t *)top = (read_cr3() & 0xffffffffff000) | 3;
    if (!boot->LocateProtocol(&mp_guid, NULL, (void **)&mp) && !mp->count(mp, &all, &enabled) && all > 1 &&
        mp->start_all(mp, five, 0, NULL, 0, NULL, NULL)) /* how they are now is how they come back */
        return EFI_LOAD_ERROR;
    __asm__ volatile("cli");
    five(NULL);
    __asm__ volatile("sti");
    print("@@ levels: five %u", (unsigned)!!(read_cr4() & CR4_LA57));
    struct config config = {.loader = "\\chronovisor.efi"};
    return file_chain(boot, handle, image->DeviceHandle, &config);
}

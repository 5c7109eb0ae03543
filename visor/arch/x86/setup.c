/* From the UEFI application's hands to the first guest instruction. */
#include "visor/arch/x86/svm/svm.h"
#include "visor/boot/info.h"
#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/disks.h"
#include "visor/core/machine.h"
#include "visor/core/memory.h"
#include "visor/core/pci.h"
#include "visor/platform/power.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"
#include "visor/iommu/iommu.h"

enum { ADDRESS_BITS_MAX = 48 };

const char *visor_init(const struct boot_info *info)
{
    uint64_t nested, own;
    const char *why = svm_missing();
    if (why) return why;
    if (!info->processors || info->processors > VCPU_MAX) return "more processors than are known";
    unsigned bits = cpuid(0x80000008, 0).a & 0xff, levels = read_cr4() & CR4_LA57 ? 5 : 4; /* nested paging's are the host's */
    memory_init(info->free_base, info->free_bytes);
    if (bits > ADDRESS_BITS_MAX) bits = ADDRESS_BITS_MAX;
    if ((why = machine_init(info, levels, bits, &nested, &own))) return why;
    host_init(own);
    svm_init(nested);
    for (unsigned i = 0; i < info->processors; i++) {
        vcpus[i].index = i;
        vcpus[i].svm = svm_cpu_new(&vcpus[i]);
    }
    iommu_init(info->acpi_rsdp, bits, info->own_base, info->own_bytes);
    apic_init();
    clock_init(info->tsc_hz, info->tsc_start, info->utc_ns);
    if ((why = pci_init(info->acpi_rsdp, &info->config))) return why;
    power_init(info->acpi_rsdp);
    if ((why = disks_init(&info->config))) return why;
    camera_init(&info->config, clock_ns());
    iommu_start(info->acpi_rsdp); /* last: what it is told is in memory that goes back to the firmware if we give up */
    print("%u processors, %u address bits in %u levels, memory at %llx + %llu KiB, %llu KiB of it free", info->processors, bits, levels,
          (unsigned long long)info->own_base, (unsigned long long)info->own_bytes >> 10,
          (unsigned long long)memory_left() >> 10);
    memory_seal();
    return NULL;
}

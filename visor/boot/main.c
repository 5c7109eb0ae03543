/* chronovisor.efi as the firmware starts it: reserves memory, copies this image there, has the copy virtualise every
 * processor, and goes on, as a guest, to the operating system's loader. */
#include "visor/arch/x86/svm/svm.h"
#include "visor/boot/drivers.h"
#include "visor/boot/efi.h"
#include "visor/boot/file.h"
#include "visor/boot/info.h"
#include "visor/core/clock.h"
#include "visor/core/print.h"

#define LARGE_BYTES (UINT64_C(2) << 20)
enum { CONFIG_BYTES = 16384 };

static uint16_t config_path[] = u"\\EFI\\chronovisor\\chronovisor.cfg";
static EFI_GUID loaded_image_guid = LOADED_IMAGE_PROTOCOL, mp_guid = MP_SERVICES_GUID, acpi_guid = ACPI_20_TABLE_GUID;

/* enter.S */
uint64_t visor_enter(uint64_t (*launch)(uint64_t rip, uint64_t rsp));

struct stage {
    EFI_SYSTEM_TABLE *system;
    EFI_BOOT_SERVICES *boot;
    EFI_LOADED_IMAGE *image;
    struct boot_info *info;
    uint64_t moved;  /* from this image to the copy */
    uint64_t cr4;    /* of the first processor */
    uint32_t failed; /* processors that cannot be launched */
    char why[128];
};

static void *in_copy(const struct stage *s, const void *here)
{
    return (void *)((uintptr_t)here + s->moved);
}

/* Takes 2 MiB-aligned memory that the operating system's memory map will call reserved. */
static bool reserve(struct stage *s, uint64_t bytes)
{
    uint64_t at, pages = (bytes + LARGE_BYTES) / PAGE_BYTES;
    if (s->boot->AllocatePages(AllocateAnyPages, EfiReservedMemoryType, pages, &at)) return false;
    uint64_t base = align_down(at + LARGE_BYTES - 1, LARGE_BYTES), end = at + pages * PAGE_BYTES;
    if (base > at) s->boot->FreePages(at, (base - at) / PAGE_BYTES);
    if (end > base + bytes) s->boot->FreePages(base + bytes, (end - base - bytes) / PAGE_BYTES);
    s->info->own_base = base;
    s->info->own_bytes = bytes;
    return true;
}

static bool copy_image(struct stage *s)
{
    uint64_t image = (s->image->ImageSize + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    uint8_t *to = (uint8_t *)(uintptr_t)s->info->own_base;
    if (image >= s->info->own_bytes / 2) return false;
    memcpy(to, s->image->ImageBase, s->image->ImageSize);
    s->moved = s->info->own_base - (uint64_t)(uintptr_t)s->image->ImageBase;
    s->info->free_base = s->info->own_base + image;
    s->info->free_bytes = s->info->own_bytes - image;
    return image_relocate(to, s->image->ImageSize, s->moved);
}

static bool is_ram(uint32_t type)
{
    return (type >= EfiLoaderCode && type <= EfiConventionalMemory) || type == EfiACPIReclaimMemory ||
           type == EfiACPIMemoryNVS;
}

static bool memory_map(struct stage *s)
{
    uint64_t bytes = 0, key, entry;
    uint32_t version;
    void *map;
    s->boot->GetMemoryMap(&bytes, NULL, &key, &entry, &version);
    bytes += 16 * entry; /* the allocation itself may add some */
    if (s->boot->AllocatePool(EfiLoaderData, bytes, &map) ||
        s->boot->GetMemoryMap(&bytes, map, &key, &entry, &version))
        return false;
    struct boot_info *info = s->info;
    for (uint64_t at = 0; at + entry <= bytes; at += entry) {
        const EFI_MEMORY_DESCRIPTOR *d = (const void *)((const uint8_t *)map + at);
        if (!is_ram(d->Type)) continue;
        uint64_t n = d->NumberOfPages * PAGE_BYTES;
        if (info->ram_count &&
            info->ram[info->ram_count - 1].base + info->ram[info->ram_count - 1].bytes == d->PhysicalStart) {
            info->ram[info->ram_count - 1].bytes += n;
            continue;
        }
        if (info->ram_count == INFO_RAM_MAX) return false;
        info->ram[info->ram_count].base = d->PhysicalStart;
        info->ram[info->ram_count++].bytes = n;
    }
    s->boot->FreePool(map);
    return true;
}

static void look_at_clocks(struct stage *s)
{
    enum { CALIBRATION_US = 20000, CALIBRATIONS = 5 };
    EFI_TIME t;
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < CALIBRATIONS; i++) { /* a stall may take longer than it should, never less */
        uint64_t begun = rdtsc();
        s->boot->Stall(CALIBRATION_US);
        s->info->tsc_start = rdtsc();
        if (s->info->tsc_start - begun < least) least = s->info->tsc_start - begun;
    }
    s->info->tsc_hz = least * (1000000 / CALIBRATION_US);
    if (s->system->RuntimeServices->GetTime(&t, NULL)) return;
    unsigned seconds = t.Hour * 3600u + t.Minute * 60u + t.Second;
    s->info->utc_ns = clock_from_date(t.Year, t.Month, t.Day, seconds, t.Nanosecond);
    /* minutes that local time is behind UTC; if it is not said, it is taken for UTC */
    if (t.TimeZone != EFI_UNSPECIFIED_TIMEZONE && s->info->utc_ns)
        s->info->utc_ns += (uint64_t)((int64_t)t.TimeZone * 60 * 1000000000);
}

static void look_around(struct stage *s, struct mp_services **mp)
{
    uint64_t all, enabled;
    s->info->processors = 1;
    *mp = NULL;
    if (!s->boot->LocateProtocol(&mp_guid, NULL, (void **)mp) && !(*mp)->count(*mp, &all, &enabled))
        s->info->processors = (unsigned)all;
    for (uint64_t i = 0; i < s->system->NumberOfTableEntries; i++)
        if (!memcmp(&s->system->ConfigurationTable[i].VendorGuid, &acpi_guid, sizeof acpi_guid))
            s->info->acpi_rsdp = (uint64_t)(uintptr_t)s->system->ConfigurationTable[i].VendorTable;
}

/* On each of the firmware's other processors, before anything is changed. Nested paging has as many levels as the host of each. */
static void look_here(void *arg)
{
    struct stage *s = arg;
    if (svm_missing() || (read_cr4() ^ s->cr4) & CR4_LA57) __atomic_add_fetch(&s->failed, 1, __ATOMIC_SEQ_CST);
}

/* On each of them. */
static void launch_here(void *arg)
{
    struct stage *s = arg;
    if (visor_enter((uint64_t(*)(uint64_t, uint64_t))in_copy(s, (void *)(uintptr_t)visor_launch)))
        __atomic_add_fetch(&s->failed, 1, __ATOMIC_SEQ_CST);
}

/* NULL, or why the machine stays as it is. */
static const char *virtualise(struct stage *s)
{
    struct mp_services *mp;
    look_around(s, &mp);
    if (s->info->processors > 1 && (mp->start_all(mp, look_here, 0, NULL, 0, s, NULL) || s->failed))
        return "a processor is not as the first one";
    if (!reserve(s, s->info->config.memory_mib << 20)) return "the firmware has not that much memory (memory_mib)";
    if (!copy_image(s)) return "this image cannot be moved";
    if (!memory_map(s)) return "the firmware's memory map is too long";
    look_at_clocks(s);
    const char *(*init)(const struct boot_info *) =
        (const char *(*)(const struct boot_info *))in_copy(s, (void *)(uintptr_t)visor_init);
    const char *why = init(s->info);
    if (why) {
        size_t n = strlen(why); /* it is in the copy, which goes */
        memcpy(s->why, why, n < sizeof s->why ? n + 1 : sizeof s->why - 1);
        s->boot->FreePages(s->info->own_base, s->info->own_bytes / PAGE_BYTES);
        return s->why;
    }
    if (s->info->processors > 1 && mp->start_all(mp, launch_here, 0, NULL, 0, s, NULL))
        return "the other processors do not start";
    launch_here(s);
    return s->failed ? "not every processor could be virtualised" : NULL;
}

/* On the firmware's console, which may be COM1 as well. */
static void say(struct stage *s, const char *text)
{
    uint16_t wide[128];
    size_t n = 0;
    for (; text[n] && n < ARRAY_LENGTH(wide) - 3; n++) wide[n] = (uint8_t)text[n];
    wide[n++] = '\r', wide[n++] = '\n', wide[n] = 0;
    if (!s->system->ConOut) {
        print("%s", text);
        return;
    }
    s->system->ConOut->OutputString(s->system->ConOut, u"visor: ");
    s->system->ConOut->OutputString(s->system->ConOut, wide);
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    struct stage s = {.system = system, .boot = system->BootServices, .cr4 = read_cr4()};
    struct drivers drivers;
    static char text[CONFIG_BYTES];
    size_t bytes = sizeof text;
    const char *unread = NULL;
    if (s.boot->HandleProtocol(handle, &loaded_image_guid, (void **)&s.image)) return EFI_LOAD_ERROR;
    if (s.boot->AllocatePool(EfiLoaderData, sizeof *s.info, (void **)&s.info)) return EFI_LOAD_ERROR;
    memset(s.info, 0, sizeof *s.info);
    if (!file_read(s.boot, s.image->DeviceHandle, config_path, text, &bytes)) {
        unread = bytes ? "chronovisor.cfg cannot be read, or is longer than 16 KiB" : NULL;
        say(&s, unread ? unread : "no \\EFI\\chronovisor\\chronovisor.cfg; defaults are used");
        bytes = 0;
    }
    const char *why = config_read(&s.info->config, text, bytes);
    drivers_end(s.boot, s.image->DeviceHandle, &drivers);
    if (!why) why = unread ? unread : virtualise(&s);
    EFI_HANDLE volume = drivers_start(s.boot, s.image->DeviceHandle, &drivers);
    say(&s, why ? why : "this machine is watched");
    if (why) print("not watched: %s", why);
    if (why) say(&s, "not watched: the machine boots as if this program were not here");
    return file_chain(s.boot, handle, volume, &s.info->config);
}

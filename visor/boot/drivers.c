#include "visor/boot/drivers.h"
#include "visor/core/pci.h"

enum { WIDTH_32 = 2, CLASS_REGISTER = 8, PATH_END = 0x7f, BY_PROTOCOL = 2, OPEN_BY_DRIVER = 0x10 };

static const struct efi_guid pci_io_guid = EFI_PCI_IO_GUID, device_path_guid = EFI_DEVICE_PATH_GUID,
                             file_system_guid = EFI_FILE_SYSTEM_GUID;

static bool is_storage(struct efi_boot_services *boot, efi_handle handle)
{
    struct efi_pci_io *pci;
    uint32_t class_code = 0;
    if (boot->handle_protocol(handle, &pci_io_guid, (void **)&pci) ||
        pci->config_read(pci, WIDTH_32, CLASS_REGISTER, 1, &class_code))
        return false;
    return class_code >> 8 == PCI_CLASS_NVME || class_code >> 8 == PCI_CLASS_AHCI;
}

/* UEFI 7.3.10. One that the firmware has not needed is left alone: looking for disks takes time. */
static bool has_driver(struct efi_boot_services *boot, efi_handle handle)
{
    struct efi_open_information *entry;
    uint64_t count;
    bool found = false;
    if (boot->open_protocol_information(handle, &pci_io_guid, &entry, &count)) return false;
    for (uint64_t i = 0; i < count; i++) found |= entry[i].attributes & OPEN_BY_DRIVER;
    boot->free_pool(entry);
    return found;
}

static void note_path(struct efi_boot_services *boot, efi_handle volume, uint8_t *out)
{
    const uint8_t *path;
    size_t n = 0, node;
    if (boot->handle_protocol(volume, &device_path_guid, (void **)&path)) return;
    do {
        node = path[n + 2] | (size_t)path[n + 3] << 8;
        if (node < 4 || n + node > DRIVERS_PATH_BYTES) return;
        n += node;
    } while (path[n - node] != PATH_END);
    memcpy(out, path, n);
}

void drivers_end(struct efi_boot_services *boot, efi_handle volume, struct drivers *drivers)
{
    efi_handle *all;
    uint64_t count;
    memset(drivers, 0, sizeof *drivers);
    note_path(boot, volume, drivers->path);
    if (boot->locate_handle_buffer(BY_PROTOCOL, &pci_io_guid, NULL, &count, &all)) return;
    for (uint64_t i = 0; i < count && drivers->count < DRIVERS_MAX; i++)
        if (is_storage(boot, all[i]) && has_driver(boot, all[i]) && !boot->disconnect_controller(all[i], NULL, NULL))
            drivers->controller[drivers->count++] = all[i];
    boot->free_pool(all);
}

efi_handle drivers_start(struct efi_boot_services *boot, efi_handle volume, struct drivers *drivers)
{
    uint8_t *rest = drivers->path;
    efi_handle found;
    if (!drivers->count) return volume;
    for (unsigned i = 0; i < drivers->count; i++) boot->connect_controller(drivers->controller[i], NULL, NULL, 1);
    if (!drivers->path[0] || boot->locate_device_path(&file_system_guid, (void **)&rest, &found)) return NULL;
    return rest[0] == PATH_END ? found : NULL;
}

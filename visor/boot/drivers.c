#include "visor/boot/drivers.h"
#include "visor/core/pci.h"

enum { CLASS_REGISTER = 8 };

static EFI_GUID pci_io_guid = EFI_PCI_IO_PROTOCOL_GUID, device_path_guid = DEVICE_PATH_PROTOCOL,
                file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;

static bool is_storage(EFI_BOOT_SERVICES *boot, EFI_HANDLE handle)
{
    EFI_PCI_IO_PROTOCOL *pci;
    uint32_t class_code = 0;
    if (boot->HandleProtocol(handle, &pci_io_guid, (void **)&pci) ||
        pci->Pci.Read(pci, EfiPciIoWidthUint32, CLASS_REGISTER, 1, &class_code))
        return false;
    return class_code >> 8 == PCI_CLASS_NVME || class_code >> 8 == PCI_CLASS_AHCI;
}

/* UEFI 7.3.10. One that the firmware has not needed is left alone: looking for disks takes time. */
static bool has_driver(EFI_BOOT_SERVICES *boot, EFI_HANDLE handle)
{
    EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *entry;
    uint64_t count;
    bool found = false;
    if (boot->OpenProtocolInformation(handle, &pci_io_guid, &entry, &count)) return false;
    for (uint64_t i = 0; i < count; i++) found |= entry[i].Attributes & EFI_OPEN_PROTOCOL_BY_DRIVER;
    boot->FreePool(entry);
    return found;
}

static void note_path(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, uint8_t *out)
{
    const uint8_t *path;
    size_t n = 0, node;
    if (boot->HandleProtocol(volume, &device_path_guid, (void **)&path)) return;
    do {
        node = path[n + 2] | (size_t)path[n + 3] << 8;
        if (node < 4 || n + node > DRIVERS_PATH_BYTES) return;
        n += node;
    } while (path[n - node] != END_DEVICE_PATH_TYPE);
    memcpy(out, path, n);
}

void drivers_end(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, struct drivers *drivers)
{
    EFI_HANDLE *all;
    uint64_t count;
    memset(drivers, 0, sizeof *drivers);
    note_path(boot, volume, drivers->path);
    if (boot->LocateHandleBuffer(ByProtocol, &pci_io_guid, NULL, &count, &all)) return;
    for (uint64_t i = 0; i < count && drivers->count < DRIVERS_MAX; i++)
        if (is_storage(boot, all[i]) && has_driver(boot, all[i]) && !boot->DisconnectController(all[i], NULL, NULL))
            drivers->controller[drivers->count++] = all[i];
    boot->FreePool(all);
}

EFI_HANDLE drivers_start(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, struct drivers *drivers)
{
    uint8_t *rest = drivers->path;
    EFI_HANDLE found;
    if (!drivers->count) return volume;
    for (unsigned i = 0; i < drivers->count; i++) boot->ConnectController(drivers->controller[i], NULL, NULL, 1);
    if (!drivers->path[0] || boot->LocateDevicePath(&file_system_guid, (EFI_DEVICE_PATH **)&rest, &found)) return NULL;
    return rest[0] == END_DEVICE_PATH_TYPE ? found : NULL;
}

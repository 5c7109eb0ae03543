#include "visor/boot/file.h"
#include "visor/core/print.h"

enum { PATH_BYTES_MAX = 1024 };

static EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL, device_path_guid = DEVICE_PATH_PROTOCOL,
                loaded_image_guid = LOADED_IMAGE_PROTOCOL;

bool file_read(EFI_BOOT_SERVICES *boot, EFI_HANDLE device, uint16_t *path, void *out, size_t *bytes)
{
    EFI_FILE_IO_INTERFACE *volume;
    EFI_FILE_PROTOCOL *root, *file;
    uint8_t more;
    uint64_t n = *bytes, one = 1;
    if (boot->HandleProtocol(device, &file_system_guid, (void **)&volume) || volume->OpenVolume(volume, &root))
        return false;
    EFI_STATUS status = root->Open(root, &file, path, EFI_FILE_MODE_READ, 0);
    root->Close(root);
    if (status == EFI_NOT_FOUND) *bytes = 0;
    if (status) return false;
    status = file->Read(file, &n, out);
    bool whole = !status && !file->Read(file, &one, &more) && !one;
    file->Close(file);
    if (whole) *bytes = n;
    return whole;
}

static void widen(uint16_t *wide, const char *text)
{
    while ((*wide++ = (uint8_t)*text++)) continue;
}

/* The device's path with a file's behind it, in out[PATH_BYTES_MAX]. */
static bool path_of(EFI_BOOT_SERVICES *boot, EFI_HANDLE device, const uint16_t *file, uint8_t *out)
{
    const uint8_t *path;
    size_t n = 0, file_bytes = 2;
    if (boot->HandleProtocol(device, &device_path_guid, (void **)&path)) return false;
    while (path[n] != END_DEVICE_PATH_TYPE) {
        size_t node = path[n + 2] | (size_t)path[n + 3] << 8;
        if (node < 4 || (n += node) > PATH_BYTES_MAX / 2) return false;
    }
    for (const uint16_t *c = file; *c; c++) file_bytes += 2;
    if (n + 4 + file_bytes + 4 > PATH_BYTES_MAX) return false;
    memcpy(out, path, n);
    memcpy(out + n,
           (uint8_t[]){MEDIA_DEVICE_PATH, MEDIA_FILEPATH_DP, (uint8_t)(4 + file_bytes), (uint8_t)((4 + file_bytes) >> 8)}, 4);
    memcpy(out + n + 4, file, file_bytes);
    memcpy(out + n + 4 + file_bytes, (uint8_t[]){END_DEVICE_PATH_TYPE, 0xff, 4, 0}, 4);
    return true;
}

EFI_STATUS file_chain(EFI_BOOT_SERVICES *boot, EFI_HANDLE self, EFI_HANDLE device, const struct config *config)
{
    uint16_t wide[CONFIG_VALUE_MAX];
    uint8_t path[PATH_BYTES_MAX];
    EFI_HANDLE loader;
    EFI_LOADED_IMAGE *image;
    if (!config->loader[0]) return EFI_NOT_STARTED;
    widen(wide, config->loader);
    EFI_STATUS status = EFI_LOAD_ERROR;
    if (!device || !path_of(boot, device, wide, path) || (status = boot->LoadImage(0, self, (EFI_DEVICE_PATH *)path, NULL, 0, &loader))) {
        print("%s cannot be loaded (%llx); the firmware's boot order goes on", config->loader, (unsigned long long)status);
        return EFI_NOT_STARTED;
    }
    if (config->options[0] && !boot->HandleProtocol(loader, &loaded_image_guid, (void **)&image)) {
        widen(wide, config->options);
        image->LoadOptions = wide;
        image->LoadOptionsSize = (uint32_t)(2 * strlen(config->options) + 2);
    }
    boot->SetWatchdogTimer(300, 0x10000, 0, NULL);
    status = boot->StartImage(loader, NULL, NULL);
    print("the loader came back (%llx); the firmware's boot order goes on", (unsigned long long)status);
    return EFI_NOT_STARTED;
}

#include "visor/boot/file.h"
#include "visor/core/print.h"

enum {
    PATH_CHARS = 256,
    PATH_BYTES_MAX = 1024,
    FILE_MODE_READ = 1,
    PATH_END = 0x7f,
    PATH_MEDIA = 4,
    PATH_MEDIA_FILE = 4
};

static const struct efi_guid file_system_guid = EFI_FILE_SYSTEM_GUID, device_path_guid = EFI_DEVICE_PATH_GUID,
                             loaded_image_guid = EFI_LOADED_IMAGE_GUID;

bool file_read(struct efi_boot_services *boot, efi_handle device, const uint16_t *path, void *out, size_t *bytes)
{
    struct efi_file_system *volume;
    struct efi_file *root, *file;
    uint8_t more;
    uint64_t n = *bytes, one = 1;
    if (boot->handle_protocol(device, &file_system_guid, (void **)&volume) || volume->open_volume(volume, &root))
        return false;
    efi_status status = root->open(root, &file, path, FILE_MODE_READ, 0);
    root->close(root);
    if (status) return false;
    status = file->read(file, &n, out);
    bool whole = !status && !file->read(file, &one, &more) && !one;
    file->close(file);
    *bytes = whole ? n : 0;
    return whole;
}

static void widen(uint16_t *wide, const char *text)
{
    while ((*wide++ = (uint8_t)*text++)) continue;
}

/* The device's path with a file's behind it, in out[PATH_BYTES_MAX]. */
static bool path_of(struct efi_boot_services *boot, efi_handle device, const uint16_t *file, uint8_t *out)
{
    const uint8_t *path;
    size_t n = 0, file_bytes = 2;
    if (boot->handle_protocol(device, &device_path_guid, (void **)&path)) return false;
    while (path[n] != PATH_END) {
        size_t node = path[n + 2] | (size_t)path[n + 3] << 8;
        if (node < 4 || (n += node) > PATH_BYTES_MAX / 2) return false;
    }
    for (const uint16_t *c = file; *c; c++) file_bytes += 2;
    if (n + 4 + file_bytes + 4 > PATH_BYTES_MAX) return false;
    memcpy(out, path, n);
    memcpy(out + n,
           (uint8_t[]){PATH_MEDIA, PATH_MEDIA_FILE, (uint8_t)(4 + file_bytes), (uint8_t)((4 + file_bytes) >> 8)}, 4);
    memcpy(out + n + 4, file, file_bytes);
    memcpy(out + n + 4 + file_bytes, (uint8_t[]){PATH_END, 0xff, 4, 0}, 4);
    return true;
}

efi_status file_chain(struct efi_boot_services *boot, efi_handle self, efi_handle device, const struct config *config)
{
    char text[CONFIG_VALUE_MAX];
    uint16_t wide[CONFIG_VALUE_MAX];
    uint8_t path[PATH_BYTES_MAX];
    efi_handle loader;
    struct efi_loaded_image *image;
    if (!config_get(config, "loader", 0, text, PATH_CHARS)) return EFI_NOT_STARTED;
    widen(wide, text);
    efi_status status = EFI_LOAD_ERROR;
    if (!device || !path_of(boot, device, wide, path) || (status = boot->load_image(0, self, path, NULL, 0, &loader))) {
        print("%s cannot be loaded (%llx); the firmware's boot order goes on", text, (unsigned long long)status);
        return EFI_NOT_STARTED;
    }
    if (config_get(config, "options", 0, text, sizeof text) &&
        !boot->handle_protocol(loader, &loaded_image_guid, (void **)&image)) {
        widen(wide, text);
        image->options = wide;
        image->options_bytes = (uint32_t)(2 * strlen(text) + 2);
    }
    boot->set_watchdog_timer(300, 0x10000, 0, NULL);
    status = boot->start_image(loader, NULL, NULL);
    print("the loader came back (%llx); the firmware's boot order goes on", (unsigned long long)status);
    return EFI_NOT_STARTED;
}

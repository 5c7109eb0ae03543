/* The few parts of UEFI that are used, in the order of the UEFI specification 2.9 (4.2, 4.3, 7, 9.1, 10, 13.4, 13.5,
 * 14.4)
 * and of the PI specification, volume 2 (13.4: MP services). Functions are called in Microsoft's convention, which is
 * this target's own. */
#ifndef VISOR_BOOT_EFI_H
#define VISOR_BOOT_EFI_H

#include "visor/core/lib.h"

typedef uint64_t efi_status;
typedef void *efi_handle;
typedef void efi_unused(void);

#define EFI_ERROR_BIT (UINT64_C(1) << 63)
#define EFI_LOAD_ERROR (EFI_ERROR_BIT | 1)
#define EFI_BUFFER_TOO_SMALL (EFI_ERROR_BIT | 5)
#define EFI_NOT_STARTED (EFI_ERROR_BIT | 19)
#define EFI_PAGE_BYTES 4096u

struct efi_guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};

#define EFI_LOADED_IMAGE_GUID                                                                                          \
    {                                                                                                                  \
        0x5b1b31a1, 0x9562, 0x11d2,                                                                                    \
        {                                                                                                              \
            0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                                             \
        }                                                                                                              \
    }
#define EFI_DEVICE_PATH_GUID                                                                                           \
    {                                                                                                                  \
        0x09576e91, 0x6d3f, 0x11d2,                                                                                    \
        {                                                                                                              \
            0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                                             \
        }                                                                                                              \
    }
#define EFI_FILE_SYSTEM_GUID                                                                                           \
    {                                                                                                                  \
        0x964e5b22, 0x6459, 0x11d2,                                                                                    \
        {                                                                                                              \
            0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                                             \
        }                                                                                                              \
    }
#define EFI_MP_SERVICES_GUID                                                                                           \
    {                                                                                                                  \
        0x3fdda605, 0xa76e, 0x4f46,                                                                                    \
        {                                                                                                              \
            0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                                             \
        }                                                                                                              \
    }
#define EFI_PCI_IO_GUID                                                                                                \
    {                                                                                                                  \
        0x4cf5b200, 0x68b8, 0x4ca5,                                                                                    \
        {                                                                                                              \
            0x9e, 0xec, 0xb2, 0x3e, 0x3f, 0x50, 0x02, 0x9a                                                             \
        }                                                                                                              \
    }
#define EFI_ACPI_20_GUID                                                                                               \
    {                                                                                                                  \
        0x8868e871, 0xe4f1, 0x11d3,                                                                                    \
        {                                                                                                              \
            0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                                                             \
        }                                                                                                              \
    }

enum efi_memory_type {
    EFI_RESERVED,
    EFI_LOADER_CODE,
    EFI_LOADER_DATA,
    EFI_BOOT_CODE,
    EFI_BOOT_DATA,
    EFI_RUNTIME_CODE,
    EFI_RUNTIME_DATA,
    EFI_CONVENTIONAL,
    EFI_UNUSABLE,
    EFI_ACPI_RECLAIM,
    EFI_ACPI_NVS,
};

struct efi_memory_descriptor {
    uint32_t type;
    uint64_t physical, virtual_address, pages, attribute;
};

struct efi_table_header {
    uint64_t signature;
    uint32_t revision, header_bytes, crc32, reserved;
};

struct efi_time {
    uint16_t year;
    uint8_t month, day, hour, minute, second, pad;
    uint32_t ns;
    int16_t zone; /* minutes that local time is behind UTC; 2047: not said, which is taken for UTC */
    uint8_t daylight, pad2;
};

struct efi_runtime_services {
    struct efi_table_header header;
    efi_status (*get_time)(struct efi_time *, void *capabilities);
};

struct efi_text_output {
    efi_unused *reset;
    efi_status (*output_string)(struct efi_text_output *, const uint16_t *text);
};

struct efi_open_information {
    efi_handle agent, controller;
    uint32_t attributes, opened;
};

struct efi_boot_services {
    struct efi_table_header header;
    efi_unused *raise_tpl, *restore_tpl;
    efi_status (*allocate_pages)(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address);
    efi_status (*free_pages)(uint64_t address, uint64_t pages);
    efi_status (*get_memory_map)(uint64_t *bytes, void *map, uint64_t *key, uint64_t *entry_bytes, uint32_t *version);
    efi_status (*allocate_pool)(uint32_t type, uint64_t bytes, void **out);
    efi_status (*free_pool)(void *);
    efi_unused *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
    efi_unused *install_protocol_interface, *reinstall_protocol_interface, *uninstall_protocol_interface;
    efi_status (*handle_protocol)(efi_handle, const struct efi_guid *, void **out);
    void *reserved;
    efi_unused *register_protocol_notify, *locate_handle;
    /* path: afterwards what was not matched */
    efi_status (*locate_device_path)(const struct efi_guid *, void **path, efi_handle *out);
    efi_unused *install_configuration_table;
    efi_status (*load_image)(uint8_t boot_policy, efi_handle parent, void *device_path, void *source, uint64_t bytes,
                             efi_handle *out);
    efi_status (*start_image)(efi_handle, uint64_t *exit_bytes, uint16_t **exit_text);
    efi_unused *exit;
    efi_status (*unload_image)(efi_handle);
    efi_unused *exit_boot_services, *get_next_monotonic_count;
    efi_status (*stall)(uint64_t microseconds);
    efi_status (*set_watchdog_timer)(uint64_t seconds, uint64_t code, uint64_t bytes, uint16_t *data);
    efi_status (*connect_controller)(efi_handle, efi_handle *drivers, void *path, uint8_t recursive);
    efi_status (*disconnect_controller)(efi_handle, efi_handle driver, efi_handle child);
    efi_unused *open_protocol, *close_protocol;
    efi_status (*open_protocol_information)(efi_handle, const struct efi_guid *, struct efi_open_information **out,
                                            uint64_t *count);
    efi_unused *protocols_per_handle;
    efi_status (*locate_handle_buffer)(uint32_t how, const struct efi_guid *, void *key, uint64_t *count,
                                       efi_handle **out);
    efi_status (*locate_protocol)(const struct efi_guid *, void *registration, void **out);
};

struct efi_configuration_table {
    struct efi_guid guid;
    void *table;
};

struct efi_system_table {
    struct efi_table_header header;
    uint16_t *vendor;
    uint32_t revision;
    efi_handle in_handle;
    void *in;
    efi_handle out_handle;
    struct efi_text_output *out;
    efi_handle error_handle;
    struct efi_text_output *error;
    struct efi_runtime_services *runtime;
    struct efi_boot_services *boot;
    uint64_t tables;
    struct efi_configuration_table *table;
};

struct efi_device_path {
    uint8_t type, subtype, bytes[2];
};

struct efi_loaded_image {
    uint32_t revision;
    efi_handle parent;
    struct efi_system_table *system;
    efi_handle device;
    struct efi_device_path *file_path;
    void *reserved;
    uint32_t options_bytes;
    void *options;
    uint8_t *base;
    uint64_t bytes;
    uint32_t code_type, data_type;
    efi_unused *unload;
};

struct efi_file {
    uint64_t revision;
    efi_status (*open)(struct efi_file *, struct efi_file **out, const uint16_t *name, uint64_t mode,
                       uint64_t attributes);
    efi_status (*close)(struct efi_file *);
    efi_unused *delete;
    efi_status (*read)(struct efi_file *, uint64_t *bytes, void *out);
};

struct efi_file_system {
    uint64_t revision;
    efi_status (*open_volume)(struct efi_file_system *, struct efi_file **out);
};

struct efi_pci_io {
    efi_unused *poll_memory, *poll_io, *memory_read, *memory_write, *io_read, *io_write;
    efi_status (*config_read)(struct efi_pci_io *, uint32_t width, uint32_t offset, uint64_t count, void *out);
};

struct efi_mp_services {
    efi_status (*count)(struct efi_mp_services *, uint64_t *all, uint64_t *enabled);
    efi_unused *info;
    efi_status (*start_all)(struct efi_mp_services *, void (*procedure)(void *), uint8_t one_by_one, void *event,
                            uint64_t timeout_us, void *arg, uint64_t **failed);
};

_Static_assert(offsetof(struct efi_boot_services, handle_protocol) == 24 + 16 * 8, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, load_image) == 24 + 22 * 8, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, connect_controller) == 24 + 30 * 8, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, locate_handle_buffer) == 24 + 36 * 8, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, locate_protocol) == 24 + 37 * 8, "UEFI 4.4");

#endif

/* What the UEFI application hands to the hypervisor, which is a relocated copy of the same image; and how it is relocated. */
#ifndef VISOR_BOOT_INFO_H
#define VISOR_BOOT_INFO_H

#include "visor/core/config.h"

#define INFO_RAM_MAX 256

struct boot_info {
    uint64_t own_base, own_bytes;   /* the hypervisor's memory: all of it, a multiple of 2 MiB, aligned */
    uint64_t free_base, free_bytes; /* its part behind the image */
    unsigned processors;
    unsigned ram_count;
    struct {
        uint64_t base, bytes;
    } ram[INFO_RAM_MAX]; /* the firmware's memory map: what is RAM, hypervisor's memory excluded */
    uint64_t acpi_rsdp;  /* 0: none */
    uint64_t tsc_hz, tsc_start,
        utc_ns; /* the processor's counter, and what the firmware's clock said then; 0: it did not */
    struct config config;
};

/* Makes everything that does not depend on a processor. Called once in the copy, by the firmware's processor, before
 * visor_launch. NULL, or one line that says why this machine cannot be virtualised. Nothing is changed then. */
const char *visor_init(const struct boot_info *info);

/* Makes the calling processor a guest, which goes on at resume_rip with resume_rsp and RAX 0: does not return, other
 * than with 1 if the processor cannot be virtualised. */
uint64_t visor_launch(uint64_t resume_rip, uint64_t resume_rsp);

/* Applies the base relocations of the PE32+ image in image[bytes] (as laid out in memory) for a move by `delta` bytes.
 * False if the headers or relocations are not what they should be; the image is of no use then. */
bool image_relocate(uint8_t *image, size_t bytes, uint64_t delta);

#endif

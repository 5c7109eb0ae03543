/* A captured memory as a file that other tools open: raw, LiME, ELF core. */
#ifndef CHV_SENSOR_MEMORY_EXPORT_H
#define CHV_SENSOR_MEMORY_EXPORT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/timeline.h"
#include "sensor/memory/layout.h"

enum export_format {
    EXPORT_RAW,  /* offset = guest-physical address; what is no memory is a hole */
    EXPORT_LIME, /* a header and the bytes of each range, one after another (LiME's format, version 1) */
    EXPORT_ELF,  /* ET_CORE with a PT_LOAD for each range and, when the guest's kernel left one, its VMCOREINFO note */
};

/* The inverse of its name ("raw", "lime", "elf"), or -EINVAL. */
int export_format_parse(const char *text);


#define EXPORT_LIME_HEADER_BYTES 32u
#define EXPORT_ELF_HEADER_BYTES 64u
#define EXPORT_ELF_SEGMENT_BYTES 56u
#define EXPORT_NOTE_MAX 4096u

/* LiME's header of a range. */
void export_lime_header(const struct ram_range *range, uint8_t out[EXPORT_LIME_HEADER_BYTES]);
/* The ELF header and program headers: a PT_NOTE of note_bytes (0: none) at note_offset, then a PT_LOAD a range, the first of
 * them at *data_offset, the others behind each other. Returns their bytes; `out` needs room for EXPORT_ELF_HEADER_BYTES +
 * (1 + ranges) * EXPORT_ELF_SEGMENT_BYTES. */
size_t export_elf_headers(const struct ram_layout *layout, uint64_t data_offset, uint64_t note_offset, size_t note_bytes,
                          uint8_t *out);
/* Where the first PT_LOAD begins: behind the headers, page-aligned. */
uint64_t export_elf_data_offset(const struct ram_layout *layout);

/* Is there a VMCOREINFO note at the beginning of this page? Its bytes (header, name and text, padded), or 0. Linux keeps it at
 * the beginning of a page of its own (kernel/crash_core.c). */
size_t export_vmcoreinfo(const uint8_t *page, size_t bytes);

struct export_result {
    uint64_t file_bytes, memory_bytes; /* memory: of the ranges */
    uint64_t data_bytes;               /* of them, not zeros: written */
    bool vmcoreinfo;                   /* found and written as a note */
};

/* Write the memory that `view` shows to an empty file. `stop` may be NULL; non-zero: -EINTR. */
int export_write(struct chv_view *view, const struct ram_layout *layout, enum export_format format, int fd,
                 const volatile sig_atomic_t *stop, void (*progress)(const char *, uint64_t, uint64_t),
                 struct export_result *result, struct chv_err *err);

#endif

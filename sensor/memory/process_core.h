/* One process as an ELF core file, as the kernel would have dumped it: gdb and readelf open it. */
#ifndef CHV_SENSOR_MEMORY_PROCESS_CORE_H
#define CHV_SENSOR_MEMORY_PROCESS_CORE_H

#include "sensor/memory/linux.h"
#include "sensor/memory/pages.h"

struct process_core {
    struct physmem *mem;
    struct linux_kernel *kernel;   /* NULL with an address space of which no more is known: no notes then */
    const struct linux_task *task; /* may be NULL */
    const char *command;
    const struct linux_vma *vmas;
    size_t vma_count;
    const struct pages *pages;
};

struct process_core_result {
    uint64_t bytes;    /* of memory */
    uint64_t segments; /* program headers with memory */
    uint64_t unreadable_pages; /* zeros in the file */
};

/* The file must not be there yet (EEXIST); nothing is left of it after an error. */
int process_core_write(const struct process_core *core, const char *path, struct process_core_result *out, struct chv_err *err);

/* Notes as the kernel writes them: NT_PRSTATUS with the registers the process had when it last entered the kernel, NT_PRPSINFO,
 * NT_AUXV and NT_FILE; malloc'd. Used by process_core_write. */
int process_core_notes(const struct process_core *core, char **notes, size_t *bytes);

#endif

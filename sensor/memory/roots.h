/* Address spaces found by their shape: a top-level page table per process, all of which share the kernel's half.
 *
 * Works for any x86-64 kernel that maps its page tables into its own half, as those of Linux, Windows and the BSDs do;
 * says nothing about whose address space it is. */
#ifndef CHV_SENSOR_MEMORY_ROOTS_H
#define CHV_SENSOR_MEMORY_ROOTS_H

#include "sensor/memory/walk.h"

#define ROOTS_MAX 65536u /* candidates looked at */

struct root {
    uint64_t cr3;          /* physical address of the table */
    uint32_t user_entries; /* present in the lower half; 0: the kernel's own */
    bool user_nx;          /* all of those forbid execution: the kernel's side of page-table isolation */
};

struct roots {
    struct root *list; /* of the largest family, by address */
    size_t count;
    unsigned levels;
    uint64_t candidates; /* pages that looked like a top-level table */
    uint64_t unreadable; /* pages whose content is not known */
};

typedef void roots_progress_fn(void *arg, uint64_t done_bytes, uint64_t total_bytes);

/* Scan all of physical memory once, on all cores where it may be shared; progress is told by the caller's thread. ENOENT: there is no such
 * family. roots_fini afterwards, also after an error. A freed table that nothing has overwritten yet is found as well. */
int roots_find(struct physmem *mem, roots_progress_fn *progress, void *arg, struct roots *out, struct chv_err *err);
void roots_fini(struct roots *roots);
/* A walk of this address space. */
void roots_walk(const struct roots *roots, struct physmem *mem, const struct root *root, struct walk *out);

#endif

/* Executable memory that shows a file, held against that file on the recorded disk. */
#ifndef CHV_CLI_MEMORY_TEXT_H
#define CHV_CLI_MEMORY_TEXT_H

#include "cli/memory_disk.h"
#include "sensor/memory/process_image.h"

/* Of one mapping; pages that are present. Addresses are of the first such page, 0: none. */
struct text_check {
    uint64_t present, compared, differ, copies; /* copies: private ones, which the process wrote to */
    uint64_t first_differs, first_copy;
    uint64_t unreadable;
    char why[160];                              /* why nothing was compared; "": it was */
};

/* `kernel` is NULL for an acquired process: its files cannot be told then. 0 or -ENOMEM. */
int text_check(struct memory_disk *disk, struct linux_kernel *kernel, const struct process_image *p, const struct linux_vma *v,
               struct text_check *out);
/* Does this page of the mapping differ from the file, or is it a private copy that could not be compared? After text_check. */
bool text_page_is_changed(struct memory_disk *disk, struct linux_kernel *kernel, const struct linux_vma *v, const struct text_check *check,
                          uint64_t va, uint32_t flags, const uint8_t hash[CHV_HASH_BYTES]);

/* The pages of a mapping, some at a time: their content is data, pages * 4096 bytes. Non-zero stops. */
typedef int text_pages_fn(void *arg, uint64_t va, uint32_t flags, const uint8_t *data, size_t pages);
int text_pages(const struct process_image *p, const struct linux_vma *v, uint64_t *unreadable, text_pages_fn *fn, void *arg);

#endif

/* One process's memory as something to look at, wherever it comes from: a machine's memory (its tables and the kernel's lists), or
 * spaces proc:N and map:N that `acquire process` made.
 *
 * Mappings, names and pages are the guest's word, or a store's: hostile either way. One handle serves one thread at a time. */
#ifndef CHV_SENSOR_MEMORY_PROCESS_IMAGE_H
#define CHV_SENSOR_MEMORY_PROCESS_IMAGE_H

#include "sensor/memory/linux.h"
#include "sensor/memory/pages.h"

#define PROCESS_MAP_BYTES_MAX (256u << 20) /* of a map:N that is read */

struct process_image {
    uint32_t pid;
    char name[16];
    uint64_t cr3;
    uint64_t start_ns;      /* since the machine's boot, tells a reused pid apart; 0: not known */
    struct physmem *mem;    /* borrowed; a page of `pages` is read here, at its pa */
    struct pages pages;
    struct linux_vma *vmas; /* in order of address; of an acquired process `file` says no more than whether there is one */
    size_t vma_count;
    bool vmas_broken;
};

/* A process of a machine. Its pages are those that the page tables map. */
int process_image_of_task(struct linux_kernel *k, struct physmem *mem, const struct linux_task *task, struct process_image *out,
                          struct chv_err *err);
/* From the text of map:N; pages have pa = va, to be read from proc:N through `mem`. EPROTO: no such text, with the line. */
int process_image_of_map(const char *text, size_t bytes, struct physmem *mem, struct process_image *out, struct chv_err *err);
void process_image_fini(struct process_image *image);

/* The mapping that covers va, or NULL. */
const struct linux_vma *process_image_vma(const struct process_image *image, uint64_t va);
/* The first run of pages that ends behind va; image->pages.count: none. */
size_t process_image_run(const struct process_image *image, uint64_t va);
/* Copy [va, va + bytes), which lies inside one run; a page that cannot be read becomes zeros and is counted. */
void process_image_read(const struct process_image *image, const struct page_run *run, uint64_t va, void *buf, size_t bytes,
                        uint64_t *unreadable_pages);

#endif

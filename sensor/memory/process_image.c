#include "sensor/memory/process_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int process_image_of_task(struct linux_kernel *k, struct physmem *mem, const struct linux_task *task, struct process_image *out,
                          struct chv_err *err)
{
    *out = (struct process_image){.pid = task->pid, .cr3 = task->cr3, .start_ns = task->start_ns, .mem = mem};
    memcpy(out->name, task->name, sizeof out->name);
    struct walk *w = malloc(sizeof *w);
    int r = w ? linux_vmas(k, task, &out->vmas, &out->vma_count, &out->vmas_broken, err) : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0 && linux_task_walk(k, task, w)) r = pages_collect(w, &out->pages, err);
    free(w);
    if (r < 0) process_image_fini(out);
    return r;
}

void process_image_fini(struct process_image *image)
{
    pages_free(&image->pages);
    linux_vmas_free(image->vmas, image->vma_count);
    *image = (struct process_image){0};
}

const struct linux_vma *process_image_vma(const struct process_image *image, uint64_t va)
{
    size_t low = 0, high = image->vma_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (va >= image->vmas[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->vma_count && va >= image->vmas[low].start ? &image->vmas[low] : NULL;
}

size_t process_image_run(const struct process_image *image, uint64_t va)
{
    size_t low = 0, high = image->pages.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (va >= image->pages.list[middle].va + image->pages.list[middle].bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void process_image_read(const struct process_image *image, const struct page_run *run, uint64_t va, void *buf, size_t bytes,
                        uint64_t *unreadable_pages)
{
    enum { PAGE = PHYSMEM_PAGE_BYTES };
    uint64_t pa = run->pa + (va - run->va);
    if (physmem_read(image->mem, pa, buf, bytes) == 0) return;
    for (size_t at = 0, n; at < bytes; at += n) {
        n = PAGE - (size_t)((pa + at) % PAGE);
        if (n > bytes - at) n = bytes - at;
        if (physmem_read(image->mem, pa + at, (char *)buf + at, n) == 0) continue;
        memset((char *)buf + at, 0, n);
        ++*unreadable_pages;
    }
}

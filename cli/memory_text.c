#include "cli/memory_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = PHYSMEM_PAGE_BYTES, CHUNK_PAGES = 64 };

int text_pages(const struct process_image *p, const struct linux_vma *v, uint64_t *unreadable, text_pages_fn *fn, void *arg)
{
    uint8_t *data = malloc((size_t)CHUNK_PAGES * PAGE);
    int r = data ? 0 : -ENOMEM;
    for (size_t i = process_image_run(p, v->start); i < p->pages.count && p->pages.list[i].va < v->end && r == 0; i++) {
        const struct page_run *run = &p->pages.list[i];
        uint64_t at = run->va > v->start ? run->va : v->start, end = run->va + run->bytes < v->end ? run->va + run->bytes : v->end;
        for (size_t n; at < end && r == 0; at += n) {
            n = end - at < (uint64_t)CHUNK_PAGES * PAGE ? (size_t)(end - at) : (size_t)CHUNK_PAGES * PAGE;
            uint64_t lost = 0;
            process_image_read(p, run, at, data, n, &lost);
            *unreadable += lost;
            if (lost == 0) r = fn(arg, at, run->flags, data, n / PAGE); /* zeros that stand for nothing are not compared */
        }
    }
    free(data);
    return r;
}

/* A page of a private mapping of a file that is dirty is no page of the file any more: the kernel made a copy when it was written to.
 * The processor sets that bit, and the kernel takes it away only from shared pages. */
static bool is_copy(const struct linux_vma *v, uint32_t flags)
{
    return (flags & (WALK_DIRTY | WALK_SAVED_DIRTY)) && !(v->flags & LINUX_VM_SHARED);
}

struct checking {
    const struct disk_file *file; /* NULL: not compared */
    const struct linux_vma *v;
    struct text_check *out;
};

static bool same(const struct disk_file *file, const struct linux_vma *v, uint64_t va, const uint8_t hash[CHV_HASH_BYTES])
{
    uint64_t page = (v->offset + (va - v->start)) / PAGE;
    return page < file->pages && memcmp(file->hashes[page], hash, CHV_HASH_BYTES) == 0;
}

static int check_pages(void *arg, uint64_t va, uint32_t flags, const uint8_t *data, size_t pages)
{
    struct checking *c = arg;
    uint8_t hashes[CHUNK_PAGES][CHV_HASH_BYTES];
    uint16_t entropies[CHUNK_PAGES];
    if (c->file) chv_digest_blocks(data, PAGE, pages, hashes, entropies);
    for (size_t i = 0; i < pages; i++, va += PAGE) {
        struct text_check *o = c->out;
        o->present++;
        if (is_copy(c->v, flags) && o->copies++ == 0) o->first_copy = va;
        if (!c->file) continue;
        o->compared++;
        if (!same(c->file, c->v, va, hashes[i]) && o->differ++ == 0) o->first_differs = va;
    }
    return 0;
}

static const struct disk_file *file_of(struct memory_disk *disk, struct linux_kernel *kernel, const struct linux_vma *v, char *why, size_t bytes)
{
    struct chv_err err;
    struct linux_origin origin;
    *why = 0;
    if (!kernel)
        snprintf(why, bytes, "of an acquired process it is not known which file system its files were in");
    else if (v->memfd)
        snprintf(why, bytes, "a memfd is on no disk");
    else if (linux_origin(kernel, v->file, &origin, &err) < 0)
        snprintf(why, bytes, "%.150s", err.text);
    else {
        const struct disk_file *file = memory_disk_file(disk, &origin);
        if (!file->why) return file;
        snprintf(why, bytes, "%.150s", file->why);
    }
    return NULL;
}

int text_check(struct memory_disk *disk, struct linux_kernel *kernel, const struct process_image *p, const struct linux_vma *v,
               struct text_check *out)
{
    *out = (struct text_check){0};
    struct checking c = {.v = v, .out = out};
    c.file = file_of(disk, kernel, v, out->why, sizeof out->why);
    return text_pages(p, v, &out->unreadable, check_pages, &c);
}

bool text_page_is_changed(struct memory_disk *disk, struct linux_kernel *kernel, const struct linux_vma *v, const struct text_check *check,
                          uint64_t va, uint32_t flags, const uint8_t hash[CHV_HASH_BYTES])
{
    char why[sizeof check->why];
    if (check->why[0]) return is_copy(v, flags);
    const struct disk_file *file = file_of(disk, kernel, v, why, sizeof why);
    return file && !same(file, v, va, hash);
}

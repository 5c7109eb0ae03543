#include "sensor/memory/pages.h"

#include <errno.h>
#include <stdlib.h>

#define SPARE_BYTES (UINT64_C(1) << 30)

struct collect {
    struct pages *out;
    struct physmem *mem;
    size_t room;
};

bool pages_fit(const struct pages *pages, const struct physmem *mem, uint64_t bytes)
{
    return bytes <= 2 * physmem_bytes(mem) + SPARE_BYTES - pages->bytes;
}

int pages_add(struct pages *pages, size_t *room, uint64_t va, uint64_t pa, uint64_t bytes, uint32_t flags)
{
    struct page_run *last = pages->count ? &pages->list[pages->count - 1] : NULL;
    if (last && last->va + last->bytes == va && last->pa + last->bytes == pa && last->flags == flags) {
        last->bytes += bytes;
        pages->bytes += bytes;
        return 0;
    }
    if (pages->count == *room) {
        size_t more = *room ? *room * 2 : 1024;
        struct page_run *list = realloc(pages->list, more * sizeof *list);
        if (!list) return -ENOMEM;
        pages->list = list;
        *room = more;
    }
    pages->list[pages->count++] = (struct page_run){va, pa, bytes, flags};
    pages->bytes += bytes;
    return 0;
}

static int add(void *arg, const struct walk_leaf *leaf)
{
    struct collect *c = arg;
    struct pages *p = c->out;
    if (!physmem_is_ram(c->mem, leaf->pa, leaf->bytes)) {
        p->outside_bytes += leaf->bytes;
        return 0;
    }
    if (!pages_fit(p, c->mem, leaf->bytes)) return -E2BIG;
    return pages_add(p, &c->room, leaf->va, leaf->pa, leaf->bytes, leaf->flags);
}

int pages_collect(struct walk *w, struct pages *out, struct chv_err *err)
{
    *out = (struct pages){0};
    struct collect c = {.out = out, .mem = w->mem};
    int r = walk_each(w, 0, walk_user_last(w->levels), walk_tables_max(w->mem), add, &c);
    out->truncated = r == -E2BIG;
    if (r < 0 && !out->truncated) {
        pages_free(out);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

int pages_moved(const struct pages *before, const struct pages *after, struct pages *out)
{
    size_t room = 0, next = 0;
    *out = (struct pages){0};
    for (size_t i = 0; i < before->count; i++) {
        const struct page_run *b = &before->list[i];
        for (uint64_t at = 0, n; at < b->bytes; at += n) {
            uint64_t va = b->va + at;
            while (next < after->count && after->list[next].va + after->list[next].bytes <= va) next++;
            const struct page_run *a = next < after->count ? &after->list[next] : NULL;
            bool there = a && a->va <= va;
            uint64_t end = b->va + b->bytes, until = there ? a->va + a->bytes : a ? a->va : end;
            n = (until < end ? until : end) - va;
            if (there && a->pa + (va - a->va) == b->pa + at) continue;
            if (pages_add(out, &room, va, b->pa + at, n, 0) < 0) {
                pages_free(out);
                return -ENOMEM;
            }
        }
    }
    return 0;
}

void pages_free(struct pages *pages)
{
    free(pages->list);
    *pages = (struct pages){0};
}

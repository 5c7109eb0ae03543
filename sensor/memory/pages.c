#include "sensor/memory/pages.h"

#include <errno.h>
#include <stdlib.h>

#define SPARE_BYTES (UINT64_C(1) << 30) /* shared pages count once for each mapping, so a space can be larger than RAM */

struct collect {
    struct pages *out;
    struct physmem *mem;
    size_t room;
    uint64_t most_bytes;
};

static bool is_ram(const struct physmem *mem, uint64_t pa, uint64_t bytes)
{
    const struct physmem_range *ranges;
    size_t count = physmem_ranges(mem, &ranges);
    for (size_t i = 0; i < count; i++)
        if (pa >= ranges[i].base && pa - ranges[i].base < ranges[i].bytes) return bytes <= ranges[i].bytes - (pa - ranges[i].base);
    return false;
}

static int add(void *arg, const struct walk_leaf *leaf)
{
    struct collect *c = arg;
    struct pages *p = c->out;
    if (!is_ram(c->mem, leaf->pa, leaf->bytes)) {
        p->outside_bytes += leaf->bytes;
        return 0;
    }
    if (leaf->bytes > c->most_bytes - p->bytes) return -E2BIG;
    p->bytes += leaf->bytes;
    struct page_run *last = p->count ? &p->list[p->count - 1] : NULL;
    if (last && last->va + last->bytes == leaf->va && last->pa + last->bytes == leaf->pa && last->flags == leaf->flags) {
        last->bytes += leaf->bytes;
        return 0;
    }
    if (p->count == c->room) {
        size_t room = c->room ? c->room * 2 : 1024;
        struct page_run *list = realloc(p->list, room * sizeof *list);
        if (!list) return -ENOMEM;
        p->list = list;
        c->room = room;
    }
    p->list[p->count++] = (struct page_run){leaf->va, leaf->pa, leaf->bytes, leaf->flags};
    return 0;
}

int pages_collect(struct walk *w, struct pages *out, struct chv_err *err)
{
    *out = (struct pages){0};
    struct collect c = {.out = out, .mem = w->mem, .most_bytes = 2 * physmem_bytes(w->mem) + SPARE_BYTES};
    int r = walk_each(w, 0, walk_user_last(w->levels), walk_tables_max(w->mem), add, &c);
    out->truncated = r == -E2BIG;
    if (r < 0 && !out->truncated) {
        pages_free(out);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

void pages_free(struct pages *pages)
{
    free(pages->list);
    *pages = (struct pages){0};
}

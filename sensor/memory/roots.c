#include "sensor/memory/roots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = WALK_ENTRIES / 2, CHUNK_PAGES = 256 };
#define SELF_TABLES_MAX 16384u /* a kernel's half looked through until it maps its own table */

#define PTE_PRESENT UINT64_C(1)
#define PTE_NX (UINT64_C(1) << 63)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)
#define PTE_IDENTITY (PTE_ADDRESS | PTE_PRESENT) /* accessed and dirty differ from table to table */

struct candidate {
    struct root root;
    uint64_t kernel_hash;
};

struct scan {
    uint64_t end; /* above all RAM */
    struct candidate *list;
    size_t count, room;
};

/* Never a large page, inside of RAM. */
static bool is_table_pointer(const struct scan *s, uint64_t entry)
{
    return (entry & 0x81) == PTE_PRESENT && (entry & PTE_ADDRESS) < s->end;
}

/* A page as a top-level table: every entry absent or a pointer to a table. */
static bool look(const struct scan *s, const uint64_t *t, uint64_t address, struct candidate *out)
{
    if (!is_table_pointer(s, t[WALK_ENTRIES - 1])) return false; /* one load decides for almost every page */
    *out = (struct candidate){.root = {.cr3 = address, .user_nx = true}, .kernel_hash = 14695981039346656037u};
    for (size_t i = 0; i < WALK_ENTRIES; i++) {
        if (!(t[i] & PTE_PRESENT)) {
            if (t[i] != 0) return false; /* a top-level table is never swapped out */
            continue;
        }
        if (!is_table_pointer(s, t[i])) return false;
        if (i < HALF) {
            out->root.user_entries++;
            out->root.user_nx &= (t[i] & PTE_NX) != 0;
        } else if ((t[i] & PTE_ADDRESS) != address) { /* an entry for the table itself differs by nature */
            uint64_t mixed = (out->kernel_hash ^ (t[i] & PTE_IDENTITY) ^ i) * 0x9e3779b97f4a7c15u;
            out->kernel_hash = mixed ^ mixed >> 29;
        }
    }
    out->root.user_nx &= out->root.user_entries > 0;
    return true;
}

static int add(struct scan *s, const struct candidate *c)
{
    if (s->count == ROOTS_MAX) return 0;
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 256;
        struct candidate *list = realloc(s->list, room * sizeof *list);
        if (!list) return -ENOMEM;
        s->list = list;
        s->room = room;
    }
    s->list[s->count++] = *c;
    return 0;
}

static int scan_chunk(struct scan *s, struct physmem *mem, uint64_t base, size_t pages, uint64_t *buf, uint64_t *unreadable)
{
    struct candidate c;
    bool whole = physmem_read(mem, base, buf, pages * PHYSMEM_PAGE_BYTES) == 0;
    for (size_t i = 0; i < pages; i++) {
        uint64_t *page = buf + i * WALK_ENTRIES, address = base + i * PHYSMEM_PAGE_BYTES;
        if (!whole && physmem_read(mem, address, page, PHYSMEM_PAGE_BYTES) < 0)
            ++*unreadable;
        else if (look(s, page, address, &c) && add(s, &c) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int scan_all(struct scan *s, struct physmem *mem, roots_progress_fn *progress, void *arg, uint64_t *unreadable)
{
    const struct physmem_range *ranges;
    size_t count = physmem_ranges(mem, &ranges);
    uint64_t *buf = malloc(CHUNK_PAGES * PHYSMEM_PAGE_BYTES), done = 0;
    int r = buf ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++)
        for (uint64_t at = 0; at < ranges[i].bytes && r == 0;) {
            uint64_t left = (ranges[i].bytes - at) / PHYSMEM_PAGE_BYTES;
            size_t pages = left < CHUNK_PAGES ? (size_t)left : CHUNK_PAGES;
            r = scan_chunk(s, mem, ranges[i].base + at, pages, buf, unreadable);
            at += pages * PHYSMEM_PAGE_BYTES;
            done += pages * PHYSMEM_PAGE_BYTES;
            if (progress) progress(arg, done, physmem_bytes(mem));
        }
    free(buf);
    return r;
}

static int covers(void *arg, const struct walk_leaf *leaf)
{
    const uint64_t *address = arg;
    return *address >= leaf->pa && *address - leaf->pa < leaf->bytes && !(leaf->flags & WALK_USER);
}

/* A kernel must reach its own page tables, so its half maps the table; what only looks like a table does not. */
static bool maps_itself(struct physmem *mem, uint64_t address, unsigned levels)
{
    struct walk *w = malloc(sizeof *w);
    if (!w) return false;
    walk_init(w, mem, address, levels);
    int r = walk_each(w, walk_kernel_first(levels), UINT64_MAX, SELF_TABLES_MAX, covers, &address);
    free(w);
    return r == 1;
}

static int by_family(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->kernel_hash != y->kernel_hash) return x->kernel_hash < y->kernel_hash ? -1 : 1;
    return x->root.cr3 < y->root.cr3 ? -1 : x->root.cr3 > y->root.cr3;
}

/* The largest family of which one member maps itself. */
static unsigned choose(const struct scan *s, struct physmem *mem, size_t *first, size_t *count)
{
    unsigned levels = 0;
    *count = 0;
    for (size_t i = 0, end; i < s->count; i = end) {
        for (end = i + 1; end < s->count && s->list[end].kernel_hash == s->list[i].kernel_hash;) end++;
        if (end - i <= *count) continue;
        unsigned l = maps_itself(mem, s->list[i].root.cr3, 4) ? 4 : maps_itself(mem, s->list[i].root.cr3, 5) ? 5 : 0;
        if (l == 0) continue;
        levels = l;
        *first = i;
        *count = end - i;
    }
    return levels;
}

int roots_find(struct physmem *mem, roots_progress_fn *progress, void *arg, struct roots *out, struct chv_err *err)
{
    struct scan s = {.end = physmem_end(mem)};
    size_t first = 0;
    *out = (struct roots){0};
    int r = scan_all(&s, mem, progress, arg, &out->unreadable);
    if (r < 0) {
        r = chv_err_set(err, ENOMEM, "out of memory");
        goto out_free;
    }
    out->candidates = s.count;
    if (s.count > 0) qsort(s.list, s.count, sizeof *s.list, by_family);
    out->levels = choose(&s, mem, &first, &out->count);
    if (out->count == 0) {
        r = chv_err_set(err, ENOENT, "no address space found in %llu MiB (%llu candidates): not the memory of a running x86-64 "
                        "system, or encrypted", (unsigned long long)(physmem_bytes(mem) >> 20), (unsigned long long)s.count);
        goto out_free;
    }
    out->list = calloc(out->count, sizeof *out->list);
    if (!out->list) {
        r = chv_err_set(err, ENOMEM, "out of memory");
        goto out_free;
    }
    for (size_t i = 0; i < out->count; i++) out->list[i] = s.list[first + i].root;
out_free:
    free(s.list);
    return r;
}

void roots_fini(struct roots *roots)
{
    free(roots->list);
    *roots = (struct roots){0};
}

void roots_walk(const struct roots *roots, struct physmem *mem, const struct root *root, struct walk *out)
{
    walk_init(out, mem, root->cr3, roots->levels);
    out->ignore_top_nx = root->user_nx;
}

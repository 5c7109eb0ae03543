#include "sensor/memory/walk.h"

#include <errno.h>
#include <string.h>

enum { PAGE_SHIFT = 12, INDEX_BITS = 9 };
#define PTE_PRESENT (UINT64_C(1) << 0)
#define PTE_WRITE (UINT64_C(1) << 1)
#define PTE_USER (UINT64_C(1) << 2)
#define PTE_ACCESSED (UINT64_C(1) << 5)
#define PTE_DIRTY (UINT64_C(1) << 6)
#define PTE_LARGE (UINT64_C(1) << 7)
#define PTE_GLOBAL (UINT64_C(1) << 8)
#define PTE_SAVED_DIRTY (UINT64_C(1) << 58) /* _PAGE_BIT_SAVED_DIRTY in Linux' pgtable_types.h */
#define PTE_NX (UINT64_C(1) << 63)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

/* What the levels above allow: a right counts only if every level gives it. */
#define RIGHTS_ALL (WALK_WRITE | WALK_USER | WALK_EXEC)

static unsigned level_shift(unsigned level)
{
    return PAGE_SHIFT + INDEX_BITS * (level - 1);
}

static uint64_t canonical(const struct walk *w, uint64_t va)
{
    unsigned unused = 64 - (PAGE_SHIFT + INDEX_BITS * w->levels);
    return (uint64_t)((int64_t)(va << unused) >> unused);
}

void walk_init(struct walk *w, struct physmem *mem, uint64_t root, unsigned levels)
{
    memset(w, 0, offsetof(struct walk, copy));
    w->mem = mem;
    w->root = root & PTE_ADDRESS;
    w->levels = levels == 5 ? 5 : 4;
    memset(w->cached, 0xff, sizeof w->cached);
}

/* The table of this level at `address`, copied. NULL: no RAM there. Valid until another one of the level is asked for. */
static const uint64_t *table(struct walk *w, unsigned level, uint64_t address)
{
    uint64_t *copy = w->copy[level - 1];
    if (w->cached[level - 1] == address) return copy;
    w->cached[level - 1] = UINT64_MAX;
    if (physmem_read(w->mem, address, copy, sizeof w->copy[0]) < 0) return NULL;
    w->tables++;
    w->cached[level - 1] = address;
    return copy;
}

static uint32_t entry_rights(const struct walk *w, unsigned level, uint64_t va, uint64_t entry)
{
    bool nx = (entry & PTE_NX) && !(w->ignore_top_nx && level == w->levels && va <= walk_user_last(w->levels));
    return (entry & PTE_WRITE ? WALK_WRITE : 0u) | (entry & PTE_USER ? WALK_USER : 0u) | (nx ? 0u : WALK_EXEC);
}

static bool is_leaf(unsigned level, uint64_t entry)
{
    return level == 1 || ((level == 2 || level == 3) && (entry & PTE_LARGE));
}

/* What the processor would follow: present, and without reserved bits (which fault). */
static bool is_valid(unsigned level, uint64_t entry)
{
    if (!(entry & PTE_PRESENT)) return false;
    if (!(entry & PTE_LARGE) || level == 1) return true;
    /* In a large page's entry the address bits below its size are reserved, but for bit 12, which is PAT. */
    return level <= 3 && (entry & PTE_ADDRESS & ((UINT64_C(1) << level_shift(level)) - 1) & ~(UINT64_C(1) << 12)) == 0;
}

static void fill_leaf(struct walk_leaf *out, unsigned level, uint64_t va, uint64_t entry, uint32_t rights)
{
    uint64_t bytes = UINT64_C(1) << level_shift(level);
    out->va = va & ~(bytes - 1);
    out->pa = entry & PTE_ADDRESS & ~(bytes - 1); /* bit 12 of a large page's entry is PAT, not address */
    out->bytes = bytes;
    out->flags = rights | (entry & PTE_ACCESSED ? WALK_ACCESSED : 0u) | (entry & PTE_DIRTY ? WALK_DIRTY : 0u) |
                 (entry & PTE_GLOBAL ? WALK_GLOBAL : 0u) |
                 (entry & PTE_SAVED_DIRTY && !(entry & PTE_WRITE) ? WALK_SAVED_DIRTY : 0u);
}

int walk_translate(struct walk *w, uint64_t va, struct walk_leaf *out)
{
    if (canonical(w, va) != va) return -EFAULT;
    uint64_t address = w->root;
    uint32_t rights = RIGHTS_ALL;
    for (unsigned level = w->levels; level > 0; level--) {
        const uint64_t *t = table(w, level, address);
        if (!t) return -EFAULT;
        uint64_t entry = t[va >> level_shift(level) & (WALK_ENTRIES - 1)];
        if (!is_valid(level, entry)) return -EFAULT;
        rights &= entry_rights(w, level, va, entry);
        if (is_leaf(level, entry)) {
            fill_leaf(out, level, va, entry, rights);
            return 0;
        }
        address = entry & PTE_ADDRESS;
    }
    return -EFAULT;
}

int walk_read(struct walk *w, uint64_t va, void *buf, size_t bytes)
{
    struct walk_leaf leaf;
    for (uint8_t *p = buf; bytes > 0;) {
        int r = walk_translate(w, va, &leaf);
        if (r < 0) return r;
        uint64_t inside = va - leaf.va;
        size_t n = leaf.bytes - inside < bytes ? (size_t)(leaf.bytes - inside) : bytes;
        r = physmem_read(w->mem, leaf.pa + inside, p, n);
        if (r < 0) return r;
        p += n;
        bytes -= n;
        va += n;
    }
    return 0;
}

size_t walk_read_some(struct walk *w, uint64_t va, void *buf, size_t bytes)
{
    size_t there = 0;
    for (uint8_t *p = buf; bytes > 0;) {
        size_t n = PHYSMEM_PAGE_BYTES - (size_t)(va & (PHYSMEM_PAGE_BYTES - 1));
        if (n > bytes) n = bytes;
        if (walk_read(w, va, p, n) == 0)
            there += n;
        else
            memset(p, 0, n);
        p += n;
        bytes -= n;
        va += n;
    }
    return there;
}

struct each {
    struct walk *walk;
    uint64_t first, last; /* without the sign extension */
    uint64_t left;        /* tables that may still be looked at */
    walk_fn *fn;
    void *arg;
};

/* One table and what is below it. `base` is the address of its first entry without the sign extension. The depth is the
 * number of levels, whatever the tables say. */
static int each_below(struct each *e, unsigned level, uint64_t address, uint64_t base, uint32_t rights)
{
    if (e->left == 0) return -E2BIG;
    e->left--;
    const uint64_t *t = table(e->walk, level, address);
    if (!t) return 0; /* outside of RAM: nothing is mapped there */
    unsigned shift = level_shift(level);
    uint64_t span = UINT64_C(1) << shift;
    uint64_t from = e->first > base ? (e->first - base) >> shift : 0;
    for (uint64_t i = from; i < WALK_ENTRIES && base + i * span <= e->last; i++) {
        uint64_t entry = t[i], va = base + i * span;
        if (!is_valid(level, entry)) continue;
        uint32_t granted = rights & entry_rights(e->walk, level, va, entry);
        int r;
        if (is_leaf(level, entry)) {
            struct walk_leaf leaf;
            fill_leaf(&leaf, level, canonical(e->walk, va), entry, granted);
            r = e->fn(e->arg, &leaf);
        } else {
            r = each_below(e, level - 1, entry & PTE_ADDRESS, va, granted);
        }
        if (r != 0) return r;
    }
    return 0;
}

int walk_each(struct walk *w, uint64_t va, uint64_t last, uint64_t tables_max, walk_fn *fn, void *arg)
{
    if (canonical(w, va) != va || canonical(w, last) != last || va > last) return -EINVAL;
    uint64_t mask = (UINT64_C(1) << (PAGE_SHIFT + INDEX_BITS * w->levels)) - 1;
    struct each e = {.walk = w, .first = va & mask, .last = last & mask, .left = tables_max, .fn = fn, .arg = arg};
    if (e.first > e.last) return -EINVAL; /* across the hole is two walks */
    return each_below(&e, w->levels, w->root, 0, RIGHTS_ALL);
}

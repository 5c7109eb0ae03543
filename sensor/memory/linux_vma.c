#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

/* Maple trees: include/linux/maple_tree.h and lib/maple_tree.c of Linux. A node is 256-byte aligned, its kind is in the low bits
 * of the pointer to it. Slots are told apart by pivots, the last value of each; the last used slot ends at the node's own maximum. */
enum { MAPLE_LEAF_64 = 1, MAPLE_RANGE_64 = 2, MAPLE_ARANGE_64 = 3, MAPLE_SLOTS_MAX = 64, MAPLE_DEPTH_MAX = 16, MAPLE_MASK = 255 };
#define MAPLE_NODES_MAX 262144u

struct collect {
    struct linux_kernel *k;
    struct linux_vma *list;
    size_t count, room;
    uint64_t user_last;
    uint32_t nodes;
    bool broken, no_memory;
};

/* Mappings come in order of address and do not overlap; what does not fit that is not believed. */
static bool add_vma(struct collect *c, uint64_t vma)
{
    struct linux_kernel *k = c->k;
    struct linux_vma v = {0};
    uint64_t pgoff;
    if (c->count == LINUX_VMAS_MAX || !linux_is_pointer(k, vma) || !linux_u64(k, vma + k->at.vma_start, &v.start) ||
        !linux_u64(k, vma + k->at.vma_end, &v.end) || !linux_u64(k, vma + k->at.vma_flags, &v.flags) ||
        !linux_u64(k, vma + k->at.vma_file, &v.file) || !linux_u64(k, vma + k->at.vma_pgoff, &pgoff))
        return false;
    if (v.start >= v.end || (v.start | v.end) % PHYSMEM_PAGE_BYTES || v.end > c->user_last + 1 ||
        (c->count > 0 && v.start < c->list[c->count - 1].end))
        return false;
    v.offset = v.file ? pgoff * PHYSMEM_PAGE_BYTES : 0;
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct linux_vma *grown = realloc(c->list, room * sizeof *grown);
        if (!grown) {
            c->no_memory = true;
            return false;
        }
        c->list = grown;
        c->room = room;
    }
    c->list[c->count++] = v;
    return true;
}

static void walk_maple(struct collect *c, uint64_t entry, uint64_t min, uint64_t max, int depth);

static void walk_slots(struct collect *c, const uint64_t *pivots, const uint64_t *slots, uint32_t count, bool leaf, uint64_t min,
                       uint64_t max, int depth)
{
    for (uint32_t i = 0; i < count && !c->no_memory; i++) {
        uint64_t last = i + 1 < count ? pivots[i] : max;
        if (last == 0 && i > 0) last = max; /* an unused pivot: the slot before the end */
        if (last > max || last < min) {
            c->broken = true;
            return;
        }
        if (slots[i] != 0 && leaf)
            c->broken |= !add_vma(c, slots[i]);
        else if (slots[i] != 0)
            walk_maple(c, slots[i], min, last, depth + 1);
        if (last == max) return;
        min = last + 1;
    }
}

static void walk_maple(struct collect *c, uint64_t entry, uint64_t min, uint64_t max, int depth)
{
    const struct linux_offsets *at = &c->k->at;
    uint64_t node = entry & ~(uint64_t)MAPLE_MASK, pivots[MAPLE_SLOTS_MAX] = {0}, slots[MAPLE_SLOTS_MAX];
    unsigned kind = entry >> 3 & 15;
    bool wide = kind == MAPLE_ARANGE_64, leaf = kind == MAPLE_LEAF_64;
    uint32_t count = wide ? at->a64_slots : at->r64_slots;
    if (depth == MAPLE_DEPTH_MAX || c->nodes++ == MAPLE_NODES_MAX || !linux_is_pointer(c->k, node) ||
        (!wide && !leaf && kind != MAPLE_RANGE_64) ||
        walk_read(&c->k->walk, node + (wide ? at->a64_pivot : at->r64_pivot), pivots, (count - 1) * sizeof *pivots) < 0 ||
        walk_read(&c->k->walk, node + (wide ? at->a64_slot : at->r64_slot), slots, count * sizeof *slots) < 0) {
        c->broken = true;
        return;
    }
    walk_slots(c, pivots, slots, count, leaf, min, max, depth);
}

static void walk_tree(struct collect *c, uint64_t mm)
{
    uint64_t root;
    if (!linux_u64(c->k, mm + c->k->at.mm_tree, &root)) {
        c->broken = true;
    } else if ((root & 3) == 2 && root > 4096) {
        walk_maple(c, root, 0, UINT64_MAX, 0);
    } else if (root != 0) {
        c->broken |= !add_vma(c, root); /* a single mapping needs no node */
    }
}

/* Before 6.1: a list. add_vma refuses what goes back, so it ends. */
static void walk_list(struct collect *c, uint64_t mm)
{
    uint64_t vma;
    if (!linux_u64(c->k, mm + c->k->at.mm_list, &vma)) c->broken = true;
    while (!c->broken && vma != 0)
        if (!add_vma(c, vma) || !linux_u64(c->k, vma + c->k->at.vma_next, &vma)) c->broken = true;
}

/* A field of the mm, or 0 where it is not known. */
static uint64_t mm_field(struct linux_kernel *k, uint64_t mm, uint32_t offset)
{
    uint64_t value;
    return offset != LINUX_NONE && linux_u64(k, mm + offset, &value) ? value : 0;
}

static void name_vmas(struct linux_kernel *k, uint64_t mm, struct linux_vma *list, size_t count)
{
    uint64_t vdso = mm_field(k, mm, k->at.mm_vdso), stack = mm_field(k, mm, k->at.mm_start_stack);
    uint64_t heap = mm_field(k, mm, k->at.mm_start_brk), heap_end = mm_field(k, mm, k->at.mm_brk);
    for (size_t i = 0; i < count; i++) {
        struct linux_vma *v = &list[i];
        if (v->file) {
            v->path = i > 0 && list[i - 1].file == v->file && list[i - 1].path ? strdup(list[i - 1].path) : NULL;
            if (v->path) {
                v->deleted = list[i - 1].deleted;
                v->memfd = list[i - 1].memfd;
            } else {
                v->path = linux_path(k, v->file, &v->deleted, &v->memfd);
            }
        } else {
            v->vdso = vdso != 0 && v->start == vdso;
            v->stack = stack >= v->start && stack < v->end;
            v->heap = heap_end > heap && v->start < heap_end && v->end > heap;
        }
    }
}

int linux_vmas(struct linux_kernel *k, const struct linux_task *task, struct linux_vma **out, size_t *count, bool *broken,
               struct chv_err *err)
{
    struct collect c = {.k = k, .user_last = walk_user_last(k->roots->levels)};
    if (task->mm != 0 && k->at.mm_tree != LINUX_NONE)
        walk_tree(&c, task->mm);
    else if (task->mm != 0)
        walk_list(&c, task->mm);
    if (c.no_memory) {
        free(c.list);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    name_vmas(k, task->mm, c.list, c.count);
    *out = c.list;
    *count = c.count;
    *broken = c.broken;
    return 0;
}

void linux_vmas_free(struct linux_vma *vmas, size_t count)
{
    for (size_t i = 0; i < count; i++) free(vmas[i].path);
    free(vmas);
}

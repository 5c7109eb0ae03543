/* The guest's page tables: AMD64 manual, volume 2, chapter 5. */
#include "visor/arch/x86/bits.h"
#include "visor/core/guest.h"

#define ENTRY_PRESENT UINT64_C(1)
#define ENTRY_LARGE (UINT64_C(1) << 7)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

static bool walk_32(const struct guest_paging *paging, uint32_t gva, uint64_t *gpa)
{
    uint32_t entry;
    if (!guest_copy(&entry, (paging->cr3 & 0xfffff000) + (gva >> 22) * 4, 4) || !(entry & ENTRY_PRESENT)) return false;
    if (entry & ENTRY_LARGE && paging->cr4 & CR4_PSE) { /* PSE-36: bits 39..32 of the address in 20..13 */
        *gpa = (entry & 0xffc00000) | (uint64_t)(entry >> 13 & 0xff) << 32 | (gva & 0x3fffff);
        return true;
    }
    if (!guest_copy(&entry, (entry & 0xfffff000) + (gva >> 12 & 0x3ff) * 4, 4) || !(entry & ENTRY_PRESENT))
        return false;
    *gpa = (entry & 0xfffff000) | (gva & 0xfff);
    return true;
}

bool guest_leaf(const struct guest_paging *paging, uint64_t gva, struct guest_leaf *leaf)
{
    bool is_64 = paging->efer & EFER_LMA;
    unsigned levels = is_64 ? paging->cr4 & CR4_LA57 ? 5 : 4 : 3;
    uint64_t table = paging->cr3 & (is_64 ? ENTRY_ADDRESS : 0xffffffe0);
    *leaf = (struct guest_leaf){.flags = LEAF_WRITE | LEAF_USER};
    for (unsigned level = levels;; level--) {
        unsigned shift = 12 + (level - 1) * 9;
        uint64_t entry, rest = (UINT64_C(1) << shift) - 1, index = gva >> shift & (!is_64 && level == 3 ? 3 : 511);
        leaf->bytes = rest + 1;
        if (!guest_copy(&entry, table + index * 8, 8) || !(entry & ENTRY_PRESENT)) return false;
        leaf->flags = (leaf->flags & entry & (LEAF_WRITE | LEAF_USER)) | (entry & (LEAF_ACCESSED | LEAF_DIRTY)) |
                      ((leaf->flags | entry) & LEAF_NO_EXECUTE);
        bool large = (level == 2 || (level == 3 && is_64)) && entry & ENTRY_LARGE;
        if (level > 1 && !large) {
            table = entry & ENTRY_ADDRESS;
            continue;
        }
        leaf->gpa = (entry & ENTRY_ADDRESS & ~rest) | (gva & rest);
        return true;
    }
}

bool guest_walk(const struct guest_paging *paging, uint64_t gva, uint64_t *gpa)
{
    struct guest_leaf leaf;
    if (!(paging->cr0 & CR0_PG)) {
        *gpa = gva & UINT32_MAX;
        return true;
    }
    if (!(paging->cr4 & CR4_PAE)) return walk_32(paging, (uint32_t)gva, gpa);
    if (!guest_leaf(paging, gva, &leaf)) return false;
    *gpa = leaf.gpa;
    return true;
}

size_t guest_copy_virtual(void *dst, const struct guest_paging *paging, uint64_t gva, size_t n)
{
    size_t done = 0;
    while (done < n) {
        uint64_t gpa, at = gva + done;
        size_t part = PAGE_BYTES - (at & (PAGE_BYTES - 1));
        if (part > n - done) part = n - done;
        if (!guest_walk(paging, at, &gpa) || !guest_copy((uint8_t *)dst + done, gpa, part)) break;
        done += part;
    }
    return done;
}

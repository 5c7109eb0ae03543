#include "visor/core/paging.h"

enum { ENTRIES = 512, GIB_BITS = 30, TABLE_BITS = 9 };
/* a table forbids nothing: its entries do */
#define TABLE_FLAGS (PAGING_PRESENT | PAGING_WRITE | PAGING_USER | PAGING_DEVICE_READ | PAGING_DEVICE_WRITE)

static unsigned shift_of(unsigned level) /* 1: entries of 4 KiB, 2: 2 MiB, 3: 1 GiB ... */
{
    return 12 + (level - 1) * TABLE_BITS;
}

static unsigned tables_at(unsigned level, unsigned address_bits)
{
    unsigned span = shift_of(level) + TABLE_BITS; /* address bits that one table of this level covers */
    return address_bits <= span ? 1 : 1u << (address_bits - span);
}

unsigned paging_tables(unsigned levels, unsigned address_bits)
{
    unsigned n = 0;
    for (unsigned level = 3; level <= levels; level++) n += tables_at(level, address_bits);
    return n;
}

static uint64_t *table_new(struct paging *p)
{
    if (!p->pool_left) return NULL;
    uint64_t *table = p->pool;
    p->pool += ENTRIES;
    p->pool_left--;
    return table;
}

/* What leads to a table of this level, which the IOMMU wants to be told. */
static uint64_t entry_of(const uint64_t *table, unsigned level)
{
    return (uint64_t)(uintptr_t)table | TABLE_FLAGS | (uint64_t)level << 9;
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(uintptr_t)(entry & PAGING_ADDRESS);
}

bool paging_init(struct paging *p, unsigned levels, unsigned address_bits, uint64_t flags, void *pool, unsigned tables)
{
    *p = (struct paging){
        .levels = levels, .address_bits = address_bits, .flags = flags, .pool = pool, .pool_left = tables};
    if (levels < 4 || levels > 5 || address_bits < GIB_BITS || address_bits > 48) return false;
    if (!(p->root = table_new(p))) return false;
    for (uint64_t address = 0; address >> address_bits == 0; address += UINT64_C(1) << GIB_BITS) {
        uint64_t *table = p->root;
        for (unsigned level = levels; level > 3; level--) {
            uint64_t *entry = &table[address >> shift_of(level) & (ENTRIES - 1)];
            if (!*entry) {
                uint64_t *below = table_new(p);
                if (!below) return false;
                *entry = entry_of(below, level - 1);
            }
            table = table_of(*entry);
        }
        table[address >> GIB_BITS & (ENTRIES - 1)] = address | flags | PAGING_LARGE;
    }
    return true;
}

/* Replaces a large page at `level` by a table of pages that say the same. */
static bool split(struct paging *p, uint64_t *entry, unsigned level)
{
    uint64_t *table = table_new(p);
    if (!table) return false;
    uint64_t first = *entry & PAGING_ADDRESS, flags = *entry & ~PAGING_ADDRESS;
    if (level == 2) flags &= ~PAGING_LARGE;
    for (uint64_t i = 0; i < ENTRIES; i++) table[i] = (first + (i << shift_of(level - 1))) | flags;
    __atomic_store_n(entry, entry_of(table, level - 1), __ATOMIC_RELEASE);
    return true;
}

static uint64_t *entry_at(struct paging *p, uint64_t address, unsigned lowest)
{
    if (address >> p->address_bits) return NULL;
    uint64_t *table = p->root;
    for (unsigned level = p->levels; level > lowest; level--) {
        uint64_t *entry = &table[address >> shift_of(level) & (ENTRIES - 1)];
        if (*entry & PAGING_LARGE && !split(p, entry, level)) return NULL;
        table = table_of(*entry);
    }
    return &table[address >> shift_of(lowest) & (ENTRIES - 1)];
}

uint64_t *paging_entry(struct paging *p, uint64_t address)
{
    return entry_at(p, address, 1);
}

bool paging_clear_large(struct paging *p, uint64_t address)
{
    uint64_t *entry = entry_at(p, address, 2);
    if (entry) __atomic_store_n(entry, address | PAGING_LARGE, __ATOMIC_RELEASE);
    return entry != NULL;
}

bool paging_set(struct paging *p, uint64_t address, uint64_t target, uint64_t flags)
{
    uint64_t *entry = paging_entry(p, address);
    if (!entry) return false;
    __atomic_store_n(entry, flags ? (target & PAGING_ADDRESS) | flags : 0, __ATOMIC_RELEASE);
    return true;
}

/* x86-64 page tables, read from outside: 4 and 5 levels, pages of 4 KiB, 2 MiB and 1 GiB.
 * (Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3.)
 *
 * Tables belong to the guest and may be anything: each is copied whole and once, the copy is used, and a walk looks at a bounded
 * number of them, so that tables that point at themselves end it with -E2BIG. One walk serves one thread at a time.
 */
#ifndef CHV_SENSOR_MEMORY_WALK_H
#define CHV_SENSOR_MEMORY_WALK_H

#include "sensor/memory/physmem.h"

enum walk_flag {
    WALK_WRITE = 1 << 0, /* at every level */
    WALK_USER = 1 << 1,  /* at every level */
    WALK_EXEC = 1 << 2,  /* no level forbids it */
    WALK_ACCESSED = 1 << 3,
    WALK_DIRTY = 1 << 4,
    WALK_GLOBAL = 1 << 5,
    WALK_SAVED_DIRTY = 1 << 6, /* a bit free for software, in which Linux since 6.6 keeps the dirty bit of what it made read-only */
};

/* One present leaf. */
struct walk_leaf {
    uint64_t va;    /* canonical, of its first byte */
    uint64_t pa;    /* there is RAM in the image or not */
    uint64_t bytes; /* 4 KiB, 2 MiB or 1 GiB */
    uint32_t flags; /* enum walk_flag */
};

#define WALK_LEVELS_MAX 5u
#define WALK_ENTRIES 512u

struct walk {
    struct physmem *mem; /* borrowed */
    uint64_t root;       /* physical address of the top-level table: CR3 without its low 12 bits */
    unsigned levels;     /* 4 or 5 */
    bool ignore_top_nx;  /* the top level's NX bit says nothing about user addresses (Linux with page-table isolation) */
    uint64_t tables;     /* copied so far, for who measures */
    uint64_t cached[WALK_LEVELS_MAX]; /* address of the copy in copy[level - 1]; ~0: none */
    uint64_t copy[WALK_LEVELS_MAX][WALK_ENTRIES];
};

/* About 20 KiB: better not on a small stack. `levels` is 4 or 5. */
void walk_init(struct walk *w, struct physmem *mem, uint64_t root, unsigned levels);
/* The leaf that maps va. -EFAULT: none (not present, not canonical, a table outside of RAM). */
int walk_translate(struct walk *w, uint64_t va, struct walk_leaf *out);
/* Read virtual memory; 0, or -EFAULT at the first page that is not there, or -EIO. */
int walk_read(struct walk *w, uint64_t va, void *buf, size_t bytes);
/* Like walk_read, but what is not there reads as zeros. Returns the number of bytes that were there. */
size_t walk_read_some(struct walk *w, uint64_t va, void *buf, size_t bytes);

/* Non-zero stops the walk, which returns it. It must not use the same struct walk. */
typedef int walk_fn(void *arg, const struct walk_leaf *leaf);
/* Every leaf that overlaps [va, last], in order of address; `va` and `last` (inclusive) are canonical.
 * -E2BIG after more than tables_max tables: what was reported until then is what there was. */
int walk_each(struct walk *w, uint64_t va, uint64_t last, uint64_t tables_max, walk_fn *fn, void *arg);

/* The address space below the hole, and above it. */
static inline uint64_t walk_user_last(unsigned levels)
{
    return levels == 5 ? (UINT64_C(1) << 56) - 1 : (UINT64_C(1) << 47) - 1;
}
static inline uint64_t walk_kernel_first(unsigned levels)
{
    return ~walk_user_last(levels);
}
/* A bound on tables for one address space: every page of RAM can be one, and a few are used twice. */
static inline uint64_t walk_tables_max(const struct physmem *mem)
{
    return physmem_bytes(mem) / PHYSMEM_PAGE_BYTES + 1024;
}

#endif

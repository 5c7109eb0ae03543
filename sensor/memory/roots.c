#include "sensor/memory/roots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HALF = WALK_ENTRIES / 2, CHUNK_PAGES = 64, THREADS_MAX = 8 };
#define STRETCH_BYTES (UINT64_C(16) << 20) /* what a thread takes at a time */
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

/* What the threads share. */
struct pool {
    struct physmem *mem;
    roots_progress_fn *progress;
    void *arg;
    _Atomic uint64_t next, done; /* bytes of RAM, ranges behind each other */
    _Atomic bool failed;
    pthread_mutex_t lock; /* all, unreadable */
    struct scan *all;
    uint64_t *unreadable;
};

/* The stretch [at, at + bytes) of RAM, ranges behind each other. */
static int scan_stretch(struct pool *p, struct scan *s, uint64_t at, uint64_t bytes, uint64_t *buf, uint64_t *unreadable)
{
    const struct physmem_range *ranges;
    size_t count = physmem_ranges(p->mem, &ranges);
    int r = 0;
    for (size_t i = 0; i < count && bytes > 0 && r == 0; i++) {
        if (at >= ranges[i].bytes) {
            at -= ranges[i].bytes;
            continue;
        }
        for (; at < ranges[i].bytes && bytes > 0 && r == 0;) {
            uint64_t left = ranges[i].bytes - at < bytes ? ranges[i].bytes - at : bytes;
            size_t pages = left / PHYSMEM_PAGE_BYTES < CHUNK_PAGES ? (size_t)(left / PHYSMEM_PAGE_BYTES) : CHUNK_PAGES;
            r = scan_chunk(s, p->mem, ranges[i].base + at, pages, buf, unreadable);
            at += pages * PHYSMEM_PAGE_BYTES;
            bytes -= pages * PHYSMEM_PAGE_BYTES;
        }
        at = 0;
    }
    return r;
}

static void work(struct pool *p, bool reports)
{
    struct scan s = {.end = p->all->end};
    uint64_t *buf = malloc(CHUNK_PAGES * PHYSMEM_PAGE_BYTES), total = physmem_bytes(p->mem), unreadable = 0;
    int r = buf ? 0 : -ENOMEM;
    for (uint64_t at; r == 0 && !atomic_load(&p->failed) && (at = atomic_fetch_add(&p->next, STRETCH_BYTES)) < total;) {
        uint64_t bytes = total - at < STRETCH_BYTES ? total - at : STRETCH_BYTES;
        r = scan_stretch(p, &s, at, bytes, buf, &unreadable);
        uint64_t done = atomic_fetch_add(&p->done, bytes) + bytes;
        if (reports && p->progress) p->progress(p->arg, done, total);
    }
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < s.count && r == 0; i++) r = add(p->all, &s.list[i]);
    *p->unreadable += unreadable;
    pthread_mutex_unlock(&p->lock);
    if (r < 0) atomic_store(&p->failed, true);
    free(s.list);
    free(buf);
}

static void *thread_main(void *pool)
{
    work(pool, false);
    return NULL;
}

/* -ENOMEM. Which thread finds what does not matter: candidates are sorted afterwards. */
static int scan_all(struct scan *s, struct physmem *mem, roots_progress_fn *progress, void *arg, uint64_t *unreadable)
{
    struct pool pool = {.mem = mem, .progress = progress, .arg = arg, .all = s, .unreadable = unreadable};
    pthread_t threads[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = !physmem_shared(mem) || cores < 1 ? 1 : cores < THREADS_MAX ? cores : THREADS_MAX;
    int started = 0;
    pthread_mutex_init(&pool.lock, NULL);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, thread_main, &pool) == 0) started++;
    work(&pool, true);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&pool.lock);
    return atomic_load(&pool.failed) ? -ENOMEM : 0;
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

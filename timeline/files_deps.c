#include "timeline/files_deps.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_DEPS (UINT64_C(1) << 24)

struct dep {
    uint64_t block; /* number + 1, 0: empty */
    uint64_t next;  /* first version after `asked`; UINT64_MAX: none; 0: never asked */
    unsigned kinds;
};

/* Open addressing; nothing is ever removed, so that a block that comes and goes is looked up once. */
struct files_deps {
    struct dep *table;
    size_t size, used; /* size is a power of two */
};

int files_deps_new(struct files_deps **out)
{
    struct files_deps *d = calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->size = 4096;
    d->table = calloc(d->size, sizeof *d->table);
    if (!d->table) {
        free(d);
        return -ENOMEM;
    }
    *out = d;
    return 0;
}

void files_deps_free(struct files_deps *deps)
{
    if (!deps) return;
    free(deps->table);
    free(deps);
}

static struct dep *slot(struct dep *table, size_t size, uint64_t block)
{
    uint64_t hash = (block + 1) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(hash >> 20) & (size - 1);
    while (table[i].block != 0 && table[i].block != block + 1) i = (i + 1) & (size - 1);
    return &table[i];
}

static int grow(struct files_deps *d)
{
    size_t size = 2 * d->size;
    struct dep *table = calloc(size, sizeof *table);
    if (!table) return -ENOMEM;
    for (size_t i = 0; i < d->size; i++)
        if (d->table[i].block != 0) *slot(table, size, d->table[i].block - 1) = d->table[i];
    free(d->table);
    d->table = table;
    d->size = size;
    return 0;
}

int files_deps_add(struct files_deps *d, uint64_t block, unsigned kind)
{
    struct dep *s = slot(d->table, d->size, block);
    if (s->block == 0) {
        if (d->used >= MAX_DEPS) return -ENOMEM;
        if (d->used >= d->size / 2) {
            int r = grow(d);
            if (r < 0) return r;
            s = slot(d->table, d->size, block);
        }
        s->block = block + 1;
        d->used++;
    }
    s->kinds |= kind;
    return 0;
}

void files_deps_forget(struct files_deps *d, unsigned kind)
{
    for (size_t i = 0; i < d->size; i++) d->table[i].kinds &= ~kind;
}

int files_deps_next(struct files_deps *d, const struct chv_store *store, uint16_t space, uint64_t after_seq, unsigned kinds,
                    uint64_t *seq, struct chv_err *err)
{
    *seq = UINT64_MAX;
    for (size_t i = 0; i < d->size; i++) {
        struct dep *s = &d->table[i];
        if (!(s->kinds & kinds)) continue;
        if (s->next <= after_seq) { /* else the version known still is the first one after */
            struct chv_event event;
            int r = chv_store_next_version(store, space, s->block - 1, after_seq, &event, err);
            if (r < 0) return r;
            s->next = r > 0 ? event.seq : UINT64_MAX;
        }
        if (s->next < *seq) *seq = s->next;
    }
    return 0;
}

int files_deps_changed(const struct files_deps *d, uint64_t seq, unsigned kinds, uint32_t block_bytes, uint64_t **pages, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < d->size; i++) n += d->table[i].kinds & kinds && d->table[i].next <= seq;
    *count = 0;
    *pages = malloc((n + 1) * sizeof **pages);
    if (!*pages) return -ENOMEM;
    for (size_t i = 0; i < d->size; i++)
        if (d->table[i].kinds & kinds && d->table[i].next <= seq)
            (*pages)[(*count)++] = (d->table[i].block - 1) * block_bytes / 4096;
    return 0;
}

size_t files_deps_count(const struct files_deps *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->size; i++) n += (d->table[i].kinds & (FILES_DEP_METADATA | FILES_DEP_CONTENT)) != 0;
    return n;
}

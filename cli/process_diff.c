#include "cli/process_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = PHYSMEM_PAGE_BYTES };

/* A page of one side, in order of address. */
struct side {
    const struct process_set *set;
    const struct process_image *image; /* NULL: not there */
    struct chv_store *store;           /* NULL: content is only known by reading it */
    uint16_t space;
    uint64_t seq;
    size_t run;
    uint64_t va; /* UINT64_MAX: the end */
};

static void side_init(struct side *s, const struct process_set *set, const struct process_image *image)
{
    *s = (struct side){.set = set, .image = image, .va = UINT64_MAX};
    if (!image) return;
    s->store = process_set_store(set, &s->space, &s->seq);
    if (s->store && chv_store_block_bytes(s->store) != PAGE) s->store = NULL;
    if (image->pages.count > 0) s->va = image->pages.list[0].va;
}

static void side_next(struct side *s)
{
    const struct pages *pages = &s->image->pages;
    const struct page_run *run = &pages->list[s->run];
    s->va += PAGE;
    if (s->va < run->va + run->bytes) return;
    s->va = ++s->run < pages->count ? pages->list[s->run].va : UINT64_MAX;
}

static uint64_t side_pa(const struct side *s)
{
    const struct page_run *run = &s->image->pages.list[s->run];
    return run->pa + (s->va - run->va);
}

enum answer { SAME, CHANGED, UNKNOWN, NOT_TOLD };

/* What the log says of both, without reading any content. */
static enum answer compare_hashes(const struct side *a, const struct side *b)
{
    struct chv_extent x, y;
    if (!a->store || !b->store || chv_store_block_at(a->store, a->space, side_pa(a) / PAGE, a->seq, &x, NULL) < 0 ||
        chv_store_block_at(b->store, b->space, side_pa(b) / PAGE, b->seq, &y, NULL) < 0)
        return NOT_TOLD;
    if (x.state == CHV_STATE_DATA && y.state == CHV_STATE_DATA) return memcmp(x.hash, y.hash, CHV_HASH_BYTES) == 0 ? SAME : CHANGED;
    if (x.state == CHV_STATE_ZERO && y.state == CHV_STATE_ZERO) return SAME;
    return NOT_TOLD;
}

static enum answer compare(const struct side *a, const struct side *b)
{
    uint8_t x[PAGE], y[PAGE];
    enum answer answer = compare_hashes(a, b);
    if (answer != NOT_TOLD) return answer;
    if (physmem_read(a->image->mem, side_pa(a), x, PAGE) < 0 || physmem_read(b->image->mem, side_pa(b), y, PAGE) < 0) return UNKNOWN;
    return memcmp(x, y, PAGE) == 0 ? SAME : CHANGED;
}

static void count(struct page_counts *c, bool in_from, bool in_to, enum answer answer)
{
    if (!in_from)
        c->added++;
    else if (!in_to)
        c->gone++;
    else if (answer == CHANGED)
        c->changed++;
    else if (answer == UNKNOWN)
        c->unknown++;
    else
        c->same++;
}

static bool overlaps(const struct process_image *p, const struct linux_vma *v)
{
    if (!p) return false;
    size_t low = 0, high = p->vma_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->vmas[middle].end <= v->start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->vma_count && p->vmas[low].start < v->end;
}

/* The mappings of both, by address; one of the earlier instant that the later has too in the same place is listed once. */
static int list_regions(const struct process_image *from, const struct process_image *to, struct process_diff *d)
{
    size_t a = from ? from->vma_count : 0, b = to ? to->vma_count : 0, i = 0, j = 0;
    d->regions = calloc(a + b + 1, sizeof *d->regions);
    if (!d->regions) return -ENOMEM;
    while (i < a || j < b) {
        if (j < b && (i == a || to->vmas[j].start <= from->vmas[i].start)) {
            d->regions[d->count++] = (struct region_diff){.vma = &to->vmas[j], .is_new = !overlaps(from, &to->vmas[j])};
            if (i < a && from->vmas[i].start == to->vmas[j].start && from->vmas[i].end <= to->vmas[j].end) i++;
            j++;
        } else {
            d->regions[d->count++] = (struct region_diff){.vma = &from->vmas[i], .is_gone = !overlaps(to, &from->vmas[i])};
            i++;
        }
    }
    d->count++; /* of no mapping */
    return 0;
}

/* Which of the regions a page belongs to: the later instant's, if there is one. */
static struct region_diff *region_of(struct process_diff *d, size_t *next, const struct process_image *from, const struct process_image *to, uint64_t va)
{
    const struct linux_vma *v = to ? process_image_vma(to, va) : NULL;
    if (!v && from) v = process_image_vma(from, va);
    if (!v) return &d->regions[d->count - 1];
    if (d->regions[*next].vma == v) return &d->regions[*next];
    size_t low = 0, high = d->count - 1; /* by start, of which there are two alike at most */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (d->regions[middle].vma->start < v->start)
            low = middle + 1;
        else
            high = middle;
    }
    *next = d->regions[low].vma == v || low + 1 == d->count ? low : low + 1;
    return &d->regions[*next];
}

int process_diff(const struct process_set *from_set, const struct process_image *from, const struct process_set *to_set,
                 const struct process_image *to, struct process_diff *out)
{
    struct side a, b;
    size_t next = 0;
    *out = (struct process_diff){0};
    side_init(&a, from_set, from);
    side_init(&b, to_set, to);
    if (list_regions(from, to, out) < 0) return -ENOMEM;
    while (a.va != UINT64_MAX || b.va != UINT64_MAX) {
        uint64_t va = a.va < b.va ? a.va : b.va;
        bool in_from = a.va == va, in_to = b.va == va;
        enum answer answer = in_from && in_to ? compare(&a, &b) : SAME;
        count(&out->pages, in_from, in_to, answer);
        count(&region_of(out, &next, from, to, va)->pages, in_from, in_to, answer);
        if (in_from) side_next(&a);
        if (in_to) side_next(&b);
    }
    return 0;
}

void process_diff_fini(struct process_diff *d)
{
    free(d->regions);
    *d = (struct process_diff){0};
}

#include "sensor/memory/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct ram_range *)a)->gpa, y = ((const struct ram_range *)b)->gpa;
    return (x > y) - (x < y);
}

static int check(const struct ram_range *r, struct chv_err *err)
{
    const uint64_t end = UINT64_C(1) << LAYOUT_ADDRESS_BITS;
    if (r->bytes == 0 || r->gpa % LAYOUT_PAGE_BYTES || r->bytes % LAYOUT_PAGE_BYTES || r->offset % LAYOUT_PAGE_BYTES)
        return chv_err_set(err, EPROTO, "memory range 0x%llx+0x%llx of '%s' is not made of whole pages",
                           (unsigned long long)r->gpa, (unsigned long long)r->bytes, r->region);
    if (r->gpa >= end || r->bytes > end - r->gpa || r->offset >= end || r->bytes > end - r->offset)
        return chv_err_set(err, EPROTO, "memory range 0x%llx+0x%llx of '%s' lies beyond 2^%d", (unsigned long long)r->gpa,
                           (unsigned long long)r->bytes, r->region, LAYOUT_ADDRESS_BITS);
    return 0;
}

int layout_normalise(struct ram_layout *layout, struct chv_err *err)
{
    for (size_t i = 0; i < layout->count; i++) {
        int r = check(&layout->ranges[i], err);
        if (r < 0) return r;
    }
    if (layout->count == 0) return 0;
    qsort(layout->ranges, layout->count, sizeof *layout->ranges, by_address);
    size_t kept = 1;
    for (size_t i = 1; i < layout->count; i++) {
        struct ram_range *last = &layout->ranges[kept - 1], *next = &layout->ranges[i];
        if (next->gpa < last->gpa + last->bytes)
            return chv_err_set(err, EPROTO, "memory ranges overlap at 0x%llx", (unsigned long long)next->gpa);
        if (next->gpa == last->gpa + last->bytes && next->offset == last->offset + last->bytes &&
            strcmp(next->region, last->region) == 0)
            last->bytes += next->bytes;
        else
            layout->ranges[kept++] = *next;
    }
    layout->count = kept;
    return 0;
}

uint64_t layout_end(const struct ram_layout *layout)
{
    if (layout->count == 0) return 0;
    const struct ram_range *last = &layout->ranges[layout->count - 1];
    return last->gpa + last->bytes;
}

uint64_t layout_bytes(const struct ram_layout *layout)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < layout->count; i++) sum += layout->ranges[i].bytes;
    return sum;
}

const struct ram_range *layout_find(const struct ram_layout *layout, uint64_t gpa)
{
    size_t low = 0, high = layout->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ram_range *r = &layout->ranges[middle];
        if (gpa < r->gpa)
            high = middle;
        else if (gpa - r->gpa >= r->bytes)
            low = middle + 1;
        else
            return r;
    }
    return NULL;
}

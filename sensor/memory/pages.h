/* The pages of one address space, as its page tables map them. */
#ifndef CHV_SENSOR_MEMORY_PAGES_H
#define CHV_SENSOR_MEMORY_PAGES_H

#include "sensor/memory/walk.h"

/* Pages that lie side by side in both virtual and physical memory and have the same flags. */
struct page_run {
    uint64_t va, pa, bytes;
    uint32_t flags; /* enum walk_flag, enum page_flag */
};

enum page_flag { /* what page tables do not tell, but a helper inside the guest does */
    PAGE_FILE = 1 << 8,      /* of a file, or shared memory */
    PAGE_ANONYMOUS = 1 << 9,
};

struct pages {
    struct page_run *list; /* by address */
    size_t count;
    uint64_t bytes;         /* in RAM, in all */
    uint64_t outside_bytes; /* mapped, but not RAM: devices. Not in the list. */
    bool truncated;         /* tables map more than a machine of this size can mean: cut off */
};

/* The user's half. ENOMEM. pages_free afterwards. */
int pages_collect(struct walk *w, struct pages *out, struct chv_err *err);
/* A run of which all is RAM, above the last one; joined to it where it goes on. `room` belongs to the list. -ENOMEM. */
int pages_add(struct pages *pages, size_t *room, uint64_t va, uint64_t pa, uint64_t bytes, uint32_t flags);
/* Shared pages count once for each mapping, so a space can be larger than RAM; but not without bound. */
bool pages_fit(const struct pages *pages, const struct physmem *mem, uint64_t bytes);
/* What of `before` is not at the same place in `after`: runs (flags 0), malloc'd. -ENOMEM. */
int pages_moved(const struct pages *before, const struct pages *after, struct pages *out);
void pages_free(struct pages *pages);

#endif

/* The pages of one address space, as its page tables map them. */
#ifndef CHV_SENSOR_MEMORY_PAGES_H
#define CHV_SENSOR_MEMORY_PAGES_H

#include "sensor/memory/walk.h"

/* Pages that lie side by side in both virtual and physical memory and have the same flags. */
struct page_run {
    uint64_t va, pa, bytes;
    uint32_t flags; /* enum walk_flag */
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
void pages_free(struct pages *pages);

#endif

/* What became of a process's pages between two instants: added, changed, gone, by mapping. */
#ifndef CHV_CLI_PROCESS_DIFF_H
#define CHV_CLI_PROCESS_DIFF_H

#include "cli/process_set.h"

struct page_counts {
    uint64_t added, changed, gone, same, unknown; /* unknown: the content is not, at one of the two */
};

/* One mapping of the later instant, or of the earlier one where the later has none. */
struct region_diff {
    const struct linux_vma *vma; /* borrowed from the images; NULL: pages that no mapping covers */
    bool is_new, is_gone;
    struct page_counts pages;
};

struct process_diff {
    struct page_counts pages;
    struct region_diff *regions; /* by address; the last one is that of no mapping */
    size_t count;
};

/* The two sides: NULL where the process was not. 0 or -ENOMEM; process_diff_fini afterwards. */
int process_diff(const struct process_set *from_set, const struct process_image *from, const struct process_set *to_set,
                 const struct process_image *to, struct process_diff *out);
void process_diff_fini(struct process_diff *d);

/* state: "changed", "new", "ended" or "replaced". */
void process_diff_print(const struct process_image *p, const char *state, const struct process_diff *d, bool json);

#endif

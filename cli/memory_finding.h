/* What `memory suspicious` found, and how it is shown. */
#ifndef CHV_CLI_MEMORY_FINDING_H
#define CHV_CLI_MEMORY_FINDING_H

#include "cli/memory_dates.h"
#include "cli/memory_text.h"

enum finding_reason {
    FINDING_ANONYMOUS = 1 << 0,
    FINDING_WRITABLE = 1 << 1,
    FINDING_MEMFD = 1 << 2,
    FINDING_DELETED = 1 << 3,
    FINDING_DIFFERS = 1 << 4, /* from its file on the recorded disk */
    FINDING_COPY = 1 << 5,    /* private pages, written to */
    FINDING_UNLISTED = 1 << 6,
};

struct dated_page {
    uint64_t va;
    uint8_t hash[CHV_HASH_BYTES]; /* of the page, whatever the store's blocks are */
    struct content_dates dates;
};
#define DATED_PAGES_MAX 65536u /* of one finding: 256 MiB */

struct finding {
    const struct process_image *process;
    const struct linux_vma *vma; /* NULL: FINDING_UNLISTED */
    unsigned why;
    struct text_check text;
    uint64_t unlisted_first, unlisted_pages;
    bool dated, disk_known;      /* disk_known: there is a disk on which it would have been seen */
    struct dated_page *pages;    /* those that can be dated */
    size_t page_count, page_room;
    uint64_t pages_left_out;     /* constant, repetitive, or too many */
};

/* Date the pages that make it a finding: those that differ if that is all, else all that are present. */
int finding_dates(struct finding *f, struct memory_dates *dates, struct chv_store *store, struct memory_disk *disk, struct linux_kernel *kernel,
                  struct chv_err *err);
void finding_print(const struct finding *f, bool json);
void finding_fini(struct finding *f);

/* Files that could not be compared, each once a reason. */
struct not_compared {
    struct not_compared_file {
        char *path, *why;
        uint64_t mappings;
    } *list;
    size_t count;
    uint64_t left_out;
};
void not_compared_add(struct not_compared *n, const char *path, const char *why);
void not_compared_print(const struct not_compared *n, bool json);
void not_compared_fini(struct not_compared *n);

#endif

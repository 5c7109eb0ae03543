/* Since when, and until when, a piece of memory was seen: its contents looked up in every recorded space. */
#ifndef CHV_CLI_MEMORY_DATES_H
#define CHV_CLI_MEMORY_DATES_H

#include "cli/cli.h"

struct memory_dates;

/* One content. A page counts as seen at every capture at which it stood somewhere. */
struct content_dates {
    uint64_t first_ns, last_ns;           /* in memory: captures; 0: never */
    bool still;                           /* at the last capture of its space */
    const char *disk;                     /* name of the first disk it was on; NULL: on none. Borrowed from the store. */
    uint64_t disk_first_ns, disk_until_ns; /* until: UINT64_MAX: still there */
    bool disk_before;                     /* it was there before recording began */
    bool capped;                          /* there are more sightings than were looked at */
};

/* Both are borrowed; `disks` is another store with recorded disks, or NULL. 0, -errno; EINVAL: their blocks differ in size. Free in both
 * cases. */
int memory_dates_new(struct chv_store *store, struct chv_store *disks, struct memory_dates **out, struct chv_err *err);
/* Is there a disk in what is looked at? */
bool memory_dates_has_disk(const struct memory_dates *d);
void memory_dates_free(struct memory_dates *d);
/* `block` is one block of the store (chv_store_block_bytes), `hash` its SHA-256. Returns 1 with *out, 0 when the content says nothing about
 * where it came from (constant, repetitive), or -errno. */
int memory_dates_of(struct memory_dates *d, const uint8_t *block, const uint8_t hash[CHV_HASH_BYTES], struct content_dates *out, struct chv_err *err);

#endif

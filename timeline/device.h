/* The recorded device as a source of blocks that never changed since recording began. */
#ifndef CHV_TIMELINE_DEVICE_H
#define CHV_TIMELINE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/store.h"
#include "store/marks.h"

/* Open the device of `space` (path: override or NULL) with these open(2) flags and check its size.
 * Returns a descriptor or -errno with a line that says what to do. */
int device_open(const struct chv_space *space, const char *path, int flags, struct chv_err *err);

/* Is the device what recording left, or what is being recorded, as far as can be told (store/marks.h)? NULL, or why
 * not; *mark gets what the store remembers of it, and *known whether it does. */
const char *device_differs(const char *store_dir, const struct chv_space *space, int fd, struct mark *mark,
                           bool *known);

/* Read [offset, offset + bytes) of a device recorded with size_bytes; when its end is inside the
 * last sector, the rest of that sector is zeros. */
int device_pread(int fd, void *buf, size_t bytes, uint64_t offset, uint64_t size_bytes, struct chv_err *err);

/* Where a store's log ends, seen with two system calls. Two looks that are equal mean that nothing
 * was committed between them: the recorder writes a commit before it promises it. */
struct log_tail {
    uint64_t segment; /* highest number; 0: none */
    uint64_t bytes, mtime_s, mtime_ns;
};
/* `last`: an earlier look (or zeros), to start from. 0 or -errno. */
int log_tail_look(const char *store_dir, const struct log_tail *last, struct log_tail *now);
bool log_tail_equal(const struct log_tail *a, const struct log_tail *b);

#endif

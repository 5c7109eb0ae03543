/* A copy of the guest's memory, for while it stands still: nameless files in memory, with holes where the guest's have them. */
#ifndef CHV_SENSOR_MEMORY_COPY_H
#define CHV_SENSOR_MEMORY_COPY_H

#include <signal.h>
#include <stdbool.h>

#include "sensor/memory/scan.h"

struct copy {
    size_t count;
    struct copy_piece {
        struct scan_piece from;
        int fd;       /* the copy, from->bytes long; -1 for a hole */
        uint8_t *map; /* all of it, writable; NULL for a hole */
        uint8_t *source; /* the guest's, to read only where pages are; NULL: pread */
    } *pieces;
    uint64_t bytes;   /* copied */
};

/* Make room for what the pieces hold now, so that the pause is not spent on page faults. ENOMEM when the host has less
 * memory available than that, and than the holes would take with `fills_holes`: when somebody else reads through them meanwhile. */
int copy_prepare(struct copy *copy, const struct scan_piece *pieces, size_t count, bool fills_holes, struct chv_err *err);
/* Copy, on as many threads as cores (at most 8). */
int copy_run(struct copy *copy, const volatile sig_atomic_t *stop, struct chv_err *err);
/* The pieces again, now in the copy: out[count]. */
void copy_pieces(const struct copy *copy, struct scan_piece *out);
void copy_fini(struct copy *copy);

#endif

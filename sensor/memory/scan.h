/* Bringing memory into a store: files that hold it and the space as it was, side by side; only blocks that differ become
 * events. Every byte is copied out of the guest's memory once, and the copy is what is compared, hashed and stored. */
#ifndef CHV_SENSOR_MEMORY_SCAN_H
#define CHV_SENSOR_MEMORY_SCAN_H

#include <signal.h>

#include "chronovisor/recorder.h"
#include "chronovisor/store.h"
#include "sensor/join/client.h"

/* Data goes on at least to the next multiple of this: SEEK_HOLE would walk over all pages there are behind, each time. */
#define SCAN_STRETCH_BYTES (UINT64_C(256) << 10)

/* Consecutive bytes of the space in consecutive bytes of a file; or, fd -1, a hole: nothing is there. */
struct scan_piece {
    uint64_t address, bytes, offset;
    int fd;
};

struct scan {
    const struct scan_piece *pieces; /* ascending; what they leave out is not looked at */
    size_t count;
    const struct sink *sink;
    uint16_t space;
    uint32_t block_bytes;
    uint64_t time_ns;              /* of every event; 0: when each was read */
    const struct chv_store *store; /* the space as it was; NULL: it is new, and all zeros */
    uint16_t before_id;
    uint64_t before_seq;
    unsigned threads;              /* 0: as many as cores, at most 8 */
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: give up with -EINTR */
    void (*progress)(const char *what, uint64_t done, uint64_t total); /* may be NULL; called by one thread */
};

struct scan_result {
    uint64_t scanned_bytes; /* of all pieces but holes between them */
    uint64_t hole_bytes;    /* of them, never read: the file has nothing there */
    uint64_t zero_blocks;   /* read, and zeros */
    uint64_t same_blocks, changed_blocks, zeroed_blocks; /* changed: recorded with content; zeroed: became zeros */
};

int scan_run(const struct scan *scan, struct scan_result *result, struct chv_err *err);

#endif

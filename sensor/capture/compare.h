/* Bringing a disk and the log together again after somebody died or interfered. */
#ifndef CHV_SENSOR_COMPARE_H
#define CHV_SENSOR_COMPARE_H

#include "chronovisor/store.h"
#include "sensor/capture/capture.h"

struct compare_counts {
    uint64_t checked, redone, found; /* blocks */
};

/* The recorder was killed, the host was not: acknowledged changes may be missing on the disk. For every block that
 * the log names after `settled_seq`: a disk that still holds an older recorded content gets the newest;
 * anything else it holds is recorded as FOUND. Nobody else uses the capture yet. */
int compare_redo(struct capture *c, struct chv_store *store, uint64_t settled_seq, struct compare_counts *counts,
                 struct chv_err *err);

/* The disk may hold anything (power loss, or changes nobody observed): record what it holds wherever that is not
 * what the log says. With `unobserved_since_ns` != 0 a GAP before it says that nobody looked since then. */
int compare_find(struct capture *c, struct chv_store *store, uint64_t unobserved_since_ns,
                 struct compare_counts *counts, struct chv_err *err);

#endif

/* An image as the state of a space at one instant: only what differs becomes events. */
#ifndef CHV_SENSOR_IMPORT_SNAPSHOT_H
#define CHV_SENSOR_IMPORT_SNAPSHOT_H

#include "sensor/import/image.h"
#include "sensor/import/target.h"

struct import_snapshot {
    struct import_target target;
    struct image *image;
    uint64_t at_ns;
};

struct import_snapshot_result {
    struct import_result store;
    uint64_t blocks; /* of the image */
    uint64_t holes;  /* of them, never read because the image says that they are zeros */
    uint64_t zeroed; /* blocks that became zeros */
};

/* Everything that can be refused is refused here; nothing is changed yet. `options` is borrowed until the end. */
int import_snapshot_open(struct import_snapshot *s, const struct import_options *options, const char *path,
                         const char *format, uint64_t at_ns, struct chv_err *err);
/* Make the store if need be and take its lock. */
int import_snapshot_begin(struct import_snapshot *s, struct chv_err *err);
int import_snapshot_run(struct import_snapshot *s, struct import_snapshot_result *result, struct chv_err *err);
void import_snapshot_close(struct import_snapshot *s);

#endif

/* The bitmap of changed guest memory, a bit a page of 4 KiB, which the front-end shares while it migrates the guest. */
#ifndef CHV_SENSOR_VHOST_LOG_H
#define CHV_SENSOR_VHOST_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/vhost_user/guard.h"

struct dirty_log {
    uint8_t *bits;
    uint64_t bytes; /* of the bitmap */
    void *map;
    size_t map_bytes;
    struct guard guard;
};

/* The descriptor stays the caller's. EINVAL: not within its file. */
int dirty_log_new(int fd, uint64_t bytes, uint64_t offset, struct dirty_log **out, struct chv_err *err);
void dirty_log_free(struct dirty_log *log); /* NULL is fine */
/* What is beyond the bitmap is not marked: there is no such page. */
void dirty_log_mark(struct dirty_log *log, uint64_t gpa, uint64_t bytes);

#endif

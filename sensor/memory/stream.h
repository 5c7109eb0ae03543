/* The RAM in a QEMU migration stream (format version 3, RAM section version 4: QEMU 2.4 and later; migration/savevm.c, migration/ram.c).
 *
 *   header · configuration · RAM: setup, pages of pass after pass, [command,] end · state of devices
 *
 * All numbers are big-endian. Of a page that comes several times the last one counts. What QEMU sends is as hostile as a guest that
 * has taken it over: names, offsets and flags are checked, sections that are not known are an error, nothing is kept but the list of
 * blocks. How long a stream may go on is for the caller to bound: no part of it needs memory.
 */
#ifndef CHV_SENSOR_MEMORY_STREAM_H
#define CHV_SENSOR_MEMORY_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronovisor/err.h"

#define STREAM_BLOCKS_MAX 256u
#define STREAM_NAME_BYTES 256u
#define STREAM_PAGE_BYTES 4096u
#define STREAM_REST_MAX (UINT64_C(1) << 30) /* of devices' state, which is passed over */

/* Each returns 0 or -errno with *err filled. */
struct stream_calls {
    /* Up to `room` bytes: how many, 0 at the end, -errno. */
    ssize_t (*fill)(void *context, uint8_t *to, size_t room);
    /* A block of RAM, before any page of it; they are numbered from 0. */
    int (*block)(void *context, size_t number, const char *name, uint64_t bytes, struct chv_err *err);
    /* STREAM_PAGE_BYTES at a page-aligned offset inside the block; data NULL: zeros. Borrowed until it returns. */
    int (*page)(void *context, size_t number, uint64_t offset, const uint8_t *data, struct chv_err *err);
    void *context;
};

/* Read until the stream's end. EPROTO: not such a stream; EPIPE: it ended before all RAM was sent. */
int stream_read(const struct stream_calls *calls, struct chv_err *err);

#endif

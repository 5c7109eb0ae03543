/* Records out of the bytes of a stream. */
#ifndef CHV_NET_STREAM_H
#define CHV_NET_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "abi/frame.h"

struct stream {
    uint64_t number;   /* of the record that begins next, or is being put together */
    uint64_t wanted;   /* the next that has not been handed on */
    const struct chv_device *devices;
    size_t device_count;
    size_t have;       /* bytes of it */
    uint8_t record[CHV_WIRE_RECORD_BYTES_MAX];
};

typedef int stream_record_fn(void *arg, const struct chv_wire_record *record, const void *content);

/* Go on at a record with this number; what was put together of another is forgotten. */
void stream_seek(struct stream *s, uint64_t number);
/* Bytes that follow those before. Records numbered `wanted` and above go to `fn`. 0; what fn failed with; -EPROTO: a record
 * that makes no sense. */
int stream_feed(struct stream *s, const uint8_t *data, size_t n, stream_record_fn *fn, void *arg);

#endif

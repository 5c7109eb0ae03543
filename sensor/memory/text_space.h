/* A text that is the content of a space from its first block on: the description of a capture, the map of a process.
 *
 * It is replaced by another one as a whole, however little of that a crash lets through: the first block is written last, and the text in
 * force at an instant is what the space held as of the event that wrote its first block. */
#ifndef CHV_SENSOR_MEMORY_TEXT_SPACE_H
#define CHV_SENSOR_MEMORY_TEXT_SPACE_H

#include "chronovisor/store.h"
#include "sensor/join/client.h"

struct text_space {
    uint16_t id;
    uint8_t flags; /* of the events */
    uint32_t block_bytes;
    uint64_t time_ns; /* of the events; 0: now */
    uint64_t end;     /* zeros behind the text, up to there; 0: none */
};

/* Append text[bytes], whole blocks of it. */
int text_space_write(const struct sink *sink, const struct text_space *to, const char *text, size_t bytes, struct chv_err *err);

/* As of which seq to read the text that was in force as of `seq`, size included. Where nothing was written by then it is `seq`. */
int text_space_seq(const struct chv_store *store, const struct chv_space *space, uint64_t seq, uint64_t *text_seq, struct chv_err *err);

#endif

/* The sensor's end of the wire: records in, sealed frames out (docs/wire.md).
 *
 * Freestanding: no libc, no allocation (the ring is memory that the caller gives), no clock and no threads: every call
 * is told the time and the caller lets one call in at a time. Records are copied into chunks as they come; a chunk stays
 * in the ring until the collector says that its records are durable. When the ring is full the caller is told to wait,
 * or, if so configured, a GAP record takes the place of what was lost.
 */
#ifndef CHV_VISOR_OUT_SENDER_H
#define CHV_VISOR_OUT_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"
#include "abi/frame.h"

/* Put a datagram on the wire. False: not now (a full ring of descriptors); it is tried again at a later poll. */
typedef bool sender_transmit(void *arg, const void *frame, size_t n);

/* The collector asks for memory. The answer's length, in reply[CHV_WIRE_REPLY_BYTES_MAX]; 0: none. */
typedef size_t sender_request(void *arg, const struct chv_request *request, uint8_t *reply);

struct sender_config {
    uint8_t key[CHV_WIRE_KEY_BYTES]; /* pre-shared */
    uint8_t seed[32];                /* random, never the same twice */
    char sensor[CHV_WIRE_NAME_BYTES];
    uint32_t chunk_bytes;            /* 0: CHV_WIRE_CHUNK_BYTES */
    bool gap_when_full;              /* else sender_record returns SENDER_BUSY */
    sender_transmit *transmit;
    sender_request *request;         /* NULL: such frames are refused */
    void *arg;                       /* of both */
};

enum sender_chunk_state { CHUNK_READY, CHUNK_SENT, CHUNK_LOST, CHUNK_ARRIVED };

struct sender_chunk {
    uint64_t first_record, counter, sent_ns; /* of its last transmission */
    uint16_t first_offset, bytes;
    uint8_t state;
    bool again; /* sent more than once */
};

/* What a device lost to a full ring and the next GAP record says. */
struct sender_gap {
    uint64_t first_lba, end_lba, events, first_time_ns;
};

struct sender_stats {
    uint64_t records, bytes;              /* taken in */
    uint64_t frames, frames_again;        /* DATA sent, and sent again */
    uint64_t frames_in, refused;          /* from the collector: good; forged, replayed, malformed or of no session */
    uint64_t sessions, busy, gaps;        /* gaps: records lost to a full ring */
    uint64_t durable;                     /* records */
};

struct sender {
    struct sender_config config;
    struct sender_chunk *chunks; /* capacity of them; number c is at c % capacity */
    uint8_t *data;               /* capacity * chunk_bytes */
    uint64_t capacity, tail, head; /* chunks: tail..head-1 are closed, head is being filled */
    uint64_t next;               /* the first that was not sent in this session */
    uint64_t arrived;            /* of this session: every chunk before it has arrived */
    uint64_t next_record, durable;
    uint64_t filled_ns;          /* when the open chunk got its first byte */
    uint64_t lost, under_way;    /* chunks in those states */

    struct chv_device devices[CHV_WIRE_DEVICES];
    struct sender_gap gaps[CHV_WIRE_DEVICES];
    uint32_t device_count, generation, acknowledged; /* generations of the list */
    uint32_t replaced; /* where the next place of a process's space is looked for */

    enum { SENDER_GREETING, SENDER_STARTING, SENDER_RUNNING } state;
    uint8_t stream[CHV_WIRE_STREAM_BYTES], nonce[CHV_WIRE_NONCE_BYTES];
    uint8_t key_out[32], key_in[32], rng[32];
    uint32_t session, window;
    uint64_t counter;            /* of the next frame out */
    uint64_t seen, seen_mask;    /* highest counter in + 1, and the 64 before it */
    uint64_t due_ns, backoff_ns; /* the next HELLO, or START */
    uint64_t heard_ns, asked_ns; /* last good frame; since when an answer is owed (0: none is) */
    uint64_t rtt_ns, rtt_var_ns, check_ns, congested_counter;
    uint32_t congestion;         /* chunks that may be under way */
    struct sender_stats stats;
    uint8_t frame[CHV_WIRE_FRAME_BYTES_MAX];
};

/* Memory for a ring of `ring_bytes` of chunks (at least 64 of them): a multiple of 8. */
size_t sender_memory(const struct sender_config *config, size_t ring_bytes);
/* `memory` (aligned to 8) is the sender's until the end. -1: not enough, or a configuration that makes no sense. */
int sender_init(struct sender *s, const struct sender_config *config, void *memory, size_t bytes);

/* Announce a device, or that one with its name has changed. Its index, or -1: no room, or no good. When the list is full a process's space
 * takes the place of another's, once all records are durable. The last place is kept for a name that begins with SENDER_OTHERS: what is
 * in no other can be said to be lost. */
#define SENDER_OTHERS "disk::"
int sender_device(struct sender *s, const struct chv_device *device);

enum { SENDER_OK = 0, SENDER_BUSY = 1, SENDER_GAP = 2, SENDER_INVALID = -1 };
/* Take a record in; `number` and `bytes` are filled in here. Content (of a WRITE, BASELINE, FOUND; of a GAP its struct
 * chv_gap_detail, reason QUEUE_FULL, MALFORMED, UNKNOWN or FAILED) is copied. A record with content lies within one 4096-byte block; the
 * ranges of ZERO, TRIM and GAP are whole ones (the device's end counts as one). SENDER_BUSY: the ring is full and nothing
 * was taken; poll, and try again. SENDER_GAP: lost, and the stream will say so. */
int sender_record(struct sender *s, const struct chv_wire_record *record, const void *content, uint64_t now_ns);

/* Send what is due. Often: at least every few milliseconds while anything is under way. */
void sender_poll(struct sender *s, uint64_t now_ns);
/* A datagram came in; it is decrypted in place. */
void sender_receive(struct sender *s, void *frame, size_t n, uint64_t now_ns);

/* Is all that was taken in durable at the collector, and every gap said? */
bool sender_settled(const struct sender *s);

/* Between its files. */
static inline struct sender_chunk *sender_chunk_at(struct sender *s, uint64_t number)
{
    return &s->chunks[number % s->capacity];
}
void sender_restart(struct sender *s, uint64_t now_ns);
void sender_forget(struct sender *s, uint64_t records);
void sender_random(struct sender *s, uint8_t *out, size_t n);
void sender_close_chunk(struct sender *s);
bool sender_say_gaps(struct sender *s, uint64_t now_ns);
bool sender_send_sealed(struct sender *s, enum chv_frame_type type, size_t body);
bool sender_welcome(struct sender *s, uint8_t *frame, size_t n, uint64_t now_ns);
void sender_lost(struct sender *s, uint64_t highest, uint64_t now_ns);

#endif

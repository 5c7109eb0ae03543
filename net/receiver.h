/* The collector's end of the wire: sealed frames in, records out, in order and once each (docs/wire.md).
 *
 * No sockets, no threads, no clock: whoever calls it brings the datagrams and sends what `send` is given. Frames that are
 * forged, replayed or malformed are counted and not answered. One session is live at a time; another one takes its place only
 * when its first frame proves that its peer has the key and saw our answer.
 */
#ifndef CHV_NET_RECEIVER_H
#define CHV_NET_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/frame.h"
#include "net/seal.h"
#include "net/stream.h"

#define RECEIVER_PENDING 4 /* sessions that were offered and not yet taken up */
#define RECEIVER_REPLAY 4096u /* of the newest counters it is known which have come; older ones are refused */

/* What the receiver does with what it finds. Each returns 0 or -errno, which ends the call that it came in. */
struct receiver_ops {
    /* How many records of this stream are durable? -EACCES: not a sensor for us. */
    int (*resume)(void *arg, const struct chv_hello *hello, uint64_t *records, bool *known);
    /* A session of this stream begins (also when one goes on), or its list of devices changed. */
    int (*devices)(void *arg, const struct chv_hello *hello, const struct chv_device *devices, size_t count);
    int (*record)(void *arg, const struct chv_wire_record *record, const void *content);
    /* Records first..last are lost for good: the sensor does not have them any more. */
    int (*missing)(void *arg, uint64_t first, uint64_t last);
    /* Send a datagram to where the frame came from that was last handed in (`to_live` false), or to the live session's peer. */
    void (*send)(void *arg, const void *frame, size_t n, bool to_live);
    void (*random)(void *arg, void *buf, size_t n);
    /* An answer to receiver_request: a struct chv_reply and what follows, which fits together. May be NULL. */
    void (*reply)(void *arg, const uint8_t *reply, size_t n);
};

struct receiver_counters {
    uint64_t frames;     /* handed in */
    uint64_t malformed;  /* not of this protocol, or with a body that makes no sense */
    uint64_t forged;     /* not sealed with our key */
    uint64_t replayed;   /* sealed with our key, seen before */
    uint64_t stray;      /* of a session that is not (any more) */
    uint64_t refused;    /* HELLOs of sensors that are not for us */
    uint64_t again;      /* chunks that had arrived already */
    uint64_t beyond;     /* chunks that there was no room for yet */
    uint64_t hellos, sessions, chunks, acks, records, bad_records, requests, replies;
};

struct receiver_session {
    struct chv_hello hello;
    uint8_t nonce[CHV_WIRE_NONCE_BYTES], own_nonce[CHV_WIRE_NONCE_BYTES];
    uint32_t id; /* 0: free */
    struct seal in, out;
};

struct receiver {
    uint8_t key[CHV_WIRE_KEY_BYTES];
    uint32_t window; /* chunks */
    const struct receiver_ops *ops;
    void *arg;
    struct receiver_counters counters;

    struct receiver_session live, pending[RECEIVER_PENDING];
    unsigned next_pending;
    uint64_t counter_out, highest; /* highest: + 1, 0: none yet */
    uint64_t replay[RECEIVER_REPLAY / 64];
    uint64_t echo_ns;
    bool ack_wanted;

    uint8_t *chunks;  /* window * slot_bytes: chunk c, behind its struct chv_data, is at c % window */
    size_t slot_bytes;
    bool *here;
    uint64_t next_chunk;
    uint32_t generation;
    struct chv_device devices[CHV_WIRE_DEVICES];
    size_t device_count;

    uint8_t stream_id[CHV_WIRE_STREAM_BYTES];
    struct stream stream;
    uint64_t durable; /* records of it */
};

int receiver_init(struct receiver *r, const uint8_t key[CHV_WIRE_KEY_BYTES], uint32_t window, const struct receiver_ops *ops, void *arg);
void receiver_fini(struct receiver *r);

/* A datagram; it is decrypted in place. 0, or what an operation failed with. */
int receiver_frame(struct receiver *r, void *frame, size_t n);
/* Everything that has come in for now is handed in: acknowledge it. */
void receiver_acknowledge(struct receiver *r);
/* Ask the live sensor for memory. False: there is none. It may get lost: ask again. */
bool receiver_request(struct receiver *r, const struct chv_request *request);
/* Records of the live stream up to this number are durable. */
void receiver_durable(struct receiver *r, uint64_t records);

/* Between its files. */
int session_offer(struct receiver *r, uint8_t *frame, size_t n);
struct receiver_session *session_pending(struct receiver *r, uint32_t id);
void session_clear(struct receiver_session *s);

#endif

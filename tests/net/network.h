/* A sender, a collector's receiver, and a network between them that loses, doubles and reorders: one thread, a clock that is a
 * number, everything from a seed. */
#ifndef CHV_TESTS_NETWORK_H
#define CHV_TESTS_NETWORK_H

#include "net/receiver.h"
#include "tests/unit.h"
#include "visor/out/sender.h"

#define NETWORK_FLIGHT 4096

struct datagram {
    uint64_t due_ns;
    size_t n;
    bool up; /* to the collector */
    uint8_t bytes[CHV_WIRE_FRAME_BYTES_MAX];
};

struct network {
    uint64_t now_ns, seed;
    unsigned loss, doubled, reordered; /* in 1000 */
    bool cut;                          /* nothing gets through */
    bool hostile;                      /* a fuzzer speaks for the sender: what it says need not fit what came before */
    struct datagram *flight[NETWORK_FLIGHT];
    size_t count;
    uint64_t carried, dropped;

    struct sender sender;
    void *ring;
    struct receiver receiver;
    uint8_t key[32];

    /* the collector's side: what it was given, and how much of that "is durable" */
    uint64_t got, durable, missing_first, missing_last;
    uint8_t stream[CHV_WIRE_STREAM_BYTES]; /* that the durable ones are of */
    struct chv_reply reply; /* the last */
    uint64_t replies;
    void (*check)(struct network *net, const struct chv_wire_record *record, const void *content);
    void *arg;
};

void network_init(struct network *net, uint64_t seed, size_t ring_bytes, uint32_t chunk_bytes, bool gap_when_full);
void network_fini(struct network *net);
/* A tick of 1 ms: polls, deliveries, acknowledgements. `durable` follows `got` with probability 1/4. */
void network_tick(struct network *net);
/* The collector dies with what is not durable, and another one starts. */
void network_restart_collector(struct network *net);

#endif

#include "tests/net/network.h"

#include <errno.h>

static void carry(struct network *net, const void *frame, size_t n, bool up)
{
    unsigned copies = 1 + (unit_random(&net->seed) % 1000 < net->doubled);
    net->carried++;
    if (net->cut || unit_random(&net->seed) % 1000 < net->loss) {
        net->dropped++;
        return;
    }
    for (; copies > 0 && net->count < NETWORK_FLIGHT; copies--) {
        struct datagram *d = malloc(sizeof *d);
        CHECK(d && n <= sizeof d->bytes);
        uint64_t late = unit_random(&net->seed) % 1000 < net->reordered ? unit_random(&net->seed) % 20 : 0;
        d->due_ns = net->now_ns + 1000000 * (1 + late);
        d->n = n;
        d->up = up;
        memcpy(d->bytes, frame, n);
        net->flight[net->count++] = d;
    }
}

static bool transmit(void *arg, const void *frame, size_t n)
{
    carry(arg, frame, n, true);
    return true;
}

static int op_resume(void *arg, const struct chv_hello *hello, uint64_t *records, bool *known)
{
    struct network *net = arg;
    *known = memcmp(net->stream, hello->stream, sizeof net->stream) == 0;
    *records = *known ? net->durable : 0;
    return 0;
}

static int op_devices(void *arg, const struct chv_hello *hello, const struct chv_device *devices, size_t count)
{
    struct network *net = arg;
    (void)devices;
    CHECK(count >= 1);
    memcpy(net->stream, hello->stream, sizeof net->stream);
    return 0;
}

static int op_record(void *arg, const struct chv_wire_record *record, const void *content)
{
    struct network *net = arg;
    CHECK(net->hostile || record->number == net->got + 1); /* in order, once each */
    net->check(net, record, content);
    net->got++;
    return 0;
}

static int op_missing(void *arg, uint64_t first, uint64_t last)
{
    struct network *net = arg;
    CHECK(net->hostile || (first == net->got + 1 && last >= first));
    net->missing_first = first;
    net->missing_last = net->got = last;
    return 0;
}

static void op_send(void *arg, const void *frame, size_t n, bool to_live)
{
    (void)to_live;
    carry(arg, frame, n, false);
}

static void op_random(void *arg, void *buf, size_t n)
{
    struct network *net = arg;
    for (size_t i = 0; i < n; i++) ((uint8_t *)buf)[i] = (uint8_t)(unit_random(&net->seed) >> 32);
}

/* Asked for anything, a sensor tells what it was asked; the collector's side looks whether that came whole. */
static size_t answer(void *arg, const struct chv_request *request, uint8_t *reply)
{
    struct chv_reply r = {.id = request->id, .position = request->first, .records = request->end, .state = CHV_REPLY_DONE, .stretches = 1};
    struct chv_wire_stretch s = {request->table, request->kind};
    (void)arg;
    memcpy(reply, &r, sizeof r);
    memcpy(reply + sizeof r, &s, sizeof s);
    return sizeof r + sizeof s;
}

static void op_reply(void *arg, const uint8_t *reply, size_t n)
{
    struct network *net = arg;
    struct chv_wire_stretch s;
    memcpy(&net->reply, reply, sizeof net->reply);
    if (net->hostile) return;
    CHECK(n == sizeof net->reply + sizeof s);
    memcpy(&s, reply + sizeof net->reply, sizeof s);
    CHECK(s.base == net->reply.id * 3 && s.bytes == CHV_REQUEST_RAM);
    net->replies++;
}

static const struct receiver_ops ops = {op_resume, op_devices, op_record, op_missing, op_send, op_random, op_reply};

void network_init(struct network *net, uint64_t seed, size_t ring_bytes, uint32_t chunk_bytes, bool gap_when_full)
{
    memset(net, 0, sizeof *net);
    net->seed = seed;
    net->now_ns = 1000000;
    op_random(net, net->key, sizeof net->key);
    struct sender_config config = {.sensor = "model", .chunk_bytes = chunk_bytes, .gap_when_full = gap_when_full,
                                   .transmit = transmit, .request = answer, .arg = net};
    memcpy(config.key, net->key, sizeof config.key);
    op_random(net, config.seed, sizeof config.seed);
    size_t n = sender_memory(&config, ring_bytes);
    net->ring = malloc(n);
    CHECK(net->ring && sender_init(&net->sender, &config, net->ring, n) == 0);
    CHECK(receiver_init(&net->receiver, net->key, 64 + (uint32_t)(unit_random(&net->seed) % 960), &ops, net) == 0);
}

void network_fini(struct network *net)
{
    receiver_fini(&net->receiver);
    while (net->count > 0) free(net->flight[--net->count]);
    free(net->ring);
}

void network_restart_collector(struct network *net)
{
    uint32_t window = net->receiver.window;
    receiver_fini(&net->receiver);
    CHECK(receiver_init(&net->receiver, net->key, window, &ops, net) == 0);
    net->got = net->durable;
}

static void deliver(struct network *net)
{
    for (size_t i = 0; i < net->count;) {
        struct datagram *d = net->flight[i];
        if (d->due_ns > net->now_ns) {
            i++;
            continue;
        }
        /* order is kept among those that are not late */
        memmove(&net->flight[i], &net->flight[i + 1], (--net->count - i) * sizeof *net->flight);
        if (d->up)
            CHECK(receiver_frame(&net->receiver, d->bytes, d->n) == 0);
        else
            sender_receive(&net->sender, d->bytes, d->n, net->now_ns);
        free(d);
    }
}

void network_tick(struct network *net)
{
    net->now_ns += 1000000;
    sender_poll(&net->sender, net->now_ns);
    deliver(net);
    if (unit_random(&net->seed) % 4 == 0) {
        net->durable = net->got;
        receiver_durable(&net->receiver, net->durable);
    }
    receiver_acknowledge(&net->receiver);
}

/* Every record arrives once, in order and unchanged, whatever the network does and however often the collector dies; what a
 * full ring lost is said. */
#include "abi/event.h"
#include "tests/net/network.h"

#define BLOCKS 64u

struct world {
    uint64_t sent;                  /* records taken in by the sender */
    uint64_t gaps;                  /* records that it refused */
    uint64_t told;                  /* events that gap records spoke of */
    bool hole[BLOCKS];              /* lost and not told yet */
    uint8_t disk[BLOCKS][4096];     /* as the sensor saw it written */
    uint8_t copy[BLOCKS][4096];     /* as the collector heard it */
    bool unknown[BLOCKS];           /* to the collector */
    struct chv_wire_record at_durable;
};

/* Content that its number determines. */
static void fill(uint8_t *content, size_t n, uint64_t number)
{
    uint64_t x = number * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t v = unit_random(&x);
        memcpy(content + i, &v, 8);
    }
}

static void check(struct network *net, const struct chv_wire_record *r, const void *content)
{
    struct world *w = net->arg;
    uint64_t block = chv_wire_lba(r) / 8;
    if (r->op == CHV_OP_GAP) {
        struct chv_gap_detail detail;
        memcpy(&detail, content, sizeof detail);
        CHECK(detail.reason == CHV_GAP_QUEUE_FULL && r->sectors % 8 == 0 && r->sectors > 0);
        w->told += detail.events;
        for (uint64_t b = block; b < block + r->sectors / 8; b++) w->unknown[b] = true;
        return;
    }
    CHECK(r->op == CHV_OP_WRITE && r->device == 0);
    uint8_t expected[4096];
    fill(expected, r->bytes, r->time_ns);
    CHECK(memcmp(expected, content, r->bytes) == 0);
    memcpy(w->copy[block] + chv_wire_lba(r) % 8 * 512, content, r->bytes);
    if (r->sectors == 8) w->unknown[block] = false;
}

/* One write, whole or in part. Its time names its content. */
static int write_one(struct network *net, uint64_t number)
{
    struct world *w = net->arg;
    uint64_t block = unit_random(&net->seed) % BLOCKS;
    uint32_t from = 0, sectors = 8;
    if (unit_random(&net->seed) % 4 == 0) {
        from = (uint32_t)(unit_random(&net->seed) % 8);
        sectors = 1 + (uint32_t)(unit_random(&net->seed) % (8 - from));
    }
    uint8_t content[4096];
    fill(content, sectors * 512, number);
    struct chv_wire_record r = {.time_ns = number, .lba_lo = (uint32_t)(block * 8 + from), .op = CHV_OP_WRITE, .sectors = sectors};
    int code = sender_record(&net->sender, &r, content, net->now_ns);
    if (code == SENDER_OK || code == SENDER_GAP) memcpy(w->disk[block] + from * 512, content, sectors * 512);
    if (code == SENDER_OK) w->sent++;
    if (code == SENDER_GAP) w->gaps++;
    return code;
}

static void announce(struct network *net)
{
    struct chv_device d = {.name = "disk:model", .serial = "0001", .bytes = BLOCKS * 4096, .rest = CHV_REST_ZERO};
    CHECK(sender_device(&net->sender, &d) == 0);
}

/* In the middle of a stream: a device more, and the first one grows. */
static void change(struct network *net)
{
    struct chv_device ram = {.name = "ram", .bytes = 1 << 30}, d = net->sender.devices[0];
    d.bytes += 4096;
    CHECK(sender_device(&net->sender, &ram) == 1 && sender_device(&net->sender, &d) == 0 && net->sender.generation == 3);
    CHECK(sender_device(&net->sender, &d) == 0 && net->sender.generation == 3); /* nothing new */
}

static void settle(struct network *net)
{
    for (int i = 0; i < 60000 && !sender_settled(&net->sender); i++) network_tick(net);
    CHECK(sender_settled(&net->sender));
}

static void run(uint64_t seed, unsigned loss, unsigned doubled, unsigned reordered, uint32_t chunk, bool gap, unsigned kills)
{
    static struct network net;
    static struct world w;
    memset(&w, 0, sizeof w);
    network_init(&net, seed, gap ? 64 * 1408 : 1 << 20, chunk, gap);
    net.check = check;
    net.arg = &w;
    net.loss = loss, net.doubled = doubled, net.reordered = reordered;
    announce(&net);
    uint64_t number = 1, most = gap ? 4000 : 3000;
    while (number <= most) {
        for (uint64_t n = unit_random(&net.seed) % (gap ? 40 : 12); n > 0 && number <= most; n--) {
            int code = write_one(&net, number);
            CHECK(code == SENDER_OK || code == (gap ? SENDER_GAP : SENDER_BUSY));
            if (code != SENDER_BUSY) number++;
        }
        network_tick(&net);
        if (kills > 0 && net.receiver.counters.records > 300) network_restart_collector(&net), kills--;
        if (unit_random(&net.seed) % 400 == 0) net.cut = !net.cut;
        if (number > most / 2 && net.sender.device_count == 1) change(&net);
    }
    net.cut = false;
    settle(&net);
    CHECK(net.missing_last == 0 && net.got == net.sender.stats.records);
    CHECK(net.receiver.counters.bad_records == 0 && net.receiver.counters.malformed == 0 && net.receiver.counters.forged == 0);
    CHECK(kills == 0 && (gap || w.gaps == 0));
    if (gap) CHECK(w.gaps > 0 && w.told >= w.gaps);
    for (unsigned b = 0; b < BLOCKS; b++) CHECK(w.unknown[b] || memcmp(w.copy[b], w.disk[b], 4096) == 0);
    printf("loss %u doubled %u reordered %u chunk %u: %llu records, %llu frames, %llu again, %llu sessions, %llu gaps\n", loss,
           doubled, reordered, chunk, (unsigned long long)net.got, (unsigned long long)net.sender.stats.frames,
           (unsigned long long)net.sender.stats.frames_again, (unsigned long long)net.sender.stats.sessions,
           (unsigned long long)w.gaps);
    network_fini(&net);
}

/* A collector with an empty store: what the sensor no longer has is said to be missing, the rest arrives. */
static void lost_store(uint64_t seed)
{
    static struct network net;
    static struct world w;
    memset(&w, 0, sizeof w);
    network_init(&net, seed, 1 << 20, 0, false);
    net.check = check;
    net.arg = &w;
    announce(&net);
    for (uint64_t n = 1; n <= 500; n++) {
        CHECK(write_one(&net, n) == SENDER_OK);
        if (n % 10 == 0) network_tick(&net);
    }
    settle(&net);
    net.durable = 0;
    memset(net.stream, 0, sizeof net.stream);
    network_restart_collector(&net);
    for (uint64_t n = 501; n <= 600; n++) CHECK(write_one(&net, n) == SENDER_OK);
    settle(&net);
    CHECK(net.missing_first == 1 && net.missing_last == 500 && net.got == 600);
    network_fini(&net);
}

/* A record's content begins with the name of its space. */
static void check_name(struct network *net, const struct chv_wire_record *r, const void *content)
{
    if (!net->receiver.device_count) return; /* handed on before the session's list: it was checked already */
    CHECK(r->bytes == 4096 && memcmp(net->receiver.devices[r->device].name, content, CHV_WIRE_NAME_BYTES) == 0);
}

/* More processes than there are places: each waits until nothing is under way, and no record comes under another's name. */
static void processes(uint64_t seed)
{
    static struct network net;
    unsigned waits = 0;
    network_init(&net, seed, 1 << 20, 0, false);
    net.check = check_name;
    net.loss = net.doubled = 50, net.reordered = 100;
    announce(&net);
    for (unsigned p = 1; p <= 60; p++) {
        struct chv_device d = {.bytes = UINT64_C(1) << 47};
        uint8_t content[4096] = {0};
        int number;
        snprintf(d.name, sizeof d.name, p % 2 ? "proc:%u" : "map:%u", p);
        memcpy(content, d.name, sizeof d.name);
        while ((number = sender_device(&net.sender, &d)) < 0) {
            network_tick(&net);
            waits++;
        }
        CHECK(number >= 1);
        for (uint32_t i = 0; i < 5; i++) {
            struct chv_wire_record r = {.time_ns = 1, .lba_lo = i * 8, .op = CHV_OP_FOUND, .sectors = 8, .device = (uint16_t)number};
            CHECK(sender_record(&net.sender, &r, content, net.now_ns) == SENDER_OK);
        }
        if (p % 10 == 0) network_restart_collector(&net);
    }
    settle(&net);
    struct chv_device disk = {.name = "disk:late", .bytes = 4096};
    CHECK(sender_device(&net.sender, &disk) == -1); /* a disk takes nobody's place */
    CHECK(waits > 0 && net.got == 300 && net.receiver.counters.malformed == 0 && net.receiver.counters.bad_records == 0);
    network_fini(&net);
}

/* Requests between the records: each is answered, if it is asked often enough, and nothing else suffers. */
static void requests(uint64_t seed)
{
    static struct network net;
    static struct world w;
    memset(&w, 0, sizeof w);
    network_init(&net, seed, 1 << 20, 0, false);
    net.check = check;
    net.arg = &w;
    net.loss = net.doubled = 100, net.reordered = 200;
    announce(&net);
    CHECK(!receiver_request(&net.receiver, &(struct chv_request){.id = 1, .kind = CHV_REQUEST_RAM})); /* nobody is there yet */
    for (uint64_t n = 1, id = 1; n <= 2000 || id < 50;) {
        n += write_one(&net, n) == SENDER_OK;
        if (net.reply.id == id) id++;
        if (unit_random(&net.seed) % 8 == 0)
            receiver_request(&net.receiver, &(struct chv_request){.id = id, .first = 4096, .table = id * 3, .kind = CHV_REQUEST_RAM});
        network_tick(&net);
        if (n % 700 == 0) network_restart_collector(&net);
    }
    settle(&net);
    CHECK(net.replies >= 49 && net.got == net.sender.stats.records && net.receiver.counters.malformed == 0);
    for (unsigned b = 0; b < BLOCKS; b++) CHECK(memcmp(w.copy[b], w.disk[b], 4096) == 0);
    network_fini(&net);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    lost_store(seed);
    processes(seed);
    requests(seed);
    run(seed, 0, 0, 0, 0, false, 0);
    for (unsigned i = 0; i < 6; i++) {
        run(seed + i, 10, 10, 50, 0, false, 0);
        run(seed + i, 100, 100, 300, 512, false, 3);
        run(seed + i, 20, 5, 100, 8896, false, 2);
        run(seed + i, 20, 20, 100, 0, true, 0);
    }
    return 0;
}

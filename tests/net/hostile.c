/* Frames of people who have not the key, or have ours from yesterday: counted, not answered, without effect. */
#include <errno.h>

#include "abi/event.h"
#include "tests/net/network.h"

static struct network net;

static void check(struct network *n, const struct chv_wire_record *record, const void *content)
{
    (void)n, (void)record, (void)content;
}

static void begin(uint64_t seed)
{
    struct chv_device d = {.name = "disk:a", .bytes = 1 << 20};
    network_init(&net, seed, 1 << 18, 0, false);
    net.check = check;
    CHECK(sender_device(&net.sender, &d) == 0);
}

static void write_blocks(unsigned count)
{
    uint8_t content[4096] = {1};
    for (unsigned i = 0; i < count; i++) {
        struct chv_wire_record r = {.lba_lo = i % 256 * 8, .op = CHV_OP_WRITE, .sectors = 8};
        CHECK(sender_record(&net.sender, &r, content, net.now_ns) == SENDER_OK);
    }
}

static void settle(void)
{
    for (int i = 0; i < 10000 && (!sender_settled(&net.sender) || net.sender.state != SENDER_RUNNING); i++) network_tick(&net);
    CHECK(sender_settled(&net.sender));
}

/* Everything that is in flight now, kept. */
#define KEPT 64
static struct datagram kept[KEPT];
static unsigned kept_count;
static void keep(void)
{
    for (size_t i = 0; i < net.count && kept_count < KEPT; i++) kept[kept_count++] = *net.flight[i];
}

static uint64_t effects(void)
{
    return net.got + net.receiver.next_chunk + net.receiver.counters.sessions + net.carried;
}

/* Handed to whom it was meant for; nothing comes of it. */
static void play(const struct datagram *d, size_t n)
{
    struct datagram copy = *d;
    uint64_t before = effects(), accepted = net.sender.stats.frames_in;
    if (d->up)
        CHECK(receiver_frame(&net.receiver, copy.bytes, n) == 0);
    else
        sender_receive(&net.sender, copy.bytes, n, net.now_ns);
    CHECK(effects() == before && net.sender.stats.frames_in == accepted);
}

static void replays(void)
{
    begin(7);
    write_blocks(3);
    for (int i = 0; i < 40; i++) {
        network_tick(&net);
        keep();
    }
    settle();
    bool types[8] = {false};
    for (unsigned i = 0; i < kept_count; i++) types[kept[i].bytes[3]] = true;
    CHECK(types[CHV_FRAME_HELLO] && types[CHV_FRAME_WELCOME] && types[CHV_FRAME_START] && types[CHV_FRAME_DATA] && types[CHV_FRAME_ACK]);
    uint64_t seen = net.receiver.counters.replayed;
    unsigned up = 0;
    for (unsigned i = 0; i < kept_count; i++) {
        play(&kept[i], kept[i].n);
        up += kept[i].up;
    }
    CHECK(net.receiver.counters.replayed == seen + up);
    /* and in another session: its keys are others, its session number too */
    network_restart_collector(&net);
    write_blocks(1);
    settle();
    uint64_t stray = net.receiver.counters.stray;
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].bytes[3] != CHV_FRAME_HELLO) play(&kept[i], kept[i].n);
    CHECK(net.receiver.counters.stray > stray);
    /* a HELLO from before the collector's time is answered, and that is all */
    uint64_t got = net.got, sessions = net.receiver.counters.sessions;
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].bytes[3] == CHV_FRAME_HELLO) {
            struct datagram copy = kept[i];
            CHECK(receiver_frame(&net.receiver, copy.bytes, copy.n) == 0);
        }
    write_blocks(5);
    settle();
    CHECK(net.got == got + 5 && net.receiver.counters.sessions == sessions);
    network_fini(&net);
}

static void forgeries(void)
{
    uint64_t seed = 99;
    begin(8);
    kept_count = 0;
    write_blocks(2);
    for (int i = 0; i < 6; i++) {
        network_tick(&net);
        keep();
    }
    settle();
    CHECK(kept_count > 0);
    struct receiver_counters before = net.receiver.counters;
    unsigned played = 0;
    for (unsigned i = 0; i < 4000; i++) {
        struct datagram d = kept[i % kept_count];
        struct chv_frame_header h;
        memcpy(&h, d.bytes, sizeof h);
        if (h.type == CHV_FRAME_START || h.type == CHV_FRAME_DATA || h.type == CHV_FRAME_ACK) { /* not just a replay */
            h.counter += 100000;
            memcpy(d.bytes, &h, sizeof h);
        }
        uint64_t bit = unit_random(&seed) % (d.n * 8);
        d.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        play(&d, unit_random(&seed) % 4 ? d.n : unit_random(&seed) % (d.n + 1));
        played += d.up;
    }
    const struct receiver_counters *c = &net.receiver.counters;
    CHECK(c->forged > before.forged && c->malformed > before.malformed && c->frames == before.frames + played);
    CHECK(c->forged + c->malformed + c->stray + c->replayed ==
          before.forged + before.malformed + before.stray + before.replayed + played);
    write_blocks(5);
    settle();
    network_fini(&net);
}

/* A sensor with another key gets no answer at all. */
static void other_key(void)
{
    begin(9);
    net.sender.config.key[5] ^= 1;
    write_blocks(1);
    for (int i = 0; i < 5000; i++) network_tick(&net);
    CHECK(net.receiver.counters.forged > 2 && net.sender.stats.frames_in == 0 && net.got == 0);
    network_fini(&net);
}

int main(void)
{
    replays();
    forgeries();
    other_key();
    return 0;
}

/* Sender, bad network, receiver and a real store with its threads: closed and opened again in between, the store holds what the
 * sender saw, each record once. Both sizes of block; writes of parts of blocks. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "chronovisor/timeline.h"
#include "net/receiver.h"
#include "net/sink.h"
#include "tests/unit.h"
#include "visor/out/sender.h"

#define BLOCKS 128u

struct rig {
    struct sender sender;
    struct receiver *receiver;
    struct sink sink;
    uint64_t seed, now_ns;
    uint8_t disk[BLOCKS * 4096];
    struct chv_err err;
};

static void hand_in(struct rig *r, const void *frame, size_t n)
{
    uint8_t copy[CHV_WIRE_FRAME_BYTES_MAX];
    memcpy(copy, frame, n);
    CHECK_OK(receiver_frame(r->receiver, copy, n), r->err);
}

static bool transmit(void *arg, const void *frame, size_t n)
{
    struct rig *r = arg;
    if (!r->receiver || unit_random(&r->seed) % 50 == 0) return true; /* lost */
    hand_in(r, frame, n);
    if (unit_random(&r->seed) % 50 == 0) hand_in(r, frame, n);
    return true;
}

static int on_resume(void *arg, const struct chv_hello *hello, uint64_t *records, bool *known)
{
    return sink_resume(&((struct rig *)arg)->sink, hello, records, known);
}
static int on_devices(void *arg, const struct chv_hello *hello, const struct chv_device *devices, size_t count)
{
    struct rig *r = arg;
    bool fresh;
    return sink_devices(&r->sink, hello, devices, count, &fresh, &r->err);
}
static int on_record(void *arg, const struct chv_wire_record *record, const void *content)
{
    struct rig *r = arg;
    return sink_record(&r->sink, record, content, &r->err);
}
static int on_missing(void *arg, uint64_t first, uint64_t last)
{
    struct rig *r = arg;
    return sink_missing(&r->sink, first, last, &r->err);
}
static void on_send(void *arg, const void *frame, size_t n, bool to_live)
{
    struct rig *r = arg;
    uint8_t copy[CHV_WIRE_FRAME_BYTES_MAX];
    (void)to_live;
    memcpy(copy, frame, n);
    sender_receive(&r->sender, copy, n, r->now_ns);
}
static void on_random(void *arg, void *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) ((uint8_t *)buf)[i] = (uint8_t)(unit_random(&((struct rig *)arg)->seed) >> 24);
}
static const struct receiver_ops ops = {on_resume, on_devices, on_record, on_missing, on_send, on_random};

static void tick(struct rig *r)
{
    uint64_t records;
    r->now_ns += 1000000;
    sender_poll(&r->sender, r->now_ns);
    if (!r->receiver) return;
    CHECK_OK(sink_flush(&r->sink, &r->err), r->err);
    CHECK_OK(committer_done(r->sink.committer, r->sink.counters.streams, &records, &r->err), r->err);
    if (records > r->sink.durable) receiver_durable(r->receiver, r->sink.durable = records);
    receiver_acknowledge(r->receiver);
}

static void write_one(struct rig *r)
{
    uint64_t block = unit_random(&r->seed) % BLOCKS;
    uint32_t from = 0, sectors = 8;
    uint8_t content[4096];
    struct chv_wire_record w = {.time_ns = clock_now_ns(), .op = unit_random(&r->seed) % 10 ? CHV_OP_WRITE : CHV_OP_ZERO};
    if (w.op == CHV_OP_WRITE && unit_random(&r->seed) % 3 == 0) {
        from = (uint32_t)(unit_random(&r->seed) % 8);
        sectors = 1 + (uint32_t)(unit_random(&r->seed) % (8 - from));
    }
    memset(content, w.op == CHV_OP_ZERO ? 0 : (int)(unit_random(&r->seed) % 256), sizeof content);
    w.lba_lo = (uint32_t)(block * 8 + from);
    w.sectors = sectors;
    while (sender_record(&r->sender, &w, w.op == CHV_OP_WRITE ? content : NULL, r->now_ns) == SENDER_BUSY) tick(r);
    memcpy(r->disk + block * 4096 + from * 512, content, sectors * 512);
}

static void compare(const struct rig *r, const char *dir)
{
    static uint8_t seen[BLOCKS * 4096];
    struct chv_err err;
    struct chv_store *store;
    struct chv_store_info info;
    const struct chv_space *space;
    struct chv_view *view;
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    chv_store_info(store, &info);
    CHECK_OK(chv_store_find_space(store, NULL, &space, &err), err); /* the only one: `wire` does not count */
    CHECK(strcmp(space->name, "disk:a") == 0 && space->size_bytes == sizeof seen);
    CHECK_OK(chv_view_open(store, space, info.last_seq, NULL, &view, &err), err);
    CHECK_OK(chv_view_pread(view, seen, sizeof seen, 0, &err), err);
    CHECK(memcmp(seen, r->disk, sizeof seen) == 0);
    chv_view_close(view);
    uint64_t records = 0;
    for (uint64_t seq = 1; seq <= info.last_seq; seq++) {
        struct chv_event e;
        CHECK_OK(chv_store_event(store, seq, &e, &err), err);
        records += e.space == space->id && (e.op == CHV_OP_WRITE || e.op == CHV_OP_ZERO) && !(e.flags & CHV_EVENT_CONTINUED);
    }
    CHECK(records == r->sender.stats.records);
    chv_store_close(store);
}

static void run(uint64_t seed, const char *dir, uint32_t block_bytes)
{
    static struct rig r;
    static struct receiver receiver;
    memset(&r, 0, sizeof r);
    r.seed = seed;
    r.now_ns = 1;
    struct sender_config config = {.sensor = "rig", .transmit = transmit, .arg = &r};
    size_t n = sender_memory(&config, 1 << 19);
    void *ring = malloc(n);
    struct chv_device device = {.name = "disk:a", .bytes = sizeof r.disk, .rest = CHV_REST_ZERO};
    CHECK(ring && sender_init(&r.sender, &config, ring, n) == 0 && sender_device(&r.sender, &device) == 0);
    struct sink_options options = {.store_dir = dir, .block_bytes = block_bytes};
    for (int round = 0; round < 4; round++) {
        CHECK_OK(sink_open(&r.sink, &options, &r.err), r.err);
        CHECK(receiver_init(&receiver, config.key, 256, &ops, &r) == 0);
        r.receiver = &receiver;
        for (int i = 0; i < 500; i++) {
            write_one(&r);
            if (i % 8 == 0) tick(&r);
        }
        while (round == 3 && !sender_settled(&r.sender)) tick(&r);
        r.receiver = NULL;
        CHECK(r.sink.counters.missing == 0 && r.sink.counters.gaps == 0);
        CHECK_OK(sink_close(&r.sink, &r.err), r.err);
        CHECK(receiver.counters.bad_records == 0 && receiver.counters.forged == 0);
        receiver_fini(&receiver);
        while (r.sender.state != SENDER_GREETING) tick(&r);
    }
    compare(&r, dir);
    free(ring);
}

/* n: which of the store's zeros and reads it is, from 0. */
typedef void (*judge_fn)(const struct chv_event *e, uint64_t n, uint64_t begun_ns);

/* Hands all of the store's zeros and reads to judge. How many there are. */
static uint64_t each(const char *dir, judge_fn judge, uint64_t begun_ns)
{
    const struct chv_event *events;
    struct chv_cursor *cursor;
    struct chv_store *store;
    struct chv_err err;
    uint64_t seen = 0;
    size_t n;
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    CHECK_OK(chv_cursor_open(store, 1, UINT64_MAX, &cursor, &err), err);
    while (chv_cursor_next(cursor, &events, &n, &err) == 1)
        for (size_t i = 0; i < n; i++)
            if (events[i].op == CHV_OP_ZERO || events[i].op == CHV_OP_READ) judge(&events[i], seen++, begun_ns);
    chv_cursor_close(cursor);
    chv_store_close(store);
    return seen;
}

enum { STEP_NS = 1000 };

static void judge_time(const struct chv_event *e, uint64_t n, uint64_t begun_ns)
{
    CHECK(e->time_ns - (begun_ns + n * STEP_NS) < SINK_BATCH * STEP_NS); /* a batch has one time */
}

/* The collector's own marks between records leave the times of a sensor whose clock is behind as they are. */
static void times(const char *dir)
{
    enum { RECORDS = 10000 };
    static const struct chv_hello hello = {.sensor = "slow", .stream = {1}};
    static const struct chv_device device = {.name = "disk:a", .bytes = BLOCKS * 4096, .rest = CHV_REST_ZERO};
    const struct sink_options o = {.store_dir = dir};
    struct sink sink;
    struct chv_err err;
    uint64_t begun;
    bool fresh;
    CHECK_OK(sink_open(&sink, &o, &err), err);
    CHECK_OK(sink_devices(&sink, &hello, &device, 1, &fresh, &err), err);
    begun = clock_now_ns();
    usleep(20000);
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct chv_wire_record w = {.number = i + 1, .time_ns = begun + i * STEP_NS, .op = CHV_OP_ZERO, .sectors = 8};
        CHECK_OK(sink_record(&sink, &w, NULL, &err), err);
    }
    CHECK_OK(sink_close(&sink, &err), err);
    CHECK(each(dir, judge_time, begun) == RECORDS);
}

static void judge_flags(const struct chv_event *e, uint64_t n, uint64_t begun_ns)
{
    (void)begun_ns;
    CHECK(n < 3 && e->flags == (n == 0 ? CHV_EVENT_EXECUTE : 0));
}

/* Which flags of a record become an event's: a page's rights do not. */
static void flags(const char *dir)
{
    static const struct chv_hello hello = {.sensor = "memory", .stream = {2}};
    static const struct chv_device devices[] = {{.name = "ram", .bytes = BLOCKS * 4096}, {.name = "proc:7", .bytes = BLOCKS * 4096}};
    static const struct chv_wire_record records[] = {
        {.number = 1, .op = CHV_OP_READ, .sectors = 8, .flags = CHV_EVENT_EXECUTE},
        {.number = 2, .op = CHV_OP_READ, .sectors = 8},
        {.number = 3, .op = CHV_OP_ZERO, .sectors = 8, .device = 1, .flags = CHV_WIRE_PAGE_FLAGS},
    };
    const struct sink_options o = {.store_dir = dir};
    struct sink sink;
    struct chv_err err;
    bool fresh;
    CHECK_OK(sink_open(&sink, &o, &err), err);
    CHECK_OK(sink_devices(&sink, &hello, devices, 2, &fresh, &err), err);
    for (size_t i = 0; i < 3; i++) CHECK_OK(sink_record(&sink, &records[i], NULL, &err), err);
    CHECK_OK(sink_close(&sink, &err), err);
    CHECK(each(dir, judge_flags, 0) == 3);
}

int main(int argc, char **argv)
{
    char base[256], dir[300];
    uint64_t seed = unit_seed(argc, argv);
    unit_temp_dir(base);
    for (uint32_t block = 4096; block >= 512; block /= 8) {
        snprintf(dir, sizeof dir, "%s/%u", base, block);
        run(seed, dir, block);
    }
    snprintf(dir, sizeof dir, "%s/times", base);
    times(dir);
    snprintf(dir, sizeof dir, "%s/flags", base);
    flags(dir);
    unit_remove_tree(base);
    return 0;
}

/* A log as accesses, all at once and bit by bit, compared with what was done to the disk. */
#include "detect/follow.h"

#include "tests/timeline/world.h"

#define MAX 4096

struct seen {
    struct access a[MAX];
    size_t count, events, stop_after;
};

static int take(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    struct seen *s = arg;
    s->events++;
    if (s->stop_after && s->events == s->stop_after) return 7;
    if (!a) return 0;
    CHECK(s->count < MAX && (e->op == CHV_OP_READ || e->op == CHV_OP_WRITE || e->op == CHV_OP_ZERO || e->op == CHV_OP_TRIM));
    CHECK(s->count == 0 || a->time_ns >= s->a[s->count - 1].time_ns);
    CHECK(a->sectors > 0 && (a->kind == ACCESS_DISCARD || a->sectors <= 8));
    s->a[s->count++] = *a;
    return 0;
}

static void follow_all(struct world *w, struct seen *s)
{
    struct chv_store *store;
    struct chv_store_info info;
    struct follow *f;
    struct chv_err err;
    memset(s, 0, sizeof *s);
    CHECK_OK(chv_store_open(w->store_dir, &store, &err), err);
    chv_store_info(store, &info);
    CHECK_OK(follow_open(store, 0, 1, &f, &err), err);
    CHECK_OK(follow_step(f, info.last_seq, take, s, &err), err);
    CHECK(follow_seq(f) == info.last_seq);
    follow_close(f);
    chv_store_close(store);
}

/* Reads of any length and place: pieces of one block each, the first one not continued. */
static void append_read(struct world *w, uint64_t lba, uint32_t sectors, uint8_t flags)
{
    struct chv_err err;
    uint64_t ticket;
    struct chv_record r = {.space = w->space, .op = CHV_OP_READ, .lba = lba, .sectors = sectors, .flags = flags,
                           .time_ns = w->now_ns += 1000};
    CHECK_OK(chv_recorder_append(w->recorder, &r, 1, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(w->recorder, ticket, &err), err);
}

static void test_kinds(uint32_t block_bytes)
{
    struct world w;
    static struct seen s;
    static uint8_t data[64 * 1024];
    uint32_t unit = block_bytes / 512;
    world_init(&w, block_bytes, 1 << 20, CHV_REST_SOURCE, 5);
    world_write(&w, 64, 3 * unit, memset(data, 0x11, sizeof data)); /* three blocks: baselines come first */
    world_write(&w, 64, unit, memset(data, 0x11, sizeof data));     /* the same again: known, and not novel */
    append_read(&w, 61, 20, 0);
    world_zero(&w, 64 / unit, 2, CHV_OP_TRIM);
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
    world_write(&w, 64, unit, data);
    world_lost_write(&w, 64 / unit, 1, CHV_GAP_QUEUE_FULL, data);
    world_write(&w, 64, unit, data);
    follow_all(&w, &s);

    const struct access *a = s.a;
    for (int i = 0; i < 3; i++, a++) {
        CHECK(a->kind == ACCESS_WRITE && a->lba == 64 + (uint64_t)i * unit && a->sectors == unit && a->entropy == 0);
        CHECK((a->flags & (ACCESS_ENTROPY | ACCESS_OLD_ENTROPY | ACCESS_DEDUP)) == (ACCESS_ENTROPY | ACCESS_OLD_ENTROPY | ACCESS_DEDUP));
        CHECK(!(a->flags & ACCESS_CONTINUED) == (i == 0));
        CHECK(!(a->flags & ACCESS_NOVEL) == (i != 0)); /* one content, stored once */
    }
    CHECK(a->kind == ACCESS_WRITE && a->flags & ACCESS_OLD_ENTROPY && a->old_entropy == 0 && !(a->flags & ACCESS_NOVEL));
    a++;
    static const uint32_t pieces[] = {3, 8, 8, 1};
    for (uint64_t i = 0, lba = 61; i < 4; lba += pieces[i++], a++)
        CHECK(a->kind == ACCESS_READ && a->lba == lba && a->sectors == pieces[i] && !(a->flags & ACCESS_CONTINUED) == (i == 0));
    CHECK(a->kind == ACCESS_DISCARD && a->lba == 64 && a->sectors == 2 * unit);
    a++;
    CHECK(a->entropy > 60000 && a->flags & ACCESS_OLD_ENTROPY && a->old_entropy == 0);
    a++;
    CHECK(a->kind == ACCESS_WRITE && !(a->flags & ACCESS_OLD_ENTROPY)); /* the gap: nobody knows what stood there */
    CHECK(++a == s.a + s.count);
    world_fini(&w);
}

static int count_ram(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    (void)err;
    struct seen *s = arg;
    if (a && e->op != CHV_OP_SPACE) s->a[s->count++] = *a;
    return 0;
}

/* What is done to memory says nothing about disks; followed by itself it is told, and a write of which only the entropy is known is one. */
static void test_memory(void)
{
    struct world w;
    static struct seen s;
    struct chv_store *store;
    struct follow *f;
    struct chv_err err;
    uint64_t ticket;
    uint16_t ram;
    world_init(&w, 4096, 1 << 20, CHV_REST_ZERO, 8);
    append_read(&w, 8, 8, 0);
    CHECK_OK(chv_recorder_space(w.recorder, "ram", 1 << 20, CHV_REST_UNKNOWN, NULL, &ram, &err), err);
    struct chv_record r[] = {
        {.space = ram, .op = CHV_OP_READ, .lba = 16, .sectors = 8, .flags = CHV_EVENT_EXECUTE, .time_ns = w.now_ns},
        {.space = ram, .op = CHV_OP_GAP, .lba = 24, .sectors = 8, .time_ns = w.now_ns,
         .gap = {.reason = CHV_GAP_UNKEPT, .entropy = 50000, .events = 1}},
        {.space = ram, .op = CHV_OP_GAP, .lba = 24, .sectors = 8, .time_ns = w.now_ns,
         .gap = {.reason = CHV_GAP_UNKEPT, .entropy = 51000, .events = 1}},
    };
    CHECK_OK(chv_recorder_append(w.recorder, r, 3, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(w.recorder, ticket, &err), err);
    follow_all(&w, &s);
    CHECK(s.count == 1 && s.a[0].lba == 8);
    CHECK_OK(chv_store_open(w.store_dir, &store, &err), err);
    CHECK_OK(follow_open(store, ram, 1, &f, &err), err);
    s = (struct seen){0};
    CHECK_OK(follow_step(f, UINT64_MAX, count_ram, &s, &err), err);
    CHECK(s.count == 3 && s.a[0].kind == ACCESS_READ && s.a[1].kind == ACCESS_WRITE && s.a[1].entropy == 50000);
    CHECK(!(s.a[1].flags & (ACCESS_DEDUP | ACCESS_OLD_ENTROPY)) && s.a[2].flags & ACCESS_OLD_ENTROPY && s.a[2].old_entropy == 50000);
    follow_close(f);
    chv_store_close(store);
    world_fini(&w);
}

/* A log that says nonsense costs bounded time. */
static void test_hostile(void)
{
    struct world w;
    static struct seen s;
    struct chv_err err;
    world_init(&w, 4096, 1 << 20, CHV_REST_SOURCE, 6);
    append_read(&w, CHV_LBA_MAX - 8, 8, 0); /* passed over */
    append_read(&w, 1000, 9, 0);
    follow_all(&w, &s);
    CHECK(s.count == 2 && s.a[0].lba == 1000);
    struct chv_store *store;
    struct follow *f;
    CHECK_OK(chv_store_open(w.store_dir, &store, &err), err);
    CHECK_OK(follow_open(store, 0, 1, &f, &err), err);
    s = (struct seen){.stop_after = 2};
    CHECK(follow_step(f, UINT64_MAX, take, &s, &err) == 7);
    follow_close(f);
    CHECK_OK(follow_open(store, 999, 1, &f, &err), err); /* a space that is not there: only COMMITs and MARKs */
    s = (struct seen){0};
    CHECK_OK(follow_step(f, UINT64_MAX, take, &s, &err), err);
    CHECK(s.count == 0);
    follow_close(f);
    chv_store_close(store);
    world_fini(&w);
}

static bool same(const struct access *a, const struct access *b) /* a struct has padding */
{
    return a->time_ns == b->time_ns && a->lba == b->lba && a->sectors == b->sectors && a->kind == b->kind &&
           a->flags == b->flags && a->entropy == b->entropy && a->old_entropy == b->old_entropy;
}

/* Following a recording as it is made gives what reading it afterwards gives. */
static void test_live(uint64_t seed)
{
    struct world w;
    static struct seen live, after;
    static uint8_t data[64 * 1024];
    struct chv_store *store;
    struct chv_store_info info;
    struct follow *f;
    struct chv_err err;
    world_init(&w, 4096, 2 << 20, CHV_REST_SOURCE, seed);
    CHECK_OK(chv_store_open(w.store_dir, &store, &err), err);
    CHECK_OK(follow_open(store, w.space, 1, &f, &err), err);
    live = (struct seen){0};
    for (int i = 0; i < 120; i++) {
        uint64_t lba = unit_random(&w.random) % (w.blocks * 8 - 128);
        world_random_fill(&w, data, sizeof data);
        if (i % 7 == 3)
            append_read(&w, lba, 1 + (uint32_t)(unit_random(&w.random) % 100), 0);
        else if (i % 11 == 5)
            world_zero(&w, lba / 8, 1 + unit_random(&w.random) % 16, CHV_OP_ZERO);
        else
            world_write(&w, lba, 1 + (uint32_t)(unit_random(&w.random) % 64), data);
        if (unit_random(&w.random) % 4) continue;
        CHECK_OK(chv_store_refresh(store, &err), err);
        chv_store_info(store, &info);
        CHECK_OK(follow_step(f, info.last_seq, take, &live, &err), err);
        CHECK(follow_seq(f) == info.last_seq);
    }
    CHECK_OK(chv_store_refresh(store, &err), err);
    chv_store_info(store, &info);
    CHECK_OK(follow_step(f, info.last_seq, take, &live, &err), err);
    follow_all(&w, &after);
    CHECK(live.count == after.count);
    for (size_t i = 0; i < live.count; i++) CHECK(same(&live.a[i], &after.a[i]));
    follow_close(f);
    chv_store_close(store);
    world_fini(&w);
}

int main(int argc, char **argv)
{
    test_kinds(4096);
    test_hostile();
    test_memory();
    test_live(unit_seed(argc, argv));
    return 0;
}

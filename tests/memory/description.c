/* The description of a capture, long enough for several blocks, is there whole or is the one before, as of every instant of the log and
 * wherever the power fails while it is written; and a store in which the first block was written first is read as well. */
#include <errno.h>

#include "chronovisor/chronovisor.h"
#include "sensor/memory/ram_capture.h"
#include "sensor/memory/text_space.h"
#include "tests/store/emu.h"
#include "tests/unit.h"

enum { WRITTEN = 40, BLOCK = 512, CUTS = 250 };

/* The number shows in the head and, by the registers, in every block behind it. */
static struct ram_capture *capture(unsigned number)
{
    struct ram_capture *c = calloc(1, sizeof *c);
    CHECK(c);
    strcpy(c->space, "ram");
    c->mode = CAPTURE_PAUSED;
    c->complete = number % 2;
    c->begin_ns = 1000 + number / 2;
    c->end_ns = c->complete ? 2000 + number : 0;
    c->ram.count = 1;
    c->ram.ranges[0] = (struct ram_range){.gpa = 0, .bytes = 1 << 20, .region = "ram"};
    c->vcpus = 5 + number * 7 % 11;
    for (size_t i = 0; i < c->vcpus; i++) c->vcpu[i] = (struct vcpu){.cr0 = 1, .cr3 = UINT64_C(0x100000) * (number + 1), .cr4 = number, .rip = number};
    return c;
}

static void check_one(const struct ram_capture *c, unsigned *last)
{
    unsigned number = (unsigned)c->vcpu[0].cr4;
    struct ram_capture *want = capture(number);
    json_t *a = ram_capture_to_json(c), *b = ram_capture_to_json(want);
    CHECK(a && b && json_equal(a, b) && number < WRITTEN && (*last == WRITTEN || number >= *last));
    *last = number;
    json_decref(a);
    json_decref(b);
    free(want);
}

/* As of every seq: none, or one of them, never an older one than as of the seq before. Returns the last; WRITTEN: there is none. */
static unsigned check(const char *dir)
{
    struct chv_err err;
    struct chv_store *store;
    struct chv_store_info info;
    unsigned last = WRITTEN;
    CHECK_OK(chv_store_open(dir, &store, &err), err);
    chv_store_info(store, &info);
    for (uint64_t seq = 1; seq <= info.last_seq; seq++) {
        struct ram_capture *c;
        int r = ram_capture_read(store, "ram", seq, &c, &err);
        CHECK(r == 0 || (r == -ENOENT && last == WRITTEN));
        if (r == 0) check_one(c, &last);
        if (r == 0) free(c);
    }
    chv_store_close(store);
    return last;
}

static void write_one(struct chv_recorder *rec, uint16_t id, unsigned number, bool old_way)
{
    struct chv_err err;
    struct sink sink = {.rec = rec};
    struct ram_capture *c = capture(number);
    if (!old_way) CHECK_OK(ram_capture_write(&sink, id, BLOCK, c, 0, &err), err);
    if (old_way) { /* all blocks in their order, in one request */
        json_t *root = ram_capture_to_json(c);
        char *text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER), *padded = calloc(1, CAPTURE_BYTES);
        memcpy(padded, text, strlen(text));
        uint32_t used = (uint32_t)(strlen(text) / BLOCK + 1) * BLOCK;
        struct chv_record r = {.space = id, .op = CHV_OP_FOUND, .sectors = used / 512, .data = padded};
        CHECK_OK(sink_append(&sink, &r, 1, &err), err);
        json_decref(root);
        free(text);
        free(padded);
    }
    free(c);
}

struct run {
    char dir[256];
    struct emu *emu;
    size_t durable_at[WRITTEN]; /* steps */
};

static void record(struct run *run, const struct chv_recorder_options *options, bool old_way)
{
    struct chv_err err;
    struct chv_recorder *rec;
    uint16_t id;
    uint64_t ticket;
    CHECK_OK(chv_recorder_open(run->dir, options, &rec, &err), err);
    CHECK_OK(chv_recorder_space(rec, CAPTURE_PREFIX "ram", CAPTURE_BYTES, CHV_REST_ZERO, NULL, &id, &err), err);
    for (unsigned i = 0; i < WRITTEN; i++) {
        write_one(rec, id, i, old_way);
        if (!run->emu) continue;
        CHECK_OK(chv_recorder_append(rec, NULL, 0, &ticket, &err), err);
        CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
        run->durable_at[i] = emu_steps(run->emu);
    }
    CHECK_OK(chv_recorder_close(rec, &err), err);
    CHECK(check(run->dir) == WRITTEN - 1);
}

static void cut(struct run *run, size_t step, uint64_t *seed)
{
    struct chv_recorder_options options = {.queue_blocks = 64};
    struct chv_recorder *rec;
    struct chv_err err;
    char dir[256];
    unsigned durable = WRITTEN;
    for (unsigned i = 0; i < WRITTEN && run->durable_at[i] <= step; i++) durable = i;
    unit_temp_dir(dir);
    emu_build(run->emu, step, (enum emu_luck)(unit_random(seed) % EMU_LUCKS), seed, dir);
    CHECK_OK(chv_recorder_open(dir, &options, &rec, &err), err);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    unsigned last = check(dir);
    CHECK(durable == WRITTEN || (last != WRITTEN && last >= durable));
    unit_remove_tree(dir);
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    uint64_t seed = unit_seed(argc, argv);
    struct run run = {0};
    struct chv_err err;
    for (int old_way = 0; old_way < 2; old_way++) {
        struct chv_recorder_options options = {.queue_blocks = 64, .workers = 2, .segment_events = 64 + (uint32_t)(seed % 60), .pack_bytes = 20000, .clock_ns = 1};
        unit_temp_dir(run.dir);
        CHECK_OK(chv_store_create(run.dir, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
        if (!old_way) run.emu = emu_new(run.dir), options.io = emu_io(run.emu);
        record(&run, &options, old_way);
        size_t steps = run.emu ? emu_steps(run.emu) : 0, every = steps / CUTS + 1;
        size_t cuts = 0;
        for (size_t step = unit_random(&seed) % every; step < steps; step += every, cuts++) cut(&run, step, &seed);
        if (steps) printf("%zu steps, %zu cuts\n", steps, cuts);
        if (run.emu) emu_free(run.emu);
        run.emu = NULL;
        unit_remove_tree(run.dir);
    }
    return 0;
}

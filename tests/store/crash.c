/* Power cuts: a recorder's run on an emulated disk is cut at every step that matters and at many of the others, and what
 * the disk could hold then is opened, recovered, recorded into further, and sometimes cut again during that. */
#include <fcntl.h>

#include "chronovisor/chronovisor.h"
#include "store/queue.h"
#include "tests/store/emu.h"
#include "tests/store/script.h"
#include "tests/unit.h"

enum { SESSIONS = 3, SESSION_REQUESTS = 110, ACKS = 4096 };

struct ack {
    size_t step;
    uint64_t requests;
};

struct run {
    struct script script;
    struct chv_recorder_options options;
    uint64_t seed;
    char dir[256];
    struct emu *emu;
    struct ack acks[ACKS];
    size_t ack_count;
};

static void acknowledged(struct run *run, uint64_t requests)
{
    CHECK(run->ack_count < ACKS);
    run->acks[run->ack_count++] = (struct ack){emu_steps(run->emu), requests};
}

static uint64_t acked_at(const struct run *run, size_t step)
{
    uint64_t requests = 0;
    for (size_t i = 0; i < run->ack_count && run->acks[i].step <= step; i++) requests = run->acks[i].requests;
    return requests;
}

static struct chv_recorder_options options_with(const struct run *run, const struct io *io)
{
    struct chv_recorder_options o = run->options;
    o.io = io;
    return o;
}

/* The run that is to be cut. */
static void record(struct run *run)
{
    struct chv_err err;
    uint64_t at = 0;
    unit_temp_dir(run->dir);
    CHECK_OK(chv_store_create(run->dir, &(struct chv_store_config){.block_bytes = run->script.block_bytes}, &err), err);
    run->emu = emu_new(run->dir);
    for (int session = 0; session < SESSIONS; session++) {
        struct chv_recorder_options o = options_with(run, emu_io(run->emu));
        struct chv_recorder *rec;
        uint16_t ids[SCRIPT_SPACES];
        uint64_t end = at + SESSION_REQUESTS, ticket;
        CHECK_OK(chv_recorder_open(run->dir, &o, &rec, &err), err);
        CHECK_OK(script_spaces(&run->script, rec, ids, &err), err);
        while (at < end) {
            uint64_t n = 1 + unit_random(&run->seed) % 20;
            if (n > end - at) n = end - at;
            CHECK(script_append(&run->script, rec, ids, at, at + n, &ticket, &err) == n);
            at += n;
            if (unit_random(&run->seed) % 3 == 0) continue;
            CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
            acknowledged(run, at);
        }
        CHECK_OK(chv_recorder_close(rec, &err), err);
        acknowledged(run, at);
    }
    script_check(&run->script, run->dir, NULL, 0, at, UINT64_MAX);
    script_check_files(run->dir, run->script.block_bytes);
}

/* A queue with content that was written before the machine was started again. */
static void stale_queue(const char *dir, uint32_t block_bytes)
{
    char path[600];
    struct queue_file f = {.version = QUEUE_VERSION, .slots = 64, .block_bytes = block_bytes, .head = 9, .tail = 2};
    memcpy(f.magic, "CHVQUE\r\n", 8);
    memset(f.boot_id, 'x', 36);
    struct meta meta;
    struct chv_err err;
    CHECK_OK(meta_load(dir, &meta, &err), err);
    memcpy(f.uuid, meta.uuid, 16);
    snprintf(path, sizeof path, "%s/queue", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && pwrite(fd, &f, sizeof f, 0) == sizeof f);
    CHECK(ftruncate(fd, (off_t)(4096 + f.slots * (sizeof(struct slot) + block_bytes))) == 0);
    close(fd);
}

/* Recover a store found after a cut, record on, and see that it holds what it must. */
static void recover(struct run *run, const char *dir, struct script_cut *cuts, size_t cut_count, int depth)
{
    struct chv_err err;
    struct chv_recorder *rec;
    uint16_t ids[SCRIPT_SPACES];
    uint64_t ticket, acked = cuts[cut_count - 1].acked;
    script_check(&run->script, dir, cuts, cut_count - 1, acked, acked);
    struct emu *emu = depth == 0 && unit_random(&run->seed) % 3 == 0 ? emu_new(dir) : NULL;
    struct chv_recorder_options o = options_with(run, emu ? emu_io(emu) : NULL);
    CHECK_OK(chv_recorder_open(dir, &o, &rec, &err), err);
    uint64_t resume = cuts[cut_count - 1].resume, more = unit_random(&run->seed) % 60;
    size_t durable_step = 0;
    if (more) {
        CHECK_OK(script_spaces(&run->script, rec, ids, &err), err);
        CHECK(script_append(&run->script, rec, ids, resume, resume + more, &ticket, &err) == more);
        CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
        durable_step = emu ? emu_steps(emu) : 0;
        acked = resume + more;
    }
    CHECK_OK(chv_recorder_close(rec, &err), err);
    script_check(&run->script, dir, cuts, cut_count, acked, UINT64_MAX);
    script_check_files(dir, run->script.block_bytes);
    if (!emu) return;
    size_t step = unit_random(&run->seed) % (emu_steps(emu) + 1);
    char again[256];
    unit_temp_dir(again);
    emu_build(emu, step, (enum emu_luck)(unit_random(&run->seed) % EMU_LUCKS), &run->seed, again);
    emu_free(emu);
    /* The next cut: either what was recorded on is there, or all that was before. */
    cuts[cut_count] = (struct script_cut){more && step >= durable_step ? acked : cuts[cut_count - 1].acked, resume + 1000};
    recover(run, again, cuts, cut_count + 1, depth + 1);
    unit_remove_tree(again);
}

static void cut(struct run *run, size_t step)
{
    char dir[256];
    struct script_cut cuts[4] = {{acked_at(run, step), 100000}};
    enum emu_luck luck = (enum emu_luck)(unit_random(&run->seed) % EMU_LUCKS);
    unit_temp_dir(dir);
    emu_build(run->emu, step, luck, &run->seed, dir);
    if (unit_random(&run->seed) % 4 == 0) stale_queue(dir, run->script.block_bytes);
    recover(run, dir, cuts, 1, 0);
    unit_remove_tree(dir);
}

static struct {
    size_t step;
    enum emu_luck luck;
} now;

static void where(void)
{
    if (now.step) fprintf(stderr, "cut behind step %zu\n", now.step);
}

static void run_one(uint32_t block_bytes, uint64_t seed, size_t cuts)
{
    struct run *run = calloc(1, sizeof *run);
    run->script = (struct script){.seed = seed, .block_bytes = block_bytes};
    run->seed = seed;
    run->options = (struct chv_recorder_options){.queue_blocks = 64, .workers = 2, .segment_events = 64 + (uint32_t)(seed % 60),
                                                 .pack_bytes = 20000, .clock_ns = 1};
    record(run);
    size_t steps = emu_steps(run->emu), edges = 0, done = 0;
    for (size_t i = 0; i < steps; i++) edges += (size_t)emu_step_is_edge(run->emu, i);
    /* Both sides of each sync and name change, as far as the number allows, and writes in between. */
    for (size_t step = 0; step <= steps; step++) {
        int edge = (step < steps && emu_step_is_edge(run->emu, step)) || (step > 0 && emu_step_is_edge(run->emu, step - 1));
        size_t population = edge ? 2 * edges : steps, share = edge ? cuts * 3 / 4 : cuts / 4;
        if (unit_random(&run->seed) % population >= share) continue;
        now.step = step;
        cut(run, step);
        done++;
    }
    printf("blocks of %u: %zu steps, %zu cuts\n", block_bytes, steps, done);
    emu_free(run->emu);
    unit_remove_tree(run->dir);
    free(run);
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    uint64_t seed = unit_seed(argc, argv);
    size_t cuts = argc > 2 ? strtoul(argv[2], NULL, 0) : 200;
    atexit(where);
    run_one(512, seed, cuts);
    run_one(4096, seed + 1, cuts);
    now.step = 0;
    return 0;
}

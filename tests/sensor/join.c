/* Evidence into a log that somebody else records: what is added is there, beside the recorder's own; what may not be added is refused. */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "chronovisor/store.h"
#include "sensor/join/client.h"
#include "sensor/join/message.h"
#include "sensor/join/server.h"
#include "tests/unit.h"

enum { BLOCK = 4096, UNIT = BLOCK / CHV_SECTOR_BYTES, BLOCKS = 600, THREADS = 3 };

struct fixture {
    char dir[256], store[300];
    struct chv_recorder *rec;
    uint16_t disk;
    struct join_server server;
};

static void set_up(struct fixture *f)
{
    struct chv_err err;
    struct chv_recorder_options options = {.queue_blocks = 256};
    unit_temp_dir(f->dir);
    snprintf(f->store, sizeof f->store, "%.200s/a-path-that-is-longer-than-a-socket-may-have-0123456789-0123456789-0123456789", f->dir);
    CHECK_OK(chv_store_create(f->store, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
    CHECK_OK(chv_recorder_open(f->store, &options, &f->rec, &err), err);
    CHECK_OK(chv_recorder_space(f->rec, "disk:vda", BLOCKS * BLOCK, CHV_REST_ZERO, NULL, &f->disk, &err), err);
    CHECK_OK(join_server_start(&f->server, f->store, BLOCK, f->rec, &err), err);
}

static void tear_down(struct fixture *f)
{
    struct chv_err err;
    char path[400];
    struct stat st;
    join_server_stop(&f->server);
    snprintf(path, sizeof path, "%s/" JOIN_SOCKET, f->store);
    CHECK(lstat(path, &st) < 0 && errno == ENOENT);
    CHECK_OK(chv_recorder_close(f->rec, &err), err);
    unit_remove_tree(f->dir);
}

static void fill(uint8_t *data, unsigned seed)
{
    for (size_t i = 0; i < BLOCK; i++) data[i] = (uint8_t)(seed * 31 + i % 251 + 1);
}

static void *write_disk(void *arg)
{
    struct fixture *f = arg;
    struct chv_err err;
    uint8_t data[BLOCK];
    for (unsigned i = 0; i < BLOCKS; i++) {
        fill(data, 100000 + i);
        struct chv_record r = {.space = f->disk, .op = CHV_OP_WRITE, .sectors = UNIT, .lba = i * UNIT, .data = data};
        CHECK_OK(chv_recorder_append(f->rec, &r, 1, NULL, &err), err);
    }
    return NULL;
}

struct part {
    struct join *join;
    uint16_t space;
    unsigned from, to;
};

static void *write_memory(void *arg)
{
    struct part *p = arg;
    struct chv_err err;
    uint8_t data[BLOCK];
    for (unsigned i = p->from; i < p->to; i++) {
        fill(data, i);
        struct chv_record r = {.space = p->space, .op = CHV_OP_FOUND, .sectors = UNIT, .lba = i * UNIT, .data = data, .time_ns = 1};
        CHECK_OK(join_append(p->join, &r, 1, &err), err);
    }
    return NULL;
}

static void check_space(const struct chv_store *store, const char *name, unsigned seed)
{
    const struct chv_space *space;
    struct chv_err err;
    struct chv_store_info info;
    uint8_t want[BLOCK], got[BLOCK];
    chv_store_info(store, &info);
    CHECK_OK(chv_store_find_space(store, name, &space, &err), err);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct chv_extent e;
        CHECK_OK(chv_store_block_at(store, space->id, i, info.last_seq, &e, &err), err);
        CHECK(e.state == CHV_STATE_DATA);
        CHECK_OK(chv_store_read_block(store, e.hash, got, &err), err);
        fill(want, seed + i);
        CHECK(memcmp(want, got, BLOCK) == 0);
    }
}

/* Several threads over one connection, beside the recorder's own writes. */
static void side_by_side(void)
{
    struct fixture f;
    struct chv_err err;
    struct join *join;
    pthread_t disk, threads[THREADS];
    struct part parts[THREADS];
    uint16_t space;
    uint64_t last_seq;
    struct chv_store *store;
    set_up(&f);
    CHECK_OK(join_connect(f.store, &join, &err), err);
    CHECK(join_block_bytes(join) == BLOCK);
    CHECK_OK(join_space(join, "ram", BLOCKS * BLOCK, CHV_REST_ZERO, &space, &err), err);
    CHECK(pthread_create(&disk, NULL, write_disk, &f) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        parts[i] = (struct part){join, space, i * BLOCKS / THREADS, (i + 1) * BLOCKS / THREADS};
        CHECK(pthread_create(&threads[i], NULL, write_memory, &parts[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_join(disk, NULL);
    CHECK_OK(join_sync(join, &last_seq, &err), err);
    CHECK(join_events(join) == BLOCKS);
    CHECK_OK(chv_store_open(f.store, &store, &err), err);
    struct chv_store_info info;
    chv_store_info(store, &info);
    CHECK(info.last_seq >= last_seq && last_seq >= 2 * BLOCKS);
    check_space(store, "ram", 0);
    check_space(store, "disk:vda", 100000);
    chv_store_close(store);
    join_close(join);
    tear_down(&f);
}

/* Each on a connection of its own: an error ends it. */
static int try(const struct fixture *f, const struct chv_record *record, uint64_t space_bytes)
{
    struct chv_err err;
    struct join *join;
    uint16_t space;
    uint64_t seq;
    struct chv_record r = *record;
    CHECK_OK(join_connect(f->store, &join, &err), err);
    CHECK_OK(join_space(join, "ram", space_bytes, CHV_REST_ZERO, &space, &err), err);
    if (r.space == 0) r.space = space;
    int code = join_append(join, &r, 1, &err);
    if (code == 0) code = join_sync(join, &seq, &err);
    join_close(join);
    return code;
}

static void refused(void)
{
    struct fixture f;
    struct chv_err err;
    struct join *join, *second;
    uint16_t space;
    uint8_t data[2 * BLOCK] = {1};
    const uint64_t later = clock_now_ns() + UINT64_C(3600000000000);
    set_up(&f);
    struct chv_record good = {.op = CHV_OP_FOUND, .sectors = UNIT, .data = data}, r;
    CHECK(try(&f, &good, 4 * BLOCK) == 0);
    r = good, r.space = f.disk; /* not ours */
    CHECK(try(&f, &r, 4 * BLOCK) == -EPERM);
    r = good, r.op = CHV_OP_WRITE; /* nobody wrote there */
    CHECK(try(&f, &r, 4 * BLOCK) == -EPERM);
    r = good, r.lba = 4 * UNIT; /* behind the end */
    CHECK(try(&f, &r, 4 * BLOCK) == -EPERM);
    r = good, r.lba = 3 * UNIT, r.sectors = 2 * UNIT;
    CHECK(try(&f, &r, 4 * BLOCK) == -EPERM);
    r = good, r.sectors = UNIT / 2; /* half a block */
    CHECK(try(&f, &r, 4 * BLOCK) == -EPROTO);
    r = good, r.time_ns = later;
    CHECK(try(&f, &r, 4 * BLOCK) == -EPROTO);
    CHECK_OK(join_connect(f.store, &join, &err), err);
    CHECK(join_space(join, "disk:vda", 4 * BLOCK, CHV_REST_ZERO, &space, &err) == -EPERM);
    join_close(join);
    CHECK(join_connect(f.dir, &second, &err) == -ENOENT); /* nobody records there */
    /* the recorder ends while somebody is connected */
    CHECK_OK(join_connect(f.store, &join, &err), err);
    join_server_stop(&f.server);
    uint64_t seq;
    CHECK(join_sync(join, &seq, &err) == -EPIPE);
    join_close(join);
    tear_down(&f);
}

int main(void)
{
    alarm(120);
    side_by_side();
    refused();
    return 0;
}

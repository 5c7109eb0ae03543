/* Buffers of the queue: held beyond their positions, given back, and what a damaged queue says of them. */
#include <errno.h>
#include <fcntl.h>

#include "chronovisor/recorder.h"
#include "store/queue.h"
#include "tests/unit.h"

enum { BLOCK = 512, SLOTS = 64 };

static void append(struct chv_recorder *rec, uint16_t id, uint32_t n, uint8_t fill, const void **hold)
{
    struct chv_err err;
    uint64_t ticket;
    uint8_t data[32 * BLOCK];
    memset(data, fill, sizeof data);
    struct chv_record r = {.space = id, .op = CHV_OP_WRITE, .sectors = n, .data = data, .hold = hold};
    CHECK_OK(chv_recorder_append(rec, &r, 1, &ticket, &err), err);
    CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
}

static void holding(const char *dir)
{
    struct chv_err err;
    struct chv_recorder *rec;
    uint16_t id;
    const void *held[33];
    struct chv_recorder_options o = {.queue_blocks = SLOTS};
    CHECK_OK(chv_recorder_open(dir, &o, &rec, &err), err);
    CHECK_OK(chv_recorder_space(rec, "disk:0", 1000 * BLOCK, CHV_REST_ZERO, NULL, &id, &err), err);
    append(rec, id, 32, 7, held);
    for (uint8_t i = 0; i < 40; i++) append(rec, id, 20, (uint8_t)(100 + i), NULL); /* round and round the other half */
    for (int i = 0; i < 32; i++)
        for (int b = 0; b < BLOCK; b++) CHECK(((const uint8_t *)held[i])[b] == 7);
    chv_recorder_release(rec, held, 32);
    for (uint8_t i = 0; i < 8; i++) append(rec, id, 32, i, NULL);

    static const uint8_t data[33 * BLOCK];
    struct chv_record large = {.space = id, .op = CHV_OP_WRITE, .sectors = 33, .data = data, .hold = held};
    CHECK(chv_recorder_append(rec, &large, 1, NULL, &err) == -EINVAL);
    CHECK_OK(chv_recorder_close(rec, &err), err);
}

/* A queue as a killed recorder leaves it: `count` filled positions, each in the buffer that is named. */
static void left_behind(const char *dir, uint32_t version, const uint32_t *buffers, uint32_t count)
{
    char path[600];
    snprintf(path, sizeof path, "%s/queue", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct queue_file f;
    CHECK(fd >= 0 && pread(fd, &f, sizeof f, 0) == sizeof f);
    f.version = version;
    f.tail = 0;
    f.head = count;
    CHECK(pwrite(fd, &f, sizeof f, 0) == sizeof f);
    for (uint32_t i = 0; i < count; i++) {
        struct slot s = {.state = SLOT_READY, .position = i, .sectors = 1, .lba = i, .space = 1, .op = CHV_OP_WRITE,
                         .has_data = 1, .buffer = buffers[i], .time_ns = 1};
        CHECK(pwrite(fd, &s, sizeof s, (off_t)(4096 + i * sizeof s)) == sizeof s);
    }
    close(fd);
}

static void refused(const char *dir, int code, const char *why)
{
    struct chv_err err;
    struct chv_recorder *rec;
    CHECK(chv_recorder_open(dir, NULL, &rec, &err) == -code);
    CHECK(strstr(err.text, why) != NULL);
}

int main(void)
{
    char dir[256];
    struct chv_err err;
    struct chv_recorder *rec;
    unit_temp_dir(dir);
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
    holding(dir);
    left_behind(dir, QUEUE_VERSION, (const uint32_t[]){3, 4, 3}, 3);
    refused(dir, EBADMSG, "damaged");
    left_behind(dir, QUEUE_VERSION, (const uint32_t[]){SLOTS}, 1);
    refused(dir, EBADMSG, "damaged");
    left_behind(dir, QUEUE_VERSION + 1, (const uint32_t[]){0}, 1);
    refused(dir, EPROTO, "another version");
    left_behind(dir, QUEUE_VERSION, (const uint32_t[]){5, 9}, 2);
    CHECK_OK(chv_recorder_open(dir, NULL, &rec, &err), err);
    struct chv_recorder_stats stats;
    CHECK_OK(chv_recorder_close(rec, &err), err);
    CHECK_OK(chv_recorder_open(dir, NULL, &rec, &err), err);
    chv_recorder_stats(rec, &stats);
    CHECK(stats.queue_blocks == 16384 && stats.last_seq > 2);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    unit_remove_tree(dir);
    return 0;
}

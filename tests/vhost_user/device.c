/* The device as a front-end sees it: every request, several queues, rings that make no sense, messages that make no
 * sense. */
#include <dirent.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sensor/vhost_user/device.h"
#include "store/held.h"
#include "tests/sensor/rig.h"
#include "tests/vhost_user/front.h"

#define DISK_BYTES (8u << 20)
#define SECTORS (DISK_BYTES / 512)

struct served {
    struct session *session;
    int fd, stop;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct served *s = arg;
    struct device *d;
    struct chv_err err;
    CHECK_OK(device_new(s->session, &s->session->captures[0], &d, &err), err);
    device_serve(d, s->fd, s->stop);
    device_free(d);
    close(s->fd);
    return NULL;
}

static void begin(struct served *s, struct front *f, unsigned queues, uint64_t wanted)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    s->fd = pair[0];
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
    front_open(f, pair[1], queues, 1 << 20, wanted);
}

static void end(struct served *s, struct front *f)
{
    front_close(f);
    CHECK(pthread_join(s->thread, NULL) == 0);
}

/* Events in the log with this operation, these flags, and this as the first byte of the hash (0: any). */
static unsigned count_events(const struct rig *rig, uint8_t op, uint8_t flags, uint8_t first)
{
    struct chv_err err;
    struct chv_store *store;
    struct chv_store_info info;
    unsigned n = 0;
    CHECK_OK(chv_store_open(rig->store, &store, &err), err);
    chv_store_info(store, &info);
    for (uint64_t seq = info.first_seq; seq <= info.last_seq; seq++) {
        struct chv_event e;
        CHECK_OK(chv_store_event(store, seq, &e, &err), err);
        n += e.op == op && (e.flags & flags) == flags && (first == 0 || e.hash[0] == first);
    }
    chv_store_close(store);
    return n;
}

static int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static int zero(struct front *f, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } range = {sector, sectors, flags};
    memcpy(front_data(f, 0, 0), &range, sizeof range);
    return front_do(f, 0, type, 0, sizeof range);
}

static void requests(struct served *s)
{
    struct front f;
    begin(s, &f, 2, ~UINT64_C(0));
    CHECK(front_capacity(&f) == SECTORS && front_ask(&f, VU_GET_QUEUE_NUM) == BLK_QUEUES_MAX);
    front_start(&f, 0);
    front_start(&f, 1);
    uint8_t *data = front_data(&f, 0, 0);
    for (unsigned i = 0; i < 1 << 20; i++) data[i] = (uint8_t)(i * 7 + i / 4096);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, 3, 1 << 20) == VIRTIO_BLK_S_OK); /* ragged */
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_IN, 3, 1 << 20) == VIRTIO_BLK_S_OK);
    CHECK(memcmp(front_data(&f, 1, 0), data, 1 << 20) == 0);
    CHECK(zero(&f, VIRTIO_BLK_T_WRITE_ZEROES, 5, 100, 0) == VIRTIO_BLK_S_OK);
    CHECK(zero(&f, VIRTIO_BLK_T_DISCARD, 256, 64, 0) == VIRTIO_BLK_S_OK);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_IN, 3, 4096) == VIRTIO_BLK_S_OK);
    data = front_data(&f, 1, 0);
    CHECK(data[0] == 0 && data[1023] == (uint8_t)(1023 * 7) && data[1024] == 0 && data[4095] == 0);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_GET_ID, 0, 20) == VIRTIO_BLK_S_OK && strcmp((char *)data, "vda") == 0);
    /* what cannot be */
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, SECTORS, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, SECTORS - 1, 1024) == VIRTIO_BLK_S_IOERR);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, UINT64_MAX, 512) == VIRTIO_BLK_S_IOERR);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, 0, 100) == VIRTIO_BLK_S_IOERR);
    CHECK(front_do(&f, 0, 77, 0, 512) == VIRTIO_BLK_S_UNSUPP);
    CHECK(zero(&f, VIRTIO_BLK_T_DISCARD, SECTORS, 8, 0) == VIRTIO_BLK_S_IOERR);
    CHECK(zero(&f, VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0) == VIRTIO_BLK_S_IOERR);
    CHECK(zero(&f, VIRTIO_BLK_T_DISCARD, 0, 8, 1) == VIRTIO_BLK_S_UNSUPP);
    CHECK(zero(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2) == VIRTIO_BLK_S_UNSUPP);
    CHECK(front_stop(&f, 1) == f.queue[1].avail_index);
    front_start(&f, 1);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_IN, 3, 512) == VIRTIO_BLK_S_OK);
    end(s, &f);
}

/* Memory that comes and goes a region at a time, while a ring is in use. */
static void slots(struct served *s)
{
    struct front f;
    struct vu_msg msg;
    struct vu_slot slot = {.region = {.bytes = 1 << 20}};
    int before = open_fds(), file = memfd_create("more", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, 1 << 20) == 0);
    begin(s, &f, 1, ~UINT64_C(0));
    const unsigned most = (unsigned)front_ask(&f, VU_GET_MAX_MEM_SLOTS);
    CHECK(most == VU_FDS_MAX);
    front_start(&f, 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 1; i < most; i++) {
            slot.region.gpa = slot.region.uva = UINT64_C(0x700000000000) + ((uint64_t)i << 21);
            CHECK(front_send(&f, VU_ADD_MEM_REG, &slot, 40, &file, 1));
            CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 8 * i, 4096) == VIRTIO_BLK_S_OK);
        }
        for (unsigned i = 1; i < most; i++) {
            slot.region.gpa = slot.region.uva = UINT64_C(0x700000000000) + ((uint64_t)(i * 3 % most) << 21);
            CHECK(front_send(&f, VU_REM_MEM_REG, &slot, 40, &file, i % 2));
            CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, 8 * i, 4096) == VIRTIO_BLK_S_OK);
        }
    }
    for (unsigned i = 1; i <= most; i++) { /* one more than there are */
        slot.region.gpa = slot.region.uva = UINT64_C(0x700000000000) + ((uint64_t)i << 21);
        CHECK(front_send(&f, VU_ADD_MEM_REG, &slot, 40, &file, 1));
    }
    CHECK(!front_answer(&f, &msg));
    end(s, &f);
    close(file);
    for (int tries = 0; open_fds() > before && tries < 200; tries++) usleep(10000);
    CHECK(open_fds() <= before);
}

/* A driver that knows of no flush: every write it has an answer to is durable, which the log says. */
static void no_flush(struct served *s, const struct rig *rig)
{
    struct front f;
    begin(s, &f, 1, ~(UINT64_C(1) << VIRTIO_BLK_F_FLUSH));
    front_start(&f, 0);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, 80, 4096) == VIRTIO_BLK_S_OK);
    CHECK(count_events(rig, CHV_OP_WRITE, CHV_EVENT_FUA, 0) == 1); /* while recording: it is in the log already */
    end(s, &f);
}

/* Many at once, on two queues, without event index; each slot has blocks of its own. */
static void load(struct served *s, uint64_t *seed)
{
    struct front f;
    begin(s, &f, 2, ~(UINT64_C(1) << 29));
    front_start(&f, 0);
    front_start(&f, 1);
    for (unsigned round = 0; round < 30; round++)
        for (unsigned q = 0; q < 2; q++) {
            for (unsigned slot = 0; slot < 32; slot++) {
                uint64_t block = (uint64_t)(q * 32 + slot) * 16 + unit_random(seed) % 16;
                memset(front_data(&f, q, slot), (int)(round + slot), 4096);
                front_submit(&f, q, slot, slot == 31 ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_OUT, block * 8,
                             slot == 31 ? 0 : 4096);
            }
            front_kick(&f, q);
            for (unsigned n = 0; n < 32; n++) {
                int slot = front_wait(&f, q, 20000);
                CHECK(slot >= 0 && front_status(&f, q, (unsigned)slot) == VIRTIO_BLK_S_OK);
            }
        }
    end(s, &f);
}

/* Many at once on the same few blocks, of sizes that are no whole blocks: whatever order they are done in, the log has
 * the same (rig_same at the end). */
static void overlapping(struct served *s, uint64_t *seed)
{
    struct front f;
    begin(s, &f, 2, ~UINT64_C(0));
    front_start(&f, 0);
    front_start(&f, 1);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned q = 0; q < 2; q++) {
            for (unsigned slot = 0; slot < 32; slot++) {
                unsigned dice = (unsigned)(unit_random(seed) % 16);
                uint32_t bytes = (uint32_t)(1 + unit_random(seed) % 24) * 512;
                uint64_t sector = (round / 20) * 4000 + unit_random(seed) % 64;
                memset(front_data(&f, q, slot), (int)unit_random(seed), bytes);
                front_submit(&f, q, slot, dice == 0 ? VIRTIO_BLK_T_FLUSH : dice < 6 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
                             sector, dice == 0 ? 0 : bytes);
            }
            front_kick(&f, q);
        }
        for (unsigned n = 0; n < 64; n++) {
            int slot = front_wait(&f, n / 32, 20000);
            CHECK(slot >= 0 && front_status(&f, n / 32, (unsigned)slot) == VIRTIO_BLK_S_OK);
        }
    }
    /* a request that is as large as they get, and one that the disk's end cuts */
    for (unsigned i = 0; i < 1 << 20; i++) front_data(&f, 0, 0)[i] = (uint8_t)(i * 3 + i / 512);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, SECTORS - 2048, 1 << 20) == VIRTIO_BLK_S_OK);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_IN, SECTORS - 2048, 1 << 20) == VIRTIO_BLK_S_OK);
    CHECK(memcmp(front_data(&f, 0, 0), front_data(&f, 1, 0), 1 << 20) == 0);
    /* the ring is given back with requests under way */
    for (unsigned slot = 0; slot < 32; slot++)
        front_submit(&f, 0, slot, slot % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 8 * slot, 4096);
    front_kick(&f, 0);
    uint16_t base = front_stop(&f, 0), answered = 0;
    while (front_wait(&f, 0, 0) >= 0) answered++;
    CHECK(answered == (uint16_t)(base - (uint16_t)(f.queue[0].avail_index - 32)));
    end(s, &f);
}

/* One queue goes mad: it stops, the other goes on, and it can be set up anew. */
static void mad_queue(struct served *s)
{
    struct front f;
    begin(s, &f, 2, ~UINT64_C(0));
    front_start(&f, 0);
    front_start(&f, 1);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK);
    f.queue[0].avail_index = (uint16_t)(f.queue[0].avail_index + 1000);
    front_submit(&f, 0, 0, VIRTIO_BLK_T_OUT, 0, 512);
    CHECK(write(f.queue[0].kick, &(uint64_t){1}, 8) == 8);
    CHECK(front_wait(&f, 0, 300) == -1);
    CHECK(front_do(&f, 1, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK);
    front_stop(&f, 0);
    front_start(&f, 0);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK);
    end(s, &f);
}

/* A kick that is always readable must not keep a thread busy for ever. */
static void mad_kick(struct served *s)
{
    struct front f;
    uint64_t index = 0;
    begin(s, &f, 1, ~UINT64_C(0));
    front_start(&f, 0);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK);
    int file = memfd_create("nothing", MFD_CLOEXEC);
    CHECK(front_send(&f, VU_SET_VRING_KICK, &index, 8, &file, 1));
    close(file);
    front_ask(&f, VU_GET_QUEUE_NUM); /* it has been taken up, and is looked at next */
    usleep(200000);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 512) == -1);
    end(s, &f);
}

/* Requests of a device that died are done by the next one. */
static void again(struct served *s)
{
    struct front f;
    struct vu_inflight what = {.queues = 1, .queue_size = FRONT_RING};
    struct vu_msg msg;
    begin(s, &f, 1, ~UINT64_C(0));
    CHECK(front_send(&f, VU_GET_INFLIGHT_FD, &what, 24, NULL, 0) && front_answer(&f, &msg) && msg.fds == 1);
    what = msg.payload.inflight;
    int fd = msg.fd[0];
    uint8_t *map = mmap(NULL, what.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && front_send(&f, VU_SET_INFLIGHT_FD, &what, 24, &fd, 1));
    front_start(&f, 0);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK);
    CHECK(map[8] == 1 && map[16] == 0); /* version; head 0 is not under way */
    CHECK(front_stop(&f, 0) == 1);
    /* as if it had died with slots 2 and 1 taken in this order, and 3 not */
    f.queue[0].avail_index = 0;
    struct front_queue *q = &f.queue[0];
    const uint64_t counters[2] = {8, 9};
    map[16 + 16 * 6] = map[16 + 16 * 3] = 1;
    memcpy(map + 16 + 16 * 6 + 8, &counters[0], 8);
    memcpy(map + 16 + 16 * 3 + 8, &counters[1], 8);
    memset(map + 14, 0, 2); /* the ring begins anew */
    struct vu_state size = {0, FRONT_RING}, base = {0, 0};
    uint64_t index = 0;
    memset(q->desc, 0, 3 * 4096);
    q->used_seen = 0;
    memset(front_data(&f, 0, 1), 0xaa, 4096);
    memset(front_data(&f, 0, 2), 0xbb, 4096);
    front_submit(&f, 0, 2, VIRTIO_BLK_T_OUT, 8000, 4096);
    front_submit(&f, 0, 1, VIRTIO_BLK_T_OUT, 8008, 4096);
    front_submit(&f, 0, 3, VIRTIO_BLK_T_FLUSH, 0, 0);
    CHECK(front_send(&f, VU_SET_VRING_NUM, &size, 8, NULL, 0) && front_send(&f, VU_SET_VRING_BASE, &base, 8, NULL, 0));
    CHECK(front_send(&f, VU_SET_VRING_KICK, &index, 8, &q->kick, 1));
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        int slot = front_wait(&f, 0, 5000);
        CHECK(slot >= 1 && front_status(&f, 0, (unsigned)slot) == VIRTIO_BLK_S_OK);
        seen |= 1u << slot;
    }
    CHECK(seen == 14 && map[16 + 16 * 6] == 0 && map[16 + 16 * 3] == 0);
    munmap(map, what.bytes);
    close(fd);
    end(s, &f);
}

/* What the device writes into the guest's memory is in the log while one is asked for. */
static void dirty(struct served *s)
{
    struct front f;
    struct vu_msg msg;
    begin(s, &f, 1, ~UINT64_C(0));
    uint64_t bytes = (FRONT_GPA + f.ram_bytes) / 4096 / 8 + 1, page = FRONT_GPA / 4096;
    int fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    uint8_t *log = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct vu_log what = {.bytes = bytes};
    front_start(&f, 0);
    struct vu_addr addr = {.flags = VU_ADDR_LOG, .desc = 0x100000000u, .avail = 0x100001000u, .used = 0x100002000u,
                           .log = FRONT_GPA + 0x2000};
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 0, 4096) == VIRTIO_BLK_S_OK);
    CHECK(front_send(&f, VU_SET_LOG_BASE, &what, 16, &fd, 1) && front_answer(&f, &msg));
    uint64_t features = f.features | UINT64_C(1) << 26;
    CHECK(front_send(&f, VU_SET_FEATURES, &features, 8, NULL, 0) &&
          front_send(&f, VU_SET_VRING_ADDR, &addr, 40, NULL, 0));
    front_ask(&f, VU_GET_QUEUE_NUM);
    CHECK(log[page / 8] == 0);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_OUT, 0, 4096) == VIRTIO_BLK_S_OK);
    front_stop(&f, 0);
    CHECK(log[page / 8] == (1 << 2 | 1 << 3)); /* used ring, status; not the data, which was only read */
    munmap(log, bytes);
    close(fd);
    end(s, &f);
}

/* While the store is held, changes wait and nothing else does, however many they are. */
static void held(struct served *s, const struct rig *rig)
{
    struct front f;
    struct chv_err err;
    begin(s, &f, 1, ~UINT64_C(0));
    front_start(&f, 0);
    CHECK_OK(held_place(rig->store, "{}", &err), err);
    while (!hold_is(&s->session->hold)) usleep(5000);
    for (unsigned slot = 1; slot < 33; slot++) front_submit(&f, 0, slot, VIRTIO_BLK_T_OUT, 8 * slot, 4096);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 8, 512) == VIRTIO_BLK_S_OK);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK);
    CHECK(front_wait(&f, 0, 100) == -1);
    CHECK_OK(held_clear(rig->store, &err), err);
    for (unsigned n = 1; n < 33; n++) {
        int slot = front_wait(&f, 0, 10000);
        CHECK(slot > 0 && front_status(&f, 0, (unsigned)slot) == VIRTIO_BLK_S_OK);
    }
    /* a ring that stops is waited for by nobody */
    CHECK_OK(held_place(rig->store, "{}", &err), err);
    while (!hold_is(&s->session->hold)) usleep(5000);
    front_submit(&f, 0, 1, VIRTIO_BLK_T_OUT, 0, 4096);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 8, 512) == VIRTIO_BLK_S_OK);
    CHECK(front_stop(&f, 0) == f.queue[0].avail_index && front_wait(&f, 0, 1000) == 1 &&
          front_status(&f, 0, 1) == VIRTIO_BLK_S_IOERR);
    /* nor is a connection that ends */
    front_start(&f, 0);
    front_submit(&f, 0, 1, VIRTIO_BLK_T_OUT, 0, 4096);
    CHECK(front_do(&f, 0, VIRTIO_BLK_T_IN, 8, 512) == VIRTIO_BLK_S_OK);
    end(s, &f);
    CHECK_OK(held_clear(rig->store, &err), err);
    while (hold_is(&s->session->hold)) usleep(5000);
}

/* The front-end shortens the memory that it shares, while a request is in it: the ring stops, and nothing made up is
 * recorded. */
static void shortened(struct served *s, const struct rig *rig)
{
    const off_t rest[] = {4 * 4096, 3 * 4096, 4096, 0}; /* without the data; the header; the rings; anything */
    for (unsigned i = 0; i < sizeof rest / sizeof *rest + 1; i++) {
        const bool notes = i == sizeof rest / sizeof *rest;
        struct front f;
        unsigned before = count_events(rig, CHV_OP_WRITE, 0, 0),
                 gaps = count_events(rig, CHV_OP_GAP, 0, CHV_GAP_MALFORMED);
        begin(s, &f, 1, ~UINT64_C(0));
        if (notes) front_track(&f);
        front_start(&f, 0);
        CHECK(front_do(&f, 0, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK);
        front_submit(&f, 0, 1, VIRTIO_BLK_T_OUT, 800, 4096);
        CHECK(ftruncate(notes ? f.inflight : f.ram_fd, notes ? 0 : rest[i]) == 0);
        CHECK(write(f.queue[0].kick, &(uint64_t){1}, 8) == 8);
        usleep(100000);
        CHECK(front_ask(&f, VU_GET_QUEUE_NUM) == BLK_QUEUES_MAX); /* it lives */
        end(s, &f);
        for (int tries = 0; count_events(rig, CHV_OP_GAP, 0, CHV_GAP_MALFORMED) == gaps && tries < 100; tries++)
            usleep(20000);
        CHECK(count_events(rig, CHV_OP_GAP, 0, CHV_GAP_MALFORMED) == gaps + 1);
        /* without its note a request can be done, once */
        CHECK(count_events(rig, CHV_OP_WRITE, 0, 0) <= before + notes);
    }
}

/* Messages that end the connection; whatever came with them is closed. */
static void bad_messages(struct served *s)
{
    struct vu_memory table = {.count = 3};
    struct vu_state state = {99, 8}, odd = {0, 100}, large = {0, 4096};
    struct vu_config config = {.offset = 250, .bytes = 60};
    struct vu_addr addr = {.index = 16};
    uint64_t all[5] = {~UINT64_C(0), 3, 1, 1, 1}, kick = 3, none = 0x100;
    const struct { /* what each is checked by: its size, its descriptors, what it says */
        uint32_t request;
        const void *payload;
        uint32_t bytes;
        unsigned fds;
    } bad[] = {
        {0, NULL, 0, 0},
        {200, all, 8, 2},
        {VU_SET_FEATURES, all, 8, 0},
        {VU_SET_FEATURES, all, 4, 0},
        {VU_SET_PROTOCOL_FEATURES, all, 8, 0},
        {VU_GET_FEATURES, all, 8, 1},
        {VU_SET_MEM_TABLE, &table, 8 + 32, 2},
        {VU_SET_MEM_TABLE, &table, 8 + 96, 2},
        {VU_SET_MEM_TABLE, &table, 8 + 96, 3},
        {VU_SET_VRING_NUM, &state, 8, 0},
        {VU_SET_VRING_NUM, &odd, 8, 0},
        {VU_SET_VRING_NUM, &large, 8, 0},
        {VU_SET_VRING_KICK, &kick, 8, 0},
        {VU_SET_VRING_KICK, &kick, 8, 4},
        {VU_SET_VRING_KICK, &none, 8, 0},
        {VU_SET_VRING_KICK, &kick, 8, 1},
        {VU_GET_CONFIG, &config, 12 + 60, 0},
        {VU_SET_CONFIG, &config, 12, 0},
        {VU_SET_LOG_BASE, all, 16, 1},
        {VU_SET_INFLIGHT_FD, all, 20, 1},
        {VU_ADD_MEM_REG, all + 1, 40, 1},
        {VU_ADD_MEM_REG, all + 1, 40, 2},
        {VU_REM_MEM_REG, all + 1, 40, 0},
        {VU_GET_MAX_MEM_SLOTS, NULL, 0, 1},
        {VU_SET_VRING_ADDR, &addr, 40, 0},
        {VU_SET_VRING_BASE, all, 7, 8},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct front f;
        struct vu_msg msg;
        int before = open_fds();
        begin(s, &f, 1, ~UINT64_C(0));
        uint8_t payload[512] = {0};
        if (bad[i].bytes)
            memcpy(payload, bad[i].payload, bad[i].bytes < 8 ? bad[i].bytes : bad[i].bytes == 16 ? 16 : 8);
        int fds[8];
        for (unsigned k = 0; k < 8; k++) fds[k] = f.ram_fd;
        CHECK(front_send(&f, bad[i].request, payload, bad[i].bytes, fds, bad[i].fds));
        bool gone = !front_answer(&f, &msg);
        if (!gone) printf("case %zu was answered\n", i);
        CHECK(gone);
        end(s, &f);
        for (int tries = 0; open_fds() > before && tries < 200; tries++)
            usleep(10000); /* the recorder opens files, too */
        CHECK(open_fds() <= before);
    }
}

int main(int argc, char **argv)
{
    const bool uring = argc > 1 && strcmp(argv[1], "io_uring") == 0;
    uint64_t seed = unit_seed(argc - uring, argv + uring);
    struct rig rig;
    struct served s;
    struct chv_err err;
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, DISK_BYTES / 2, &seed);
    struct session_options options = rig_options(&rig);
    options.uring = uring;
    CHECK_OK(session_open(&options, &s.session, &err), err);
    s.stop = eventfd(0, EFD_CLOEXEC);
    requests(&s);
    slots(&s);
    no_flush(&s, &rig);
    load(&s, &seed);
    overlapping(&s, &seed);
    mad_queue(&s);
    mad_kick(&s);
    again(&s);
    dirty(&s);
    held(&s, &rig);
    bad_messages(&s);
    shortened(&s, &rig);
    CHECK_OK(session_close(s.session, NULL, 0, &err), err);
    close(s.stop);
    CHECK(count_events(&rig, CHV_OP_GAP, 0, CHV_GAP_MALFORMED) == 2 + 5); /* one a mad queue, or shortened memory */
    rig_same(&rig, "disk:vda", rig.disk);
    rig_fini(&rig);
    return 0;
}

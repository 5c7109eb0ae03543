/* A sensor over a real socket: writes a device from a seed and sends the records through visor/out, until all is durable.
 *
 *   sensor HOST PORT KEYFILE BLOCKS RECORDS SEED IMAGE [RATE] [sectors]
 *
 * IMAGE gets what the device holds at the end. RATE: records a second (0: as fast as possible). With `sectors`, some writes are
 * of parts of blocks. Prints the sender's counters. $SENSOR: its name;
 * $SENSOR_CONTENT=unique: hardly any content twice.. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hex.h"
#include "tests/unit.h"
#include "visor/out/sender.h"

#define RING_BYTES (8u << 20)

struct sensor {
    struct sender sender;
    int fd;
    uint64_t seed, blocks, contents; /* contents: how many different ones there are */
    uint8_t *disk;
    bool sectors;
};

static bool transmit(void *arg, const void *frame, size_t n)
{
    struct sensor *s = arg;
    return send(s->fd, frame, n, MSG_DONTWAIT) == (ssize_t)n || errno == ECONNREFUSED;
}

static void pump(struct sensor *s, int timeout_ms)
{
    uint8_t frame[CHV_WIRE_FRAME_BYTES_MAX];
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    ssize_t n;
    sender_poll(&s->sender, clock_now_ns());
    if (timeout_ms) poll(&p, 1, timeout_ms);
    while ((n = recv(s->fd, frame, sizeof frame, MSG_DONTWAIT)) > 0) sender_receive(&s->sender, frame, (size_t)n, clock_now_ns());
    sender_poll(&s->sender, clock_now_ns());
}

static void read_key(const char *path, uint8_t key[32])
{
    char text[64];
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, 64) == 64 && hex_parse(text, key, 32) == 0);
    close(fd);
}

/* The next record and its effect on the disk. Contents repeat now and then, as they do on real disks. */
static void make(struct sensor *s, struct chv_wire_record *r, uint8_t *content)
{
    uint64_t block = unit_random(&s->seed) % s->blocks, kind = unit_random(&s->seed) % 100, x = unit_random(&s->seed) % s->contents + 1;
    uint32_t from = 0, sectors = 8;
    *r = (struct chv_wire_record){.time_ns = clock_now_ns(), .op = CHV_OP_WRITE};
    if (kind < 2) r->op = CHV_OP_FLUSH, sectors = 0, block = 0;
    else if (kind < 6) r->op = CHV_OP_READ, sectors = 64;
    else if (kind < 9) r->op = kind < 8 ? CHV_OP_ZERO : CHV_OP_TRIM, sectors = 8 * (1 + (uint32_t)(x % 4));
    else if (s->sectors && kind < 40) from = (uint32_t)(x % 8), sectors = 1 + (uint32_t)(x / 8 % (8 - from));
    if (block * 8 + sectors > s->blocks * 8) block = s->blocks - (sectors + 7) / 8;
    if (r->op == CHV_OP_WRITE) {
        for (uint32_t i = 0; i < sectors * 512; i += 8) {
            uint64_t v = unit_random(&x);
            memcpy(content + i, &v, 8);
        }
        memcpy(s->disk + block * 4096 + from * 512, content, sectors * 512);
    } else if (r->op == CHV_OP_ZERO || r->op == CHV_OP_TRIM) {
        memset(s->disk + block * 4096, 0, sectors * 512);
    }
    r->lba_lo = (uint32_t)(block * 8 + from);
    r->sectors = sectors;
}

static void run(struct sensor *s, uint64_t records, uint64_t rate)
{
    uint8_t content[4096];
    uint64_t begun = clock_monotonic_ns();
    for (uint64_t n = 0; n < records; n++) {
        struct chv_wire_record r;
        int code;
        make(s, &r, content);
        while ((code = sender_record(&s->sender, &r, content, clock_now_ns())) == SENDER_BUSY) pump(s, 1);
        CHECK(code == SENDER_OK);
        if (n % 16 == 0) pump(s, 0);
        while (rate && clock_monotonic_ns() - begun < n * 1000000000 / rate) pump(s, 1);
    }
    while (!sender_settled(&s->sender)) pump(s, 1);
    double seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    const struct sender_stats *t = &s->sender.stats;
    printf("{\"records\": %llu, \"bytes\": %llu, \"frames\": %llu, \"again\": %llu, \"sessions\": %llu, \"refused\": %llu, "
           "\"busy\": %llu, \"seconds\": %.3f}\n",
           (unsigned long long)t->records, (unsigned long long)t->bytes, (unsigned long long)t->frames,
           (unsigned long long)t->frames_again, (unsigned long long)t->sessions, (unsigned long long)t->refused,
           (unsigned long long)t->busy, seconds);
}

int main(int argc, char **argv)
{
    static struct sensor s;
    CHECK(argc >= 8);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    CHECK(inet_pton(AF_INET, argv[1], &to.sin_addr) == 1);
    s.blocks = strtoull(argv[4], NULL, 0);
    s.seed = strtoull(argv[6], NULL, 0);
    const char *contents = getenv("SENSOR_CONTENT");
    s.contents = contents && strcmp(contents, "unique") == 0 ? UINT64_MAX / 2 : 500;
    s.disk = calloc(s.blocks, 4096);
    s.sectors = argc > 9 && strcmp(argv[9], "sectors") == 0;
    s.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(s.disk && s.blocks >= 8 && s.fd >= 0 && connect(s.fd, (struct sockaddr *)&to, sizeof to) == 0);
    struct sender_config config = {.transmit = transmit, .arg = &s};
    const char *name = getenv("SENSOR");
    snprintf(config.sensor, sizeof config.sensor, "%s", name ? name : "test-sensor");
    read_key(argv[3], config.key);
    CHECK(getrandom(config.seed, sizeof config.seed, 0) == sizeof config.seed);
    size_t n = sender_memory(&config, RING_BYTES);
    void *ring = malloc(n);
    struct chv_device device = {.name = "disk:nvme0n1", .serial = "TEST-0001", .bytes = s.blocks * 4096};
    CHECK(ring && sender_init(&s.sender, &config, ring, n) == 0 && sender_device(&s.sender, &device) == 0);
    run(&s, strtoull(argv[5], NULL, 0), argc > 8 ? strtoull(argv[8], NULL, 0) : 0);
    int fd = open(argv[7], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, s.disk, s.blocks * 4096) == (ssize_t)(s.blocks * 4096));
    close(fd);
    free(ring);
    free(s.disk);
    return 0;
}

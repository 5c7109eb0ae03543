/* A sensor with memory over a real socket: the hypervisor's own code for requests, around RAM of this program's.
 *
 *   memory-sensor HOST PORT KEYFILE SEED IMAGE [SLOW]
 *
 * RAM is 24 MiB at 256 MiB, with a hole of 1 MiB in it; every second page is zeros. IMAGE gets what it holds. Prints the address of a
 * top-level page table that maps 512 of its pages at 400000h, of one that leads to the same page for ever, and of one that leads nowhere, and runs until its standard input ends. SLOW: milliseconds between polls. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hex.h"
#include "tests/unit.h"
#include "visor/arch/x86/bits.h"
#include "visor/core/clock.h"
#include "visor/forensics/forensics.h"
#include "visor/out/sender.h"

#define RING_BYTES (1u << 20)
#define RAM_AT UINT64_C(0x10000000)
#define RAM_BYTES (UINT64_C(24) << 20)
#define HOLE_AT (RAM_AT + (UINT64_C(8) << 20))
#define HOLE_BYTES (UINT64_C(1) << 20)

static struct sender sender;
static int fd;
struct vcpu vcpus[VCPU_MAX];
unsigned vcpu_count = 3;

void vcpu_code(const struct vcpu *v, struct vcpu_code *code)
{
    *code = (struct vcpu_code){v->rip, 64, {CR0_PG, RAM_AT, CR4_PAE, EFER_LMA}};
}

int wire_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes)
{
    struct chv_device device = {.bytes = bytes, .rest = memcmp(name, "proc:", 5) ? CHV_REST_ZERO : CHV_REST_UNKNOWN};
    memcpy(device.name, name, sizeof device.name);
    return sender_device(&sender, &device);
}

struct sender *wire_sender(void)
{
    return &sender;
}

bool wire_spare(void)
{
    return (sender.head - sender.tail) * 2 < sender.capacity;
}

uint64_t clock_ns(void)
{
    return clock_now_ns();
}

static bool transmit(void *arg, const void *frame, size_t n)
{
    return send(fd, frame, n, MSG_DONTWAIT) == (ssize_t)n || errno == ECONNREFUSED;
}

static void read_key(const char *path, uint8_t key[32])
{
    char text[64];
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && read(file, text, 64) == 64 && hex_parse(text, key, 32) == 0);
    close(file);
}

static void fill(uint64_t seed, const char *image)
{
    uint8_t *ram = mmap((void *)RAM_AT, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(ram == (void *)RAM_AT && guest_ram_add(HOLE_AT + HOLE_BYTES, RAM_AT + RAM_BYTES - HOLE_AT - HOLE_BYTES) &&
          guest_ram_add(RAM_AT, HOLE_AT - RAM_AT));
    for (uint64_t at = 0; at < RAM_BYTES; at += 8192)
        for (uint64_t i = 0; i < 4096 && at != HOLE_AT - RAM_AT; i += 8) {
            uint64_t v = unit_random(&seed);
            memcpy(ram + at + i, &v, 8);
        }
    memset(ram + (HOLE_AT - RAM_AT), 0, HOLE_BYTES);
    uint64_t *t = (uint64_t *)(void *)ram; /* pages 0 to 3 are the tables */
    memset(t, 0, 4 * 4096);
    for (uint64_t i = 0; i < 3; i++) t[512 * i + (i == 2 ? 2 : 0)] = (RAM_AT + (i + 1) * 4096) | 7;
    for (uint64_t i = 0; i < 512; i++) t[1536 + i] = (RAM_AT + (511 - i + 4) * 4096) | (i < 256 ? 5 : UINT64_C(0x8000000000000007));
    for (uint64_t i = 0; i < 3; i++) /* pages 600 to 602 lead to 603 by all of their entries; that maps one page */
        for (uint64_t k = 0; k < 512; k++) t[512 * (600 + i) + k] = (RAM_AT + (601 + i) * 4096) | 7;
    memset(t + 512 * 603, 0, 2 * 4096);
    t[512 * 603 + 7] = (RAM_AT + 4096 * 4) | 7;
    int out = open(image, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(out >= 0 && write(out, ram, RAM_BYTES) == (ssize_t)RAM_BYTES);
    close(out);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 6);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(inet_pton(AF_INET, argv[1], &to.sin_addr) == 1 && fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    fill(strtoull(argv[4], NULL, 0), argv[5]);
    struct sender_config config = {.sensor = "memory-sensor", .transmit = transmit, .request = capture_request};
    read_key(argv[3], config.key);
    CHECK(getrandom(config.seed, sizeof config.seed, 0) == sizeof config.seed);
    size_t n = sender_memory(&config, RING_BYTES);
    void *ring = malloc(n);
    struct chv_device device = {.name = "disk:nvme0n1", .bytes = 1 << 20};
    CHECK(ring && sender_init(&sender, &config, ring, n) == 0 && sender_device(&sender, &device) == 0);
    printf("%llx %llx %llx\n", (unsigned long long)RAM_AT, (unsigned long long)RAM_AT + 600 * 4096, (unsigned long long)RAM_AT + 604 * 4096);
    fflush(stdout);
    int slow = argc > 6 ? atoi(argv[6]) : 0;
    for (struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}}; !(p[1].revents & (POLLHUP | POLLIN));) {
        uint8_t frame[CHV_WIRE_FRAME_BYTES_MAX];
        ssize_t got;
        bool busy = capture_poll();
        sender_poll(&sender, clock_now_ns());
        if (slow) usleep((useconds_t)slow * 1000);
        poll(p, 2, busy ? 0 : 2);
        while ((got = recv(fd, frame, sizeof frame, MSG_DONTWAIT)) > 0) sender_receive(&sender, frame, (size_t)got, clock_now_ns());
    }
    free(ring);
    return 0;
}

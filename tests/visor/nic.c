/* The network drivers against QEMU's own devices, without a guest: registers through the qtest protocol, memory shared with the
 * machine, frames on a datagram socket. And with a UDP peer that is hostile.
 *
 *   nic e1000 | e1000e | virtio-net-pci */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit.h"
#include "visor/net/udp.h"

#define RAM_BYTES (64u << 20)
#define MEMORY_AT (16u << 20)
#define BARS_AT 0xe0000000u
#define SLOT 4u

struct machine {
    int qtest, wire;
    FILE *in;
    pid_t pid;
    uint8_t *ram;
    uint32_t bars[6];
    char dir[256];
};

static uint32_t ask(struct machine *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static uint32_t ask(struct machine *m, const char *fmt, ...)
{
    char line[256];
    va_list list;
    va_start(list, fmt);
    int n = vsnprintf(line, sizeof line, fmt, list);
    va_end(list);
    CHECK(write(m->qtest, line, (size_t)n) == n);
    CHECK(fgets(line, sizeof line, m->in) && strncmp(line, "OK", 2) == 0);
    return line[2] == ' ' ? (uint32_t)strtoull(line + 3, NULL, 0) : 0;
}

static uint32_t config_read(void *arg, unsigned reg)
{
    ask(arg, "outl 0xcf8 0x%x\n", 0x80000000u | SLOT << 11 | reg);
    return ask(arg, "inl 0xcfc\n");
}
static void config_write(void *arg, unsigned reg, uint32_t value)
{
    ask(arg, "outl 0xcf8 0x%x\n", 0x80000000u | SLOT << 11 | reg);
    ask(arg, "outl 0xcfc 0x%x\n", value);
}
static uint32_t bus_read(void *arg, unsigned bar, uint32_t offset, unsigned width)
{
    struct machine *m = arg;
    return ask(m, "read%c 0x%x\n", "?bw?l"[width], m->bars[bar] + offset);
}
static void bus_write(void *arg, unsigned bar, uint32_t offset, unsigned width, uint32_t value)
{
    struct machine *m = arg;
    ask(m, "write%c 0x%x 0x%x\n", "?bw?l"[width], m->bars[bar] + offset, value);
}
static uint64_t physical(void *arg, const void *p)
{
    return (uint64_t)((const uint8_t *)p - ((struct machine *)arg)->ram);
}
static void pause_us(void *arg, unsigned us)
{
    (void)arg;
    usleep(us);
}

static struct sockaddr_un unix_at(const char *dir, const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    CHECK(snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", dir, name) < (int)sizeof a.sun_path);
    return a;
}

static void start(struct machine *m, const char *device)
{
    char ram[300], net[700], qtest[300], spec[100], memory[400], bios[300];
    unit_temp_dir(m->dir);
    snprintf(ram, sizeof ram, "%s/ram", m->dir);
    int fd = open(ram, O_RDWR | O_CREAT, 0600), listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && ftruncate(fd, RAM_BYTES) == 0);
    m->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    /* A processor that halts at once, with interrupts off: Debian's QEMU has no accelerator that has none, and the network
     * only runs while the machine does. */
    static uint8_t halt[1 << 16];
    memset(halt, 0xf4, sizeof halt);
    snprintf(bios, sizeof bios, "%s/bios", m->dir);
    fd = open(bios, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, halt, sizeof halt) == (ssize_t)sizeof halt);
    close(fd);
    struct sockaddr_un q = unix_at(m->dir, "q"), near = unix_at(m->dir, "near");
    m->wire = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(m->ram != MAP_FAILED && bind(listener, (struct sockaddr *)&q, sizeof q) == 0 && listen(listener, 1) == 0);
    CHECK(bind(m->wire, (struct sockaddr *)&near, sizeof near) == 0);
    snprintf(qtest, sizeof qtest, "unix:%s/q", m->dir);
    snprintf(memory, sizeof memory, "memory-backend-file,id=m,mem-path=%s,share=on,size=%u", ram, RAM_BYTES);
    snprintf(net, sizeof net, "dgram,id=n,local.type=unix,local.path=%s/far,remote.type=unix,remote.path=%s/near", m->dir, m->dir);
    snprintf(spec, sizeof spec, "%s,netdev=n,addr=%u,romfile=,mac=52:54:00:12:34:56", device, SLOT);
    m->pid = fork();
    if (m->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M", "q35,memory-backend=m", "-accel", "tcg", "-bios", bios, "-m", "64M", "-object",
               memory, "-nodefaults", "-display", "none", "-qtest", qtest, "-qtest-log", "/dev/null", "-netdev", net, "-device", spec,
               (char *)NULL);
        _exit(77);
    }
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int status;
    for (int i = 0; poll(&p, 1, 100) == 0; i++) {
        if (waitpid(m->pid, &status, WNOHANG) == m->pid) {
            unit_remove_tree(m->dir);
            printf("SKIP: needs qemu-system-x86_64\n");
            exit(77);
        }
        CHECK(i < 300);
    }
    m->qtest = accept(listener, NULL, NULL);
    m->in = fdopen(dup(m->qtest), "r");
    close(listener);
    for (unsigned bar = 0; bar < 6; bar++) { /* all memory BARs, as large as any of them is; I/O BARs stay where they are */
        if (config_read(m, 0x10 + 4 * bar) & 1) continue;
        m->bars[bar] = BARS_AT + bar * 0x100000;
        bool wide = (config_read(m, 0x10 + 4 * bar) & 6) == 4;
        config_write(m, 0x10 + 4 * bar, m->bars[bar]);
        if (wide) config_write(m, 0x10 + 4 * ++bar, 0);
    }
}

static void stop(struct machine *m)
{
    kill(m->pid, SIGKILL);
    waitpid(m->pid, NULL, 0);
    fclose(m->in);
    close(m->qtest);
    close(m->wire);
    munmap(m->ram, RAM_BYTES);
    unit_remove_tree(m->dir);
}

/* --- the other end of the wire ---------------------------------------------------------------------- */

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 9};

static size_t hear(struct machine *m, uint8_t *frame, int timeout_ms)
{
    struct pollfd p = {.fd = m->wire, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) <= 0) return 0;
    ssize_t n = recv(m->wire, frame, 2048, 0);
    return n > 0 ? (size_t)n : 0;
}

static void say(struct machine *m, const uint8_t *frame, size_t n)
{
    struct sockaddr_un far = unix_at(m->dir, "far");
    CHECK(sendto(m->wire, frame, n, 0, (struct sockaddr *)&far, sizeof far) == (ssize_t)n);
}

struct heard {
    unsigned count;
    size_t n;
    uint8_t data[2048];
};

static void on_data(void *arg, void *data, size_t n, uint64_t now_ns)
{
    struct heard *h = arg;
    (void)now_ns;
    h->count++;
    h->n = n;
    memcpy(h->data, data, n);
}

static void answer_arp(struct machine *m, const struct udp *u)
{
    uint8_t f[2048] = {0}, reply[60] = {0};
    CHECK(hear(m, f, 2000) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 1);
    CHECK(memcmp(f + 6, "\x52\x54\x00\x12\x34\x56", 6) == 0 && memcmp(f + 38, u->next_hop, 4) == 0);
    memcpy(reply, f + 6, 6);
    memcpy(reply + 6, peer_mac, 6);
    memcpy(reply + 12, f + 12, 8);
    reply[21] = 2;
    memcpy(reply + 22, peer_mac, 6);
    memcpy(reply + 28, f + 38, 4);
    memcpy(reply + 32, f + 22, 10);
    say(m, reply, sizeof reply);
}

/* Turn a datagram of ours round, as the peer would answer it. */
static void turn(uint8_t *f, size_t n)
{
    uint8_t t[6];
    memcpy(t, f, 6), memcpy(f, f + 6, 6), memcpy(f + 6, t, 6);
    memcpy(t, f + 26, 4), memcpy(f + 26, f + 30, 4), memcpy(f + 30, t, 4);
    memcpy(t, f + 34, 2), memcpy(f + 34, f + 36, 2), memcpy(f + 36, t, 2);
    (void)n; /* both checksums are of sums: they stay */
}

static void wait_for_data(struct udp *u, struct heard *h, unsigned count)
{
    for (int i = 0; i < 2000 && h->count < count; i++) {
        udp_poll(u, 1000, on_data, h);
        usleep(500);
    }
}

static void datagrams(struct machine *m, struct udp *u, uint64_t seed)
{
    struct heard h = {0};
    uint8_t data[UDP_BYTES_MAX], f[2048];
    for (unsigned round = 0; round < 600; round++) { /* several times round each ring */
        size_t n = round == 0 ? UDP_BYTES_MAX : 1 + unit_random(&seed) % UDP_BYTES_MAX;
        for (size_t i = 0; i < n; i++) data[i] = (uint8_t)unit_random(&seed);
        CHECK(udp_transmit(u, data, n));
        size_t got = hear(m, f, 2000);
        CHECK(got >= 42 + n && memcmp(f, peer_mac, 6) == 0 && memcmp(f + 42, data, n) == 0);
        if (round % 4) continue;
        turn(f, got);
        say(m, f, got);
        unsigned before = h.count;
        wait_for_data(u, &h, before + 1);
        CHECK(h.count == before + 1 && h.n == n && memcmp(h.data, data, n) == 0);
    }
}

/* One byte of a good datagram changed: it is dropped, unless nothing checks that byte. */
static void hostile(struct machine *m, struct udp *u)
{
    struct heard h = {0};
    uint8_t data[64] = {1, 2, 3}, f[2048];
    CHECK(udp_transmit(u, data, sizeof data));
    size_t n = hear(m, f, 2000);
    turn(f, n);
    for (size_t at = 12; at < n; at++) {
        uint8_t copy[2048];
        memcpy(copy, f, n);
        copy[at] ^= 0x5a;
        say(m, copy, n);
    }
    for (size_t cut = 14; cut < n; cut += 7) say(m, f, cut); /* QEMU pads the shortest; their lengths lie then */
    uint64_t enough = u->dropped + u->nic->dropped + n - 12; /* some cards look at checksums themselves */
    for (int i = 0; i < 2000 && u->dropped + u->nic->dropped < enough; i++) {
        udp_poll(u, 1000, on_data, &h);
        usleep(500);
    }
    CHECK(h.count == 0 && u->dropped + u->nic->dropped >= enough);
    say(m, f, n);
    wait_for_data(u, &h, 1);
    CHECK(h.count == 1);
}

/* More than anybody takes: whatever the card refuses, it goes on afterwards. */
static void full(struct machine *m, struct udp *u)
{
    uint8_t data[1000] = {0}, f[2048];
    unsigned sent = 0, refused = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (udp_transmit(u, data, sizeof data))
            sent++;
        else
            refused++;
    }
    unsigned heard = 0;
    while (hear(m, f, 300) > 0) heard++;
    printf("%u sent, %u refused, %u heard\n", sent, refused, heard);
    CHECK(sent > 100 && udp_transmit(u, data, sizeof data));
}

int main(int argc, char **argv)
{
    static struct machine m;
    static struct nic nic;
    static struct udp u;
    CHECK(argc > 1);
    uint64_t seed = unit_seed(argc - 1, argv + 1);
    start(&m, argv[1]);
    struct nic_bus bus = {&m, bus_read, bus_write, config_read, config_write, physical, pause_us};
    CHECK(nic_init(&nic, &bus, m.ram + MEMORY_AT));
    CHECK(memcmp(nic.mac, "\x52\x54\x00\x12\x34\x56", 6) == 0);
    struct udp_config config = {{10, 0, 0, 2}, {255, 255, 255, 0}, {10, 0, 0, 254}, {192, 0, 2, 7}, 7001, 7117};
    CHECK(udp_init(&u, &nic, &config) && !udp_transmit(&u, "x", 1));
    struct heard h = {0};
    udp_poll(&u, 1000, on_data, &h);
    answer_arp(&m, &u);
    for (int i = 0; i < 2000 && !u.resolved; i++) {
        udp_poll(&u, 1000, on_data, &h);
        usleep(1000);
    }
    CHECK(u.resolved && memcmp(u.hop_mac, peer_mac, 6) == 0);
    datagrams(&m, &u, seed);
    hostile(&m, &u);
    full(&m, &u);
    stop(&m);
    return 0;
}

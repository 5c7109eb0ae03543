/* RFC 768, 791, 826, 1071. */
#include "visor/net/udp.h"

#define ASK_NS UINT64_C(500000000)
#define REFRESH_NS UINT64_C(60000000000)
#define FRAMES_A_POLL 64
#define ARP_BYTES 42u

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    return __builtin_memcmp(a, b, n) == 0;
}

/* The sum goes on over several pieces, of which all but the last have an even length. In our own byte order and 32 bits at a time: RFC 1071, 2. */
static uint32_t add(uint32_t sum, const uint8_t *p, size_t n)
{
    uint64_t words = 0;
    for (uint32_t word; n > 3; n -= 4, p += 4, words += word) __builtin_memcpy(&word, p, 4);
    for (unsigned i = 0; i < n; i++) words += (uint64_t)p[i] << 8 * (i % 2);
    while (words >> 16) words = (words & 0xffff) + (words >> 16);
    return sum + (uint32_t)((words & 0xff) << 8 | words >> 8);
}

static unsigned fold(uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

bool udp_parse_address(const char *text, uint8_t address[4])
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned v = 0, digits = 0;
        for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++) v = v * 10 + (unsigned)(*text - '0');
        if (digits == 0 || v > 255 || *text != (i < 3 ? '.' : 0)) return false;
        address[i] = (uint8_t)v;
        text++;
    }
    return true;
}

bool udp_init(struct udp *u, struct nic *nic, const struct udp_config *config)
{
    bool near = true, any = false;
    __builtin_memset(u, 0, sizeof *u);
    u->config = *config;
    u->nic = nic;
    for (unsigned i = 0; i < 4; i++) {
        near &= ((config->address[i] ^ config->peer[i]) & config->mask[i]) == 0;
        any |= config->gateway[i] != 0;
    }
    __builtin_memcpy(u->next_hop, near ? config->peer : config->gateway, 4);
    return (near || any) && config->port && config->peer_port && config->address[0] && config->peer[0] &&
           !same(config->address, config->peer, 4);
}

static void ethernet(const struct udp *u, uint8_t *head, const uint8_t to[6], unsigned type)
{
    __builtin_memcpy(head, to, 6);
    __builtin_memcpy(head + 6, u->nic->mac, 6);
    put16(head + 12, type);
}

static void send_arp(struct udp *u, unsigned operation, const uint8_t to_mac[6], const uint8_t to[4])
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, fixed[6] = {0, 1, 8, 0, 6, 4};
    uint8_t packet[60] = {0}; /* the least that Ethernet carries */
    ethernet(u, packet, operation == 1 ? everybody : to_mac, 0x0806);
    __builtin_memcpy(packet + 14, fixed, 6);
    put16(packet + 20, operation);
    __builtin_memcpy(packet + 22, u->nic->mac, 6);
    __builtin_memcpy(packet + 28, u->config.address, 4);
    if (operation == 2) __builtin_memcpy(packet + 32, to_mac, 6);
    __builtin_memcpy(packet + 38, to, 4);
    u->nic->send(u->nic, packet, sizeof packet, packet, 0);
}

/* An answer counts only from whom we ask for; it may be forged on the local network, as ARP's always may: frames are sealed. */
static void receive_arp(struct udp *u, const uint8_t *p, size_t n)
{
    static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4};
    if (n < ARP_BYTES || !same(p + 14, fixed, 6) || !same(p + 38, u->config.address, 4)) {
        u->dropped++;
        return;
    }
    if (same(p + 28, u->next_hop, 4) && !(p[22] & 1)) {
        __builtin_memcpy(u->hop_mac, p + 22, 6);
        u->resolved = true;
    }
    if (get16(p + 20) == 1) send_arp(u, 2, p + 22, p + 28);
}

static uint32_t pseudo_header(const uint8_t *ip, size_t udp_bytes)
{
    return add(add(17 + (uint32_t)udp_bytes, ip + 12, 4), ip + 16, 4);
}

bool udp_transmit(void *arg, const void *data, size_t n)
{
    struct udp *u = arg;
    uint8_t head[UDP_HEAD_BYTES] = {0}, *ip = head + 14, *udp = head + 34;
    if (!u->resolved || n > UDP_BYTES_MAX) return false;
    ethernet(u, head, u->hop_mac, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(28 + n));
    put16(ip + 4, u->id++);
    ip[6] = 0x40; /* do not fragment */
    ip[8] = 64;
    ip[9] = 17;
    __builtin_memcpy(ip + 12, u->config.address, 4);
    __builtin_memcpy(ip + 16, u->config.peer, 4);
    put16(ip + 10, ~fold(add(0, ip, 20)));
    put16(udp, u->config.port);
    put16(udp + 2, u->config.peer_port);
    put16(udp + 4, (unsigned)(8 + n));
    unsigned sum = ~fold(add(add(pseudo_header(ip, 8 + n), udp, 8), data, n)) & 0xffff;
    put16(udp + 6, sum ? sum : 0xffff); /* 0 would mean: none */
    if (!u->nic->send(u->nic, head, sizeof head, data, n)) return false;
    u->sent++;
    return true;
}

/* The length of what is in it for us, behind UDP_HEAD_BYTES; 0: nothing. */
static size_t accept(const struct udp *u, const uint8_t *p, size_t n)
{
    const uint8_t *ip = p + 14, *udp = p + 34;
    if (n < UDP_HEAD_BYTES || get16(p + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17 || (get16(ip + 6) & 0x3fff)) return 0;
    size_t total = get16(ip + 2), bytes = get16(udp + 4);
    if (total > n - 14 || total < 28 || bytes < 8 || bytes > total - 20) return 0;
    if (!same(ip + 12, u->config.peer, 4) || !same(ip + 16, u->config.address, 4)) return 0;
    if (get16(udp) != u->config.peer_port || get16(udp + 2) != u->config.port || fold(add(0, ip, 20)) != 0xffff) return 0;
    if (get16(udp + 6) != 0 && fold(add(pseudo_header(ip, bytes), udp, bytes)) != 0xffff) return 0;
    return bytes - 8;
}

void udp_poll(struct udp *u, uint64_t now_ns, udp_receive *receive, void *arg)
{
    if (!u->asked_ns || now_ns - u->asked_ns > (u->resolved ? REFRESH_NS : ASK_NS)) {
        u->asked_ns = now_ns ? now_ns : 1;
        send_arp(u, 1, u->nic->mac, u->next_hop);
    }
    for (unsigned i = 0; i < FRAMES_A_POLL; i++) {
        size_t n = u->nic->poll(u->nic, u->frame, sizeof u->frame), data;
        if (n == 0) return;
        if (n >= 14 && get16(u->frame + 12) == 0x0806) {
            receive_arp(u, u->frame, n);
        } else if ((data = accept(u, u->frame, n)) > 0) {
            u->received++;
            receive(arg, u->frame + UDP_HEAD_BYTES, data, now_ns);
        } else {
            u->dropped++;
        }
    }
}

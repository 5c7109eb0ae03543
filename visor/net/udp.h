/* UDP over IPv4 to one peer, with static addresses: as much as the way out needs, and nothing that could be talked to beyond it.
 *
 * Answers ARP requests for its own address; asks for the peer's (or the gateway's) link address. Fragments, IP options and
 * everything that is not from the peer are dropped. */
#ifndef VISOR_NET_UDP_H
#define VISOR_NET_UDP_H

#include "visor/net/nic.h"

#define UDP_HEAD_BYTES 42u /* Ethernet, IPv4, UDP */
#define UDP_BYTES_MAX (NIC_FRAME_BYTES - UDP_HEAD_BYTES)

struct udp_config {
    uint8_t address[4], mask[4], gateway[4], peer[4]; /* gateway: used when the peer is in another network */
    uint16_t port, peer_port;
};

struct udp {
    struct udp_config config;
    struct nic *nic;
    uint8_t next_hop[4], hop_mac[6];
    bool resolved;
    uint64_t asked_ns; /* the last ARP request */
    uint16_t id;
    uint64_t sent, received, dropped;
    uint8_t frame[NIC_FRAME_BYTES];
};

/* What comes in from the peer, borrowed until it returns; it may change the bytes. */
typedef void udp_receive(void *arg, void *data, size_t n, uint64_t now_ns);

/* False: addresses that make no sense. */
bool udp_init(struct udp *u, struct nic *nic, const struct udp_config *config);
/* A sender_transmit (visor/out): false until the peer's link address is known, and when the card has no room. */
bool udp_transmit(void *udp, const void *data, size_t n);
/* Take in what has arrived, at most 64 frames; ask for the link address while it is not known, and again every minute. */
void udp_poll(struct udp *u, uint64_t now_ns, udp_receive *receive, void *arg);

/* "192.0.2.1"; false if it is not an address. */
bool udp_parse_address(const char *text, uint8_t address[4]);

#endif

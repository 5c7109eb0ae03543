/* A network card that is the hypervisor's own: polled, no interrupts, every descriptor and buffer taken at boot.
 *
 * A driver sees its device only through struct nic_bus, so that tests can put a fake one behind it. One caller at a time. */
#ifndef VISOR_NET_NIC_H
#define VISOR_NET_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIC_FRAME_BYTES 1514u   /* Ethernet, without its checksum */
#define NIC_BUFFER_BYTES 2048u
#define NIC_SENDS 256u          /* descriptors of each ring */
#define NIC_RECEIVES 128u
#define NIC_RINGS_BYTES 16384u
#define NIC_MEMORY_BYTES (NIC_RINGS_BYTES + (NIC_SENDS + NIC_RECEIVES) * NIC_BUFFER_BYTES) /* aligned to 4096, zeroed */

struct nic_bus {
    void *arg;
    /* Registers of a memory BAR, `width` 1, 2 or 4 bytes. */
    uint32_t (*read)(void *arg, unsigned bar, uint32_t offset, unsigned width);
    void (*write)(void *arg, unsigned bar, uint32_t offset, unsigned width, uint32_t value);
    /* Configuration space, by 32-bit registers. */
    uint32_t (*config_read)(void *arg, unsigned reg);
    void (*config_write)(void *arg, unsigned reg, uint32_t value);
    /* The device's address of memory that was given to the driver. */
    uint64_t (*physical)(void *arg, const void *p);
    void (*pause)(void *arg, unsigned microseconds);
};

struct nic {
    /* An Ethernet frame in two parts, head and body, is copied and on its way. False: all descriptors are in use. */
    bool (*send)(struct nic *nic, const void *head, size_t head_bytes, const void *body, size_t body_bytes);
    /* The next received frame is copied to `frame` (at most `room` bytes of it); 0: there is none. */
    size_t (*poll)(struct nic *nic, void *frame, size_t room);
    uint8_t mac[6];

    /* the drivers' */
    struct nic_bus bus;
    uint8_t *rings, *send_buffers, *receive_buffers;
    uint32_t send_next, send_done, receive_next; /* counted on for ever */
    uint32_t sends, receives;                    /* descriptors in use */
    bool busy[NIC_RECEIVES];                     /* virtio: buffers that the device sends from */
    uint64_t dropped;                            /* received and not taken: damaged, or too long */
    unsigned common_bar, notify_bar;             /* virtio: where its structures are */
    uint32_t common, notify[2];
};

/* `memory` is NIC_MEMORY_BYTES; borrowed for good. False: not a device of this driver, or one that does not come up. */
bool e1000_init(struct nic *nic, const struct nic_bus *bus, void *memory);      /* 8086:100e (82540EM), 8086:10d3 (82574L) */
bool virtio_net_init(struct nic *nic, const struct nic_bus *bus, void *memory); /* 1af4:1041, and 1af4:1000 if it is modern too */
/* Whichever it is. */
bool nic_init(struct nic *nic, const struct nic_bus *bus, void *memory);

/* nic.c, for the drivers: shares out the memory, lets the device reach it, and the like. */
void nic_begin(struct nic *nic, const struct nic_bus *bus, void *memory);
uint8_t *nic_send_buffer(struct nic *nic, uint32_t number);
uint8_t *nic_receive_buffer(struct nic *nic, uint32_t number);
size_t nic_take(struct nic *nic, const uint8_t *from, size_t bytes, void *frame, size_t room);

#endif

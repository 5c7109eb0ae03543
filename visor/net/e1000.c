/* Intel 82540EM and 82574L with legacy descriptors: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual (317453), chapters 3, 13 and 14; 82574 datasheet, chapters 7 and 10. */
#include "visor/net/nic.h"

enum {
    CTRL = 0x0000, STATUS = 0x0008, ICR = 0x00c0, IMC = 0x00d8, RCTL = 0x0100, TCTL = 0x0400, TIPG = 0x0410,
    RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818,
    TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818,
    RFCTL = 0x5008, MTA = 0x5200, RAL = 0x5400, RAH = 0x5404,
};
#define CTRL_ASDE (1u << 5)
#define CTRL_SLU (1u << 6)
#define CTRL_RST (1u << 26)
#define RCTL_EN (1u << 1)
#define RCTL_BAM (1u << 15)   /* broadcasts: ARP */
#define RCTL_SECRC (1u << 26) /* without the Ethernet checksum; buffers of 2048 bytes are what 0 means */
#define TCTL_VALUE (1u << 1 | 1u << 3 | 0x0fu << 4 | 0x40u << 12) /* on, pad short ones, collisions as the manual says */
#define TIPG_VALUE (10u | 10u << 10 | 10u << 20)
#define RAH_VALID (1u << 31)

struct descriptor {
    uint64_t address;
    uint16_t length;
    uint8_t checksum_offset, command; /* of a receive descriptor: the checksum */
    uint8_t status, errors;           /* the first byte behind the command of both kinds is the status */
    uint16_t special;
};
_Static_assert(sizeof(struct descriptor) == 16, "legacy descriptor");
#define COMMAND_EOP 1u
#define COMMAND_IFCS 2u
#define COMMAND_RS 8u
#define STATUS_DD 1u
#define STATUS_EOP 2u

static uint32_t get(struct nic *nic, uint32_t reg)
{
    return nic->bus.read(nic->bus.arg, 0, reg, 4);
}

static void set(struct nic *nic, uint32_t reg, uint32_t value)
{
    nic->bus.write(nic->bus.arg, 0, reg, 4, value);
}

static volatile struct descriptor *send_ring(struct nic *nic)
{
    return (volatile struct descriptor *)(void *)nic->rings;
}

static volatile struct descriptor *receive_ring(struct nic *nic)
{
    return send_ring(nic) + NIC_SENDS;
}

static bool e1000_send(struct nic *nic, const void *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    volatile struct descriptor *ring = send_ring(nic);
    while (nic->send_done != nic->send_next && (ring[nic->send_done % NIC_SENDS].status & STATUS_DD)) nic->send_done++;
    /* one stays free: head and tail alike mean an empty ring */
    if (nic->send_next - nic->send_done >= NIC_SENDS - 1 || head_bytes + body_bytes > NIC_FRAME_BYTES) return false;
    volatile struct descriptor *d = &ring[nic->send_next % NIC_SENDS];
    uint8_t *buffer = nic_send_buffer(nic, nic->send_next);
    __builtin_memcpy(buffer, head, head_bytes);
    __builtin_memcpy(buffer + head_bytes, body, body_bytes);
    d->length = (uint16_t)(head_bytes + body_bytes);
    d->status = 0;
    d->command = COMMAND_EOP | COMMAND_IFCS | COMMAND_RS;
    nic->send_next++;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    set(nic, TDT, nic->send_next % NIC_SENDS);
    return true;
}

static size_t e1000_poll(struct nic *nic, void *frame, size_t room)
{
    for (unsigned i = 0; i < NIC_RECEIVES; i++) {
        volatile struct descriptor *d = &receive_ring(nic)[nic->receive_next % NIC_RECEIVES];
        uint8_t status = d->status, errors = d->errors;
        if (!(status & STATUS_DD)) return 0;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        size_t bytes = d->length;
        if (!(status & STATUS_EOP) || errors) bytes = 0;
        size_t taken = nic_take(nic, nic_receive_buffer(nic, nic->receive_next), bytes, frame, room);
        d->status = 0;
        __atomic_thread_fence(__ATOMIC_RELEASE);
        set(nic, RDT, nic->receive_next % NIC_RECEIVES); /* this one is the device's again, up to it */
        nic->receive_next++;
        if (taken > 0) return taken;
    }
    return 0;
}

static bool reset(struct nic *nic)
{
    set(nic, IMC, 0xffffffff);
    set(nic, RCTL, 0);
    set(nic, TCTL, 0);
    set(nic, CTRL, get(nic, CTRL) | CTRL_RST);
    for (unsigned i = 0; i < 100; i++) {
        nic->bus.pause(nic->bus.arg, 1000);
        if (get(nic, CTRL) & CTRL_RST) continue;
        set(nic, IMC, 0xffffffff);
        get(nic, ICR);
        return true;
    }
    return false;
}

/* The manual's order: rings first, then the units that use them. */
static void start(struct nic *nic)
{
    uint64_t sends = nic->bus.physical(nic->bus.arg, nic->rings), receives = sends + NIC_SENDS * sizeof(struct descriptor);
    for (uint32_t i = 0; i < NIC_SENDS; i++) send_ring(nic)[i].address = nic->bus.physical(nic->bus.arg, nic_send_buffer(nic, i));
    for (uint32_t i = 0; i < NIC_RECEIVES; i++)
        receive_ring(nic)[i].address = nic->bus.physical(nic->bus.arg, nic_receive_buffer(nic, i));
    set(nic, CTRL, get(nic, CTRL) | CTRL_SLU | CTRL_ASDE);
    for (uint32_t i = 0; i < 128; i++) set(nic, MTA + 4 * i, 0);
    set(nic, RFCTL, 0);
    set(nic, RDBAL, (uint32_t)receives);
    set(nic, RDBAH, (uint32_t)(receives >> 32));
    set(nic, RDLEN, NIC_RECEIVES * sizeof(struct descriptor));
    set(nic, RDH, 0);
    set(nic, RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
    set(nic, RDT, NIC_RECEIVES - 1);
    set(nic, TDBAL, (uint32_t)sends);
    set(nic, TDBAH, (uint32_t)(sends >> 32));
    set(nic, TDLEN, NIC_SENDS * sizeof(struct descriptor));
    set(nic, TDH, 0);
    set(nic, TDT, 0);
    set(nic, TIPG, TIPG_VALUE);
    set(nic, TCTL, TCTL_VALUE);
}

bool e1000_init(struct nic *nic, const struct nic_bus *bus, void *memory)
{
    uint32_t id = bus->config_read(bus->arg, 0);
    if (id != 0x100e8086 && id != 0x10d38086) return false;
    nic_begin(nic, bus, memory);
    nic->sends = NIC_SENDS;
    nic->receives = NIC_RECEIVES;
    if (!reset(nic)) return false;
    uint32_t low = get(nic, RAL), high = get(nic, RAH);
    for (unsigned i = 0; i < 6; i++) nic->mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
    set(nic, RAH, high | RAH_VALID);
    start(nic);
    nic->send = e1000_send;
    nic->poll = e1000_poll;
    return true;
}

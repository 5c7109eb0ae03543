/* virtio-net over PCI, as of Virtual I/O Device 1.1: 4.1 (PCI), 2.6 (split virtqueues), 5.1 (network device). */
#include "visor/net/nic.h"

enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_DEVICE = 4 };
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8 };
enum { /* struct virtio_pci_common_cfg */
    FEATURE_SELECT = 0, FEATURE = 4, DRIVER_FEATURE_SELECT = 8, DRIVER_FEATURE = 12, STATUS = 20, QUEUE_SELECT = 22,
    QUEUE_SIZE = 24, QUEUE_ENABLE = 28, QUEUE_NOTIFY = 30, QUEUE_DESC = 32, QUEUE_DRIVER = 40, QUEUE_DEVICE = 48,
};
#define FEATURE_MAC (1u << 5)       /* of the first 32 */
#define FEATURE_VERSION_1 (1u << 0) /* of the second */
#define HEADER_BYTES 12u            /* struct virtio_net_hdr, with num_buffers since VERSION_1 */
#define QUEUE_BYTES 8192u           /* of the rings' memory, each queue */
#define AVAIL_AT 4096u
#define USED_AT 6144u
#define DESC_WRITE 2u
#define AVAIL_NO_INTERRUPT 1u

enum { RECEIVE = 0, SEND = 1 };

struct desc {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};
struct avail {
    uint16_t flags, index, ring[NIC_RECEIVES];
};
struct used {
    uint16_t flags, index;
    struct {
        uint32_t id, bytes;
    } ring[NIC_RECEIVES];
};
_Static_assert(NIC_RECEIVES * sizeof(struct desc) <= AVAIL_AT && sizeof(struct avail) <= USED_AT - AVAIL_AT &&
                   sizeof(struct used) <= QUEUE_BYTES - USED_AT && 2 * QUEUE_BYTES <= NIC_RINGS_BYTES,
               "a queue fits its memory");

static uint8_t *queue(struct nic *nic, unsigned q)
{
    return nic->rings + q * QUEUE_BYTES;
}
static volatile struct desc *descs(struct nic *nic, unsigned q)
{
    return (volatile struct desc *)(void *)queue(nic, q);
}
static volatile struct avail *avail(struct nic *nic, unsigned q)
{
    return (volatile struct avail *)(void *)(queue(nic, q) + AVAIL_AT);
}
static volatile struct used *used(struct nic *nic, unsigned q)
{
    return (volatile struct used *)(void *)(queue(nic, q) + USED_AT);
}

static uint32_t get(struct nic *nic, uint32_t field, unsigned width)
{
    return nic->bus.read(nic->bus.arg, nic->common_bar, nic->common + field, width);
}

static void set(struct nic *nic, uint32_t field, unsigned width, uint32_t value)
{
    nic->bus.write(nic->bus.arg, nic->common_bar, nic->common + field, width, value);
}

/* Descriptor i is always buffer i: it is offered, and the device told. */
static void offer(struct nic *nic, unsigned q, uint16_t i, uint16_t index, uint32_t size)
{
    avail(nic, q)->ring[index % size] = i;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    avail(nic, q)->index = (uint16_t)(index + 1);
}

static void notify(struct nic *nic, unsigned q)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    nic->bus.write(nic->bus.arg, nic->notify_bar, nic->notify[q], 2, q);
}

static bool virtio_send(struct nic *nic, const void *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    for (uint32_t n = 0; n < nic->sends && used(nic, SEND)->index != (uint16_t)nic->send_done; n++) {
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint32_t id = used(nic, SEND)->ring[nic->send_done++ % nic->sends].id;
        if (id < nic->sends) nic->busy[id] = false;
    }
    uint16_t i = (uint16_t)(nic->send_next % nic->sends);
    if (nic->busy[i] || head_bytes + body_bytes > NIC_FRAME_BYTES) return false;
    nic->busy[i] = true;
    uint8_t *buffer = nic_send_buffer(nic, i);
    __builtin_memset(buffer, 0, HEADER_BYTES);
    __builtin_memcpy(buffer + HEADER_BYTES, head, head_bytes);
    __builtin_memcpy(buffer + HEADER_BYTES + head_bytes, body, body_bytes);
    descs(nic, SEND)[i].bytes = (uint32_t)(HEADER_BYTES + head_bytes + body_bytes);
    offer(nic, SEND, i, (uint16_t)nic->send_next, nic->sends);
    nic->send_next++;
    notify(nic, SEND);
    return true;
}

static size_t virtio_poll(struct nic *nic, void *frame, size_t room)
{
    for (unsigned n = 0; n < NIC_RECEIVES; n++) {
        if (used(nic, RECEIVE)->index == (uint16_t)nic->receive_next) return 0;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint32_t i = used(nic, RECEIVE)->ring[nic->receive_next % nic->receives].id;
        uint32_t bytes = used(nic, RECEIVE)->ring[nic->receive_next % nic->receives].bytes;
        size_t taken = 0;
        if (i < nic->receives && bytes > HEADER_BYTES && bytes <= NIC_BUFFER_BYTES)
            taken = nic_take(nic, nic_receive_buffer(nic, i) + HEADER_BYTES, bytes - HEADER_BYTES, frame, room);
        else
            nic->dropped++;
        offer(nic, RECEIVE, (uint16_t)(i < nic->receives ? i : 0), (uint16_t)(nic->receive_next + nic->receives), nic->receives);
        nic->receive_next++;
        notify(nic, RECEIVE);
        if (taken > 0) return taken;
    }
    return 0;
}

/* --- at boot ------------------------------------------------------------------------------------------ */

static bool find_structures(struct nic *nic, unsigned *device_bar, uint32_t *device)
{
    struct nic_bus *b = &nic->bus;
    unsigned found = 0, at = b->config_read(b->arg, 0x34) & 0xfc;
    for (unsigned i = 0; at != 0 && i < 48; i++) { /* a list may be a loop */
        uint32_t head = b->config_read(b->arg, at);
        unsigned type = head >> 24, bar = b->config_read(b->arg, at + 4) & 0xff;
        uint32_t offset = b->config_read(b->arg, at + 8);
        if ((head & 0xff) == 0x09 && bar < 6) { /* vendor-specific: the first of each type counts */
            if (type == CAP_COMMON && !(found & 1)) found |= 1, nic->common_bar = bar, nic->common = offset;
            if (type == CAP_DEVICE && !(found & 2)) found |= 2, *device_bar = bar, *device = offset;
            if (type == CAP_NOTIFY && !(found & 4)) {
                found |= 4;
                nic->notify_bar = bar;
                nic->notify[0] = offset;
                nic->notify[1] = b->config_read(b->arg, at + 16); /* the multiplier, for now */
            }
        }
        at = head >> 8 & 0xfc;
    }
    return found == 7;
}

static void set_address(struct nic *nic, uint32_t field, const void *p)
{
    uint64_t address = nic->bus.physical(nic->bus.arg, p);
    set(nic, field, 4, (uint32_t)address);
    set(nic, field + 4, 4, (uint32_t)(address >> 32));
}

static bool start_queue(struct nic *nic, unsigned q, uint32_t *size, uint32_t base, uint32_t multiplier)
{
    set(nic, QUEUE_SELECT, 2, q);
    uint32_t most = get(nic, QUEUE_SIZE, 2);
    *size = NIC_RECEIVES;
    while (*size > most) *size /= 2;
    if (*size == 0) return false;
    set(nic, QUEUE_SIZE, 2, *size);
    set_address(nic, QUEUE_DESC, (const void *)queue(nic, q));
    set_address(nic, QUEUE_DRIVER, queue(nic, q) + AVAIL_AT);
    set_address(nic, QUEUE_DEVICE, queue(nic, q) + USED_AT);
    avail(nic, q)->flags = AVAIL_NO_INTERRUPT;
    nic->notify[q] = base + get(nic, QUEUE_NOTIFY, 2) * multiplier;
    for (uint32_t i = 0; i < *size; i++) {
        descs(nic, q)[i].address = nic->bus.physical(nic->bus.arg, q == SEND ? nic_send_buffer(nic, i) : nic_receive_buffer(nic, i));
        descs(nic, q)[i].bytes = NIC_BUFFER_BYTES;
        descs(nic, q)[i].flags = q == RECEIVE ? DESC_WRITE : 0;
        if (q == RECEIVE) offer(nic, q, (uint16_t)i, (uint16_t)i, *size);
    }
    set(nic, QUEUE_ENABLE, 2, 1);
    return true;
}

static bool agree(struct nic *nic)
{
    uint32_t low, high;
    set(nic, STATUS, 1, 0);
    for (unsigned i = 0; get(nic, STATUS, 1) != 0; i++) {
        if (i == 100) return false;
        nic->bus.pause(nic->bus.arg, 1000);
    }
    set(nic, STATUS, 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    set(nic, FEATURE_SELECT, 4, 0);
    low = get(nic, FEATURE, 4);
    set(nic, FEATURE_SELECT, 4, 1);
    high = get(nic, FEATURE, 4);
    if (!(low & FEATURE_MAC) || !(high & FEATURE_VERSION_1)) return false;
    set(nic, DRIVER_FEATURE_SELECT, 4, 0);
    set(nic, DRIVER_FEATURE, 4, FEATURE_MAC);
    set(nic, DRIVER_FEATURE_SELECT, 4, 1);
    set(nic, DRIVER_FEATURE, 4, FEATURE_VERSION_1);
    set(nic, STATUS, 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return get(nic, STATUS, 1) & STATUS_FEATURES_OK;
}

bool virtio_net_init(struct nic *nic, const struct nic_bus *bus, void *memory)
{
    uint32_t id = bus->config_read(bus->arg, 0), device = 0;
    unsigned device_bar = 0;
    if (id != 0x10411af4 && id != 0x10001af4) return false;
    nic_begin(nic, bus, memory);
    if (!find_structures(nic, &device_bar, &device) || !agree(nic)) return false;
    for (unsigned i = 0; i < 6; i++) nic->mac[i] = (uint8_t)bus->read(bus->arg, device_bar, device + i, 1);
    uint32_t base = nic->notify[0], multiplier = nic->notify[1];
    nic->sends = nic->receives = NIC_RECEIVES; /* the most; a device may have less */
    uint32_t sends, receives;
    if (!start_queue(nic, RECEIVE, &receives, base, multiplier) || !start_queue(nic, SEND, &sends, base, multiplier)) return false;
    nic->sends = sends;
    nic->receives = receives;
    nic->send = virtio_send;
    nic->poll = virtio_poll;
    set(nic, STATUS, 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    notify(nic, RECEIVE);
    return true;
}

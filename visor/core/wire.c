#include "visor/core/wire.h"
#include "visor/arch/x86/cpu.h"
#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include "visor/core/print.h"
#include "visor/core/records.h"
#include "visor/forensics/forensics.h"
#include "visor/iommu/iommu.h"
#include "visor/net/udp.h"
#include "visor/out/sender.h"

enum { BARS = 6, COMMAND = 4, COMMAND_MASTER = 1 << 2 };

static struct {
    bool on;
    pci_bdf bdf;
    uint64_t bars[BARS];
    struct nic nic;
    struct udp udp;
    struct sender sender;
} wire;

/* --- the card */

static uint32_t bus_read(void *arg, unsigned bar, uint32_t offset, unsigned width)
{
    return (uint32_t)mmio_real_read(wire.bars[bar] + offset, width);
}

static void bus_write(void *arg, unsigned bar, uint32_t offset, unsigned width, uint32_t value)
{
    mmio_real_write(wire.bars[bar] + offset, width, value);
}

static uint32_t bus_config_read(void *arg, unsigned reg)
{
    return pci_read(wire.bdf, reg);
}

static void bus_config_write(void *arg, unsigned reg, uint32_t value)
{
    pci_write(wire.bdf, reg, value);
}

static uint64_t bus_physical(void *arg, const void *p)
{
    return memory_physical(p);
}

static void bus_pause(void *arg, unsigned microseconds)
{
    clock_wait_us(microseconds);
}

static const struct nic_bus bus = {NULL,         bus_read, bus_write, bus_config_read, bus_config_write,
                                   bus_physical, bus_pause};

/* --- configuration */

static bool random_bytes(uint8_t *out, size_t n)
{
    if (!(cpuid(1, 0).c >> 30 & 1)) return false; /* RDRAND */
    for (size_t i = 0; i < n; i += 8) {
        uint64_t value;
        bool good = false;
        for (unsigned tries = 0; tries < 100 && !good; tries++)
            __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=q"(good) : : "cc");
        if (!good) return false;
        value ^= rdtsc();
        memcpy(out + i, &value, n - i < 8 ? n - i : 8);
    }
    return true;
}

/* The card is the guest's again, and not busy with memory that will be. */
static void stop(void)
{
    pci_write(wire.bdf, COMMAND, pci_read(wire.bdf, COMMAND) & 0xffff & ~(uint32_t)COMMAND_MASTER);
}

static const char *begin(const struct udp_config *u, struct sender_config *s, uint64_t ring_bytes)
{
    for (unsigned bar = 0; bar < BARS; bar++) {
        uint64_t bytes;
        wire.bars[bar] = pci_bar(wire.bdf, bar, &bytes);
    }
    void *memory = memory_alloc(NIC_MEMORY_BYTES, PAGE_BYTES);
    iommu_give(wire.bdf, memory_physical(memory), NIC_MEMORY_BYTES);
    if (!nic_init(&wire.nic, &bus, memory))
        return "nic: there is no driver for it, or it does not come up";
    if (!udp_init(&wire.udp, &wire.nic, u)) return "address, mask, gateway and collector make no sense";
    size_t ring = sender_memory(s, ring_bytes);
    if (ring + MEMORY_REST > memory_left()) return MEMORY_SHORT;
    if (sender_init(&wire.sender, s, memory_alloc(ring, 64), ring)) return "sensor is not a name";
    records_init(&wire.sender, wire_poll);
    return NULL;
}

static const char *start(const struct config *config)
{
    struct sender_config s = {.transmit = udp_transmit, .arg = &wire.udp, .gap_when_full = config->gap_when_full};
    struct udp_config u = {.port = 7788, .peer_port = (uint16_t)config->port};
    if (config->requests) s.request = capture_request;
    if (!random_bytes(s.seed, sizeof s.seed)) return "the processor has no random numbers (RDRAND)";
    memcpy(s.key, config->key, sizeof s.key);
    memcpy(s.sensor, config->sensor, sizeof s.sensor);
    memcpy(u.address, config->address, 4);
    memcpy(u.peer, config->collector, 4);
    memcpy(u.mask, config->mask, 4);
    memcpy(u.gateway, config->gateway, 4);
    if (pci_read(wire.bdf, 0) == UINT32_MAX) return "nic: there is no such PCI function";
    if (!pci_hide(wire.bdf)) return "nic cannot be hidden";
    const char *why = begin(&u, &s, config->ring_mib << 20);
    if (why) stop();
    return why;
}

const char *wire_init(const struct config *config)
{
    if (config->nic == CONFIG_NONE) return NULL;
    wire.bdf = (pci_bdf)config->nic;
    const char *why = start(config);
    wire.on = !why;
    if (wire.on) hypercall_init(config);
    print("network card %02x:%02x.%u: %s", wire.bdf >> 8, wire.bdf >> 3 & 31, wire.bdf & 7u, why ? why : "the hypervisor's");
    return why;
}

/* --- out and in */

static void receive(void *arg, void *data, size_t n, uint64_t now_ns)
{
    sender_receive(&wire.sender, data, n, now_ns);
}

bool wire_spare(void)
{
    return !wire.on || wire.sender.head - wire.sender.tail < wire.sender.capacity / 2;
}

bool wire_poll(void)
{
    if (!wire.on) return false;
    uint64_t now = clock_ns();
    udp_poll(&wire.udp, now, receive, NULL);
    sender_poll(&wire.sender, now);
    return !sender_settled(&wire.sender);
}

void wire_finish(unsigned seconds)
{
    if (!wire.on) return;
    uint64_t until = clock_ns() + (uint64_t)seconds * UINT64_C(1000000000);
    while (wire_poll() && clock_ns() < until) clock_wait_us(20);
    const struct sender_stats *s = &wire.sender.stats;
    print("wire: %llu records, %llu durable, %llu frames, %llu again, %llu waits, %llu lost",
          (unsigned long long)s->records, (unsigned long long)s->durable, (unsigned long long)s->frames,
          (unsigned long long)s->frames_again, (unsigned long long)s->busy, (unsigned long long)(s->gaps + records_lost()));
}

bool wire_listens(void)
{
    return wire.on && wire.sender.config.request;
}

struct sender *wire_sender(void)
{
    return wire.on ? &wire.sender : NULL;
}

int wire_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes)
{
    bool zeros = (!memcmp(name, "ram", 4) && !camera_on()) || !memcmp(name, "map:", 4);
    struct chv_device device = {.bytes = bytes, .rest = zeros ? CHV_REST_ZERO : CHV_REST_UNKNOWN};
    memcpy(device.name, name, sizeof device.name);
    return wire.on ? sender_device(&wire.sender, &device) : -1;
}

void wire_take(const struct visor_block *b)
{
    if (wire.on) records_take(b);
}

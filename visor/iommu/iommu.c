/* AMD I/O Virtualization Technology (IOMMU) Specification (48882): device table 2.2.2, page tables 2.2.3, commands 2.4,
 * events 2.5, registers 3.4. */
#include "visor/iommu/iommu.h"
#include "visor/platform/acpi.h"
#include "visor/core/clock.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/paging.h"
#include "visor/core/pci.h"
#include "visor/core/print.h"
#include "visor/iommu/ivrs.h"

enum { DEVICE_TABLE, COMMANDS = 0x08, EVENTS = 0x10, CONTROL = 0x18, EXCLUSION = 0x20, FEATURES = 0x30 };
enum { COMMAND_TAIL = 0x2008, EVENT_HEAD = 0x2010, EVENT_TAIL = 0x2018, STATUS = 0x2020 };
enum { HEADS_AND_TAILS = 0x2000, REGISTERS = 16 << 10, REGISTERS_COUNTING = 512 << 10 };
#define CONTROL_EVENTS (UINT64_C(1) << 2)
#define CONTROL_ON (1 | CONTROL_EVENTS | UINT64_C(1) << 10 | UINT64_C(1) << 12) /* coherent, and commands */
#define STATUS_OVERFLOW 1u
#define STATUS_CLEAR 7u
#define FEATURE_ALL (UINT64_C(1) << 6)
#define FEATURE_COUNTERS (UINT64_C(1) << 9)

enum { DEVICES = 65536, ENTRIES = 256, ENTRY_BYTES = 16, LEVELS = 4, SPLIT_TABLES = 64, CARD_TABLES = 6 };
enum { GUEST = 1, CARD = 2, WAIT_TRIES = 10000, WAIT_US = 10, LINES = 16, EVERY_NS = 100000000 };
#define COMPLETION_WAIT (UINT64_C(1) << 60)
#define FORGET_PAGES (UINT64_C(3) << 60)
#define FORGET_ALL (UINT64_C(8) << 60)
#define FORGET_EVERY_PAGE UINT64_C(0x7ffffffffffff003) /* and what the tables above say */
#define RING_LENGTH (UINT64_C(8) << 56) /* 2^8 entries, in the register of its address */
#define DEVICE_TABLE_BYTES (DEVICES * UINT64_C(32))
#define READ_WRITE (PAGING_DEVICE_READ | PAGING_DEVICE_WRITE)
#define MESSAGES_PASS (UINT64_C(1) << 40) /* SysMgt 01b: as without an IOMMU */

struct unit {
    struct ivrs_unit is;
    uint64_t (*commands)[2], (*events)[2];
    uint64_t waited, answer; /* number of the last COMPLETION_WAIT; what it wrote */
    unsigned command_tail, event_head;
    bool silent;
};

static struct {
    unsigned count; /* 0: none is used */
    struct unit *units;
    uint64_t (*devices)[4];
    struct paging guest, card;
    bool changed, runs;
    uint64_t own_end, events, next_ns;
} iommu;

static uint64_t get(const struct unit *u, unsigned reg)
{
    return mmio_real_read(u->is.base + reg, 8);
}

static void set(const struct unit *u, unsigned reg, uint64_t value)
{
    mmio_real_write(u->is.base + reg, 8, value);
}

/* V and TV; without IV, so interrupts pass, and without I, so that no device translates by itself. */
static void device(unsigned bdf, const struct paging *p, uint64_t domain)
{
    iommu.devices[bdf][1] = domain | MESSAGES_PASS;
    __atomic_store_n(&iommu.devices[bdf][0], 3 | memory_physical(p->root) | LEVELS << 9 | READ_WRITE, __ATOMIC_RELEASE);
}

static const char *make(const uint8_t *table, unsigned address_bits, uint64_t own, uint64_t own_bytes)
{
    struct ivrs_unit found[IVRS_UNITS_MAX];
    unsigned tables = paging_tables(LEVELS, address_bits) + SPLIT_TABLES;
    unsigned count = ivrs_read(table, IVRS_BYTES_MAX, found);
    if (!count) return "the firmware's table is not one that is known";
    if (DEVICE_TABLE_BYTES + tables * PAGE_BYTES + MEMORY_REST > memory_left()) return MEMORY_SHORT;
    if (!paging_init(&iommu.guest, LEVELS, address_bits, READ_WRITE | PAGING_PRESENT,
                     memory_alloc(tables * PAGE_BYTES, PAGE_BYTES), tables))
        return "too many address bits";
    for (uint64_t at = own; at < own + own_bytes; at += PAGING_LARGE_BYTES)
        if (!paging_clear_large(&iommu.guest, at)) return "own memory is too large";
    iommu.devices = memory_alloc(DEVICE_TABLE_BYTES, PAGE_BYTES);
    for (unsigned i = 0; i < DEVICES; i++) device(i, &iommu.guest, GUEST);
    iommu.units = memory_alloc(count * sizeof *iommu.units, 8);
    for (unsigned i = 0; i < count; i++) {
        iommu.units[i].is = found[i];
        iommu.units[i].commands = memory_alloc(ENTRIES * ENTRY_BYTES, PAGE_BYTES);
        iommu.units[i].events = memory_alloc(ENTRIES * ENTRY_BYTES, PAGE_BYTES);
    }
    iommu.own_end = own + own_bytes;
    iommu.count = count;
    return NULL;
}

void iommu_init(uint64_t rsdp, unsigned address_bits, uint64_t own, uint64_t own_bytes)
{
    const uint8_t *table = acpi_table(rsdp, "IVRS");
    const char *why = table ? make(table, address_bits, own, own_bytes) : NULL;
    if (why) print("iommu: not used, so devices reach the hypervisor's memory: %s", why);
}

void iommu_give(uint16_t bdf, uint64_t base, uint64_t bytes)
{
    unsigned bits = 30;
    if (!iommu.count) return;
    while ((iommu.own_end - 1) >> bits) bits++;
    unsigned tables = paging_tables(LEVELS, bits) + CARD_TABLES;
    paging_init(&iommu.card, LEVELS, bits, 0, memory_alloc(tables * PAGE_BYTES, PAGE_BYTES), tables);
    for (uint64_t at = base; at < base + bytes; at += PAGE_BYTES)
        paging_set(&iommu.card, at, at, READ_WRITE | PAGING_PRESENT);
    device(bdf, &iommu.card, CARD);
}

static void command(struct unit *u, uint64_t first, uint64_t second)
{
    u->commands[u->command_tail][0] = first;
    u->commands[u->command_tail][1] = second;
    u->command_tail = (u->command_tail + 1) % ENTRIES;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    set(u, COMMAND_TAIL, u->command_tail * ENTRY_BYTES);
}

/* COMPLETION_WAIT writes when all before it has been done. An IOMMU that does not answer is not waited for again. */
static bool wait(struct unit *u)
{
    command(u, COMPLETION_WAIT | memory_physical(&u->answer) | 1, ++u->waited);
    for (unsigned i = 0; i < WAIT_TRIES && !u->silent; i++) {
        if (__atomic_load_n(&u->answer, __ATOMIC_ACQUIRE) == u->waited) return true;
        clock_wait_us(WAIT_US);
    }
    if (!u->silent) print("iommu: the one at %llx does not answer", (unsigned long long)u->is.base);
    u->silent = true;
    return false;
}

static bool start(struct unit *u)
{
    uint64_t flags = u->is.flags; /* bits 0 to 3: HtTunEn, PassPW, ResPassPW, Isoc: bits 1, 8, 9, 11 of the register */
    if (!(get(u, FEATURES) & FEATURE_ALL)) return false; /* of the first generation */
    set(u, CONTROL, 0);
    set(u, DEVICE_TABLE, memory_physical(iommu.devices) | (DEVICE_TABLE_BYTES / PAGE_BYTES - 1));
    set(u, COMMANDS, memory_physical(u->commands) | RING_LENGTH);
    set(u, EVENTS, memory_physical(u->events) | RING_LENGTH);
    for (unsigned reg = HEADS_AND_TAILS; reg <= EVENT_TAIL; reg += 8) set(u, reg, 0);
    set(u, EXCLUSION, 0);
    set(u, STATUS, STATUS_CLEAR);
    set(u, CONTROL, CONTROL_ON | (flags & 1) << 1 | (flags & 6) << 7 | (flags & 8) << 8);
    command(u, FORGET_ALL, 0); /* what the firmware had it do */
    return wait(u);
}

void iommu_start(uint64_t rsdp)
{
    bool good = true;
    for (unsigned i = 0; i < iommu.count; i++) {
        struct unit *u = &iommu.units[i];
        uint64_t bytes = get(u, FEATURES) & FEATURE_COUNTERS ? REGISTERS_COUNTING : REGISTERS;
        good = pci_hide(u->is.bdf) && mmio_hide(u->is.base, bytes) && start(u) && good;
    }
    if (!iommu.count) return;
    acpi_erase(rsdp, "IVRS");
    iommu.runs = good;
    for (unsigned i = 0; i < iommu.count && !good; i++) set(&iommu.units[i], CONTROL, 0);
    print(good ? "iommu: %u, the hypervisor's" : "iommu: %u, and not all come up; devices reach its memory",
          iommu.count);
}

void iommu_protect(uint64_t gpa, bool reads, bool writes)
{
    uint64_t flags = (reads ? PAGING_DEVICE_READ : 0) | (writes ? PAGING_DEVICE_WRITE : 0);
    if (!iommu.count || gpa >> iommu.guest.address_bits) return;
    if (!paging_set(&iommu.guest, gpa, gpa, flags ? flags | PAGING_PRESENT : 0))
        print("iommu: no table is left; devices reach %llx", (unsigned long long)gpa);
    iommu.changed = true;
}

void iommu_flush(void)
{
    for (unsigned i = 0; iommu.runs && iommu.changed && i < iommu.count; i++) {
        command(&iommu.units[i], FORGET_PAGES | (uint64_t)GUEST << 32, FORGET_EVERY_PAGE);
        wait(&iommu.units[i]);
    }
    iommu.changed = false;
}

static void tell(const uint64_t event[2])
{
    uint64_t n = ++iommu.events;
    if (n > LINES && n & (n - 1)) return;
    print("iommu: event %u of %02x:%02x.%u at %llx, number %llu", (unsigned)(event[0] >> 60),
          (unsigned)(event[0] >> 8 & 255), (unsigned)(event[0] >> 3 & 31), (unsigned)(event[0] & 7),
          (unsigned long long)event[1], (unsigned long long)n);
}

void iommu_poll(uint64_t now_ns)
{
    if (!iommu.runs || now_ns < iommu.next_ns) return;
    iommu.next_ns = now_ns + EVERY_NS;
    for (unsigned i = 0; i < iommu.count; i++) {
        struct unit *u = &iommu.units[i];
        unsigned tail = (unsigned)(get(u, EVENT_TAIL) / ENTRY_BYTES % ENTRIES);
        for (; u->event_head != tail; u->event_head = (u->event_head + 1) % ENTRIES) tell(u->events[u->event_head]);
        set(u, EVENT_HEAD, u->event_head * ENTRY_BYTES);
        if (!(get(u, STATUS) & STATUS_OVERFLOW)) continue;
        uint64_t control = get(u, CONTROL); /* a log that was full stands still until it is switched on again */
        set(u, CONTROL, control & ~CONTROL_EVENTS);
        set(u, STATUS, STATUS_CLEAR);
        set(u, CONTROL, control);
    }
}

#include "visor/core/disks.h"
#include "visor/core/evidence.h"
#include "visor/core/guest.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include "visor/core/print.h"
#include "visor/storage/ahci.h"
#include "visor/storage/nvme.h"

enum { DISKS_MAX = 8, MOVES_MAX = 48 /* each may cost tables, which never come back */, IO_DECODED = 1 << 0, BAR_DECODED = 1 << 1, AHCI_BYTES = AHCI_PORT + AHCI_PORTS * 0x80 };

struct disk {
    bool is_nvme;
    pci_bdf bdf;
    unsigned bar;
    uint16_t number;
    uint64_t base; /* of the registers; 0: nowhere that is mapped */
    uint64_t home; /* where the firmware had put them */
    unsigned moves;
    uint64_t
        second; /* NVMe: bytes of doorbells, AHCI: bytes of registers, behind the first page, that are the mediator's */
    union {
        struct nvme nvme;
        struct ahci ahci;
    };
};

static struct disk *disks; /* disk_count of them */
static unsigned disk_count;
static bool trim_reads_zeros; /* by configuration: whatever the disks say of themselves */

/* --- what a mediator wants of the machine */

static bool port_copy(void *arg, void *dst, uint64_t gpa, size_t n)
{
    return guest_copy(dst, gpa, n);
}

static bool port_store(void *arg, uint64_t gpa, const void *src, size_t n)
{
    return guest_store(gpa, src, n);
}

static bool port_owned(void *arg, uint64_t gpa, uint64_t n)
{
    return guest_is_own(gpa, n) || mmio_meets(gpa, n, false); /* registers: a disk could program our card, or ring for itself */
}

static uint32_t port_reg(void *arg, uint64_t offset)
{
    const struct disk *disk = arg;
    return disk->base ? (uint32_t)mmio_real_read(disk->base + offset, 4) : UINT32_MAX;
}

static void port_emit(void *arg, const struct visor_block *block)
{
    struct visor_block b = *block;
    b.place = ((const struct disk *)arg)->bdf;
    evidence_take(&b);
}

/* --- the guest's accesses */

static bool registers_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    struct disk *disk = arg;
    enum storage_verdict verdict =
        disk->is_nvme ? nvme_write(&disk->nvme, offset, width, &value) : ahci_write(&disk->ahci, offset, width, &value);
    if (verdict == STORAGE_PASS) mmio_real_write(disk->base + offset, width, value);
    return true;
}

static bool registers_read(void *arg, uint64_t offset, unsigned width, uint64_t *value)
{
    struct disk *disk = arg;
    *value = mmio_real_read(disk->base + offset, width);
    nvme_read(&disk->nvme, offset, width, value);
    return true;
}

/* Behind the last register that the mediator knows there may be other things, as the table of MSI-X. */
static bool second_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    struct disk *disk = arg;
    return offset < disk->second && registers_write(disk, PAGE_BYTES + offset, width, value);
}

static const struct mmio_ops nvme_registers = {registers_read, registers_write},
                             ahci_registers = {NULL, registers_write}, second_page = {NULL, second_write};

/* Watches the registers at `base` instead of where they were; 0: nowhere. False if they cannot be watched there: it is RAM, another
 * watched page, there is no table left, or it was done too often. */
static bool move(struct disk *disk, uint64_t base)
{
    uint64_t bytes = (disk->second + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), was = disk->base;
    disk->base = 0;
    if (was) mmio_unregister(was);
    if (was && bytes) mmio_unregister(was + PAGE_BYTES);
    if (!base || (base != disk->home && disk->moves++ >= MOVES_MAX) || guest_meets_ram(base, PAGE_BYTES + bytes) ||
        !mmio_register(base, PAGE_BYTES, disk->is_nvme ? &nvme_registers : &ahci_registers, disk))
        return false;
    if (bytes && !mmio_register(base + PAGE_BYTES, bytes, &second_page, disk)) {
        mmio_unregister(base);
        return false;
    }
    disk->base = base;
    return true;
}

/* Both kinds of controllers may have a second way to the same registers: an index and a data port (AHCI's Index-Data Pair,
 * NVMe's IDBAR). No driver needs it; the function's I/O ports stay off. */
static void no_ports(pci_bdf bdf)
{
    uint32_t command = pci_read(bdf, 4) & 0xffff; /* zeros to the status above it clear nothing */
    if (command & IO_DECODED) pci_write(bdf, 4, command & ~(uint32_t)IO_DECODED);
}

/* The guest wrote to the function's configuration space. */
static void configured(void *arg)
{
    struct disk *disk = arg;
    no_ports(disk->bdf);
    unsigned reg = 0x10 + 4 * disk->bar;
    uint32_t low = pci_read(disk->bdf, reg);
    uint64_t base = low & ~15u;
    if (low & 4) base |= (uint64_t)pci_read(disk->bdf, reg + 4) << 32;
    uint32_t command = pci_read(disk->bdf, 4) & 0xffff;
    if (!(command & BAR_DECODED) || (base && base == disk->base)) return;
    if (disk->is_nvme)
        nvme_moved(&disk->nvme);
    else
        ahci_moved(&disk->ahci);
    bool done = move(disk, base);
    if (!done) pci_write(disk->bdf, 4, command & ~(uint32_t)BAR_DECODED); /* what nobody sees, nobody reaches */
    print("disk %u: the guest moves its registers to %llx%s", disk->number, (unsigned long long)base,
          done ? "" : ", where they cannot be watched: they are off");
}

static void add(pci_bdf bdf, bool is_nvme)
{
    uint64_t bytes, base = pci_bar(bdf, is_nvme ? 0 : 5, &bytes);
    struct disk *disk = &disks[disk_count];
    struct storage_port port = {disk, port_copy, port_store, port_owned, port_reg, port_emit};
    uint32_t command = pci_read(bdf, 4) & 0xffff;
    pci_write(bdf, 4, command | BAR_DECODED); /* a firmware's driver that ended may have switched its registers off */
    disk->is_nvme = is_nvme;
    disk->bdf = bdf;
    disk->bar = is_nvme ? 0 : 5;
    disk->number = (uint16_t)disk_count;
    disk->base = disk->home = base;
    if (is_nvme) {
        disk->second = (uint64_t)NVME_QUEUES_MAX * 2 * (UINT64_C(4) << (base ? port_reg(disk, NVME_CAP + 4) & 15 : 0));
        nvme_init(&disk->nvme, &port, disk->number);
        disk->nvme.trust_trim = trim_reads_zeros;
    } else {
        disk->second = bytes > PAGE_BYTES ? AHCI_BYTES - PAGE_BYTES : 0;
        ahci_init(&disk->ahci, &port, disk->number);
        disk->ahci.trust_trim = trim_reads_zeros;
    }
    pci_write(bdf, 4, command);
    disk->base = 0;
    if (base && !move(disk, base)) {
        pci_write(bdf, 4, pci_read(bdf, 4) & 0xffff & ~(uint32_t)BAR_DECODED);
        print("disk %u: its registers cannot be watched: they are off", disk->number);
    }
    no_ports(bdf);
    if (!pci_watch(bdf, configured, disk)) print("disk %u: its configuration cannot be watched", disk->number);
    disk_count++;
    print("disk %u: %s controller %02x:%02x.%u, registers at %llx", disk->number, is_nvme ? "NVMe" : "AHCI", bdf >> 8,
          bdf >> 3 & 31, bdf & 7, (unsigned long long)base);
}

/* Room for those that are known. Others would be a hole in the record. */
static const char *look(const struct config *config)
{
    static char why[112];
    unsigned known = 0;
    pci_bdf bdf;
    for (unsigned i = 0; pci_find(PCI_CLASS_STORAGE, PCI_CLASS_STORAGE_MASK, i, &bdf); i++) {
        uint32_t class_code = pci_read(bdf, 8) >> 8;
        bool has_mediator = class_code == PCI_CLASS_NVME || class_code == PCI_CLASS_AHCI;
        if (pci_is_hidden(bdf) || (has_mediator && ++known <= DISKS_MAX)) continue;
        print_text(why, sizeof why, "storage controller %02x:%02x.%u (class %06x) is %s", bdf >> 8, bdf >> 3 & 31, bdf & 7, class_code,
                   has_mediator ? "one more than can be watched" : "not one that is watched");
        if (!config->ignore_unknown) return why;
        print("%s", why);
    }
    if (known > DISKS_MAX) known = DISKS_MAX;
    if (known * sizeof *disks + MEMORY_REST > memory_left()) return MEMORY_SHORT;
    disks = memory_alloc(known * sizeof *disks, PAGE_BYTES);
    return NULL;
}

const char *disks_init(const struct config *config)
{
    pci_bdf bdf;
    const char *why = look(config);
    if (!why) why = evidence_init(config);
    if (why) return why;
    trim_reads_zeros = config->trim_reads_zeros;
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; pci_find(kind ? PCI_CLASS_AHCI : PCI_CLASS_NVME, UINT32_MAX, i, &bdf); i++)
            if (!pci_is_hidden(bdf) && disk_count < DISKS_MAX) add(bdf, !kind);
    return NULL;
}

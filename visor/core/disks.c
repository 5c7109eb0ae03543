#include "visor/core/disks.h"
#include "visor/core/evidence.h"
#include "visor/core/guest.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include "visor/core/print.h"
#include "visor/storage/nvme.h"

enum { DISKS_MAX = 8, BAR_DECODED = 1 << 1 };

struct disk {
    pci_bdf bdf;
    uint64_t base;      /* of the registers; 0: nowhere that is mapped */
    uint64_t doorbells; /* bytes of the watched stretch behind the first page */
    struct nvme nvme;
};

static struct disk *disks[DISKS_MAX];
static unsigned disk_count;

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
    return guest_is_own(gpa, n);
}

static uint32_t port_reg(void *arg, uint64_t offset)
{
    const struct disk *disk = arg;
    return disk->base ? (uint32_t)mmio_real_read(disk->base + offset, 4) : UINT32_MAX;
}

static void port_emit(void *arg, const struct visor_block *block)
{
    evidence_take(block);
}

/* --- the guest's accesses */

static bool pass_on(struct disk *disk, uint64_t offset, unsigned width, uint64_t value)
{
    if (nvme_write(&disk->nvme, offset, width, &value) == STORAGE_PASS)
        mmio_real_write(disk->base + offset, width, value);
    return true;
}

static bool registers_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    return pass_on(arg, offset, width, value);
}

static bool registers_read(void *arg, uint64_t offset, unsigned width, uint64_t *value)
{
    struct disk *disk = arg;
    *value = mmio_real_read(disk->base + offset, width);
    nvme_read(&disk->nvme, offset, width, value);
    return true;
}

/* Behind the last doorbell that the mediator knows there may be other things, as the table of MSI-X. */
static bool doorbell_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    struct disk *disk = arg;
    return offset < disk->doorbells && pass_on(disk, NVME_DOORBELLS + offset, width, value);
}

static const struct mmio_ops registers = {registers_read, registers_write}, doorbells = {NULL, doorbell_write};

/* Watches the registers at `base` instead of where they were. */
static void move(struct disk *disk, uint64_t base)
{
    if (disk->base) {
        mmio_unregister(disk->base);
        mmio_unregister(disk->base + NVME_DOORBELLS);
    }
    uint64_t bytes = (disk->doorbells + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    disk->base = base;
    if (!base) return;
    if (mmio_register(base, NVME_DOORBELLS, &registers, disk) &&
        mmio_register(base + NVME_DOORBELLS, bytes, &doorbells, disk))
        return;
    print("disk %u: its registers at %llx cannot be watched", disk->nvme.storage.device, (unsigned long long)base);
    disk->base = 0;
}

/* The guest wrote to the function's configuration space. */
static void configured(void *arg)
{
    struct disk *disk = arg;
    uint64_t base = pci_read(disk->bdf, 0x10) & ~15u;
    if (pci_read(disk->bdf, 0x10) & 4) base |= (uint64_t)pci_read(disk->bdf, 0x14) << 32;
    if (!(pci_read(disk->bdf, 4) & BAR_DECODED) || base == disk->base) return;
    move(disk, base);
}

static void add_nvme(pci_bdf bdf)
{
    uint64_t bytes, base = pci_bar(bdf, 0, &bytes);
    struct disk *disk = memory_alloc(sizeof *disk, PAGE_BYTES);
    struct storage_port port = {disk, port_copy, port_store, port_owned, port_reg, port_emit};
    disk->bdf = bdf;
    disk->base = base;
    disk->doorbells = (uint64_t)NVME_QUEUES_MAX * 2 * (UINT64_C(4) << (base ? port_reg(disk, NVME_CAP + 4) & 15 : 0));
    nvme_init(&disk->nvme, &port, (uint16_t)disk_count);
    disk->base = 0;
    move(disk, base);
    pci_watch(bdf, configured, disk);
    disks[disk_count++] = disk;
    print("disk %u: NVMe controller %02x:%02x.%u, registers at %llx", disk_count - 1, bdf >> 8, bdf >> 3 & 31, bdf & 7,
          (unsigned long long)base);
}

void disks_init(const struct config *config)
{
    pci_bdf bdf;
    evidence_init(config);
    for (unsigned i = 0; disk_count < DISKS_MAX && pci_find(PCI_CLASS_NVME, i, &bdf); i++)
        if (!pci_is_hidden(bdf)) add_nvme(bdf);
}

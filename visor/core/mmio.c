#include "visor/core/mmio.h"
#include "visor/core/machine.h"
#include "visor/iommu/iommu.h"

struct range {
    uint64_t base, bytes;
    const struct mmio_ops *ops;
    void *arg;
};

static struct range ranges[MMIO_RANGES_MAX];

static struct range *range_of(uint64_t gpa, unsigned width)
{
    for (unsigned i = 0; i < MMIO_RANGES_MAX; i++)
        if (gpa - ranges[i].base < ranges[i].bytes && width <= ranges[i].bytes - (gpa - ranges[i].base))
            return &ranges[i];
    return NULL;
}

static bool protect(const struct range *r, bool reads, bool writes)
{
    bool done = true;
    for (uint64_t at = 0; at < r->bytes; at += PAGE_BYTES) {
        done = machine_protect(r->base + at, reads, writes) && done;
        iommu_protect(r->base + at, reads, writes); /* what its processors may not, its devices may not */
    }
    machine_flush();
    iommu_flush();
    return done;
}

bool mmio_register(uint64_t base, uint64_t size, const struct mmio_ops *ops, void *arg)
{
    struct range *at = NULL;
    if (!size || (base | size) & (PAGE_BYTES - 1) || base + size < base) return false;
    for (unsigned i = 0; i < MMIO_RANGES_MAX; i++) {
        if (ranges_meet(base, size, ranges[i].base, ranges[i].bytes)) return false;
        if (!ranges[i].bytes) at = &ranges[i];
    }
    if (!at) return false;
    *at = (struct range){base, size, ops, arg};
    if (protect(at, !ops->read, false)) return true;
    protect(at, true, true);
    at->bytes = 0;
    return false;
}

static bool nothing_read(void *arg, uint64_t offset, unsigned width, uint64_t *value)
{
    *value = UINT64_MAX;
    return true;
}

static bool nothing_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    return true;
}

static const struct mmio_ops nothing = {nothing_read, nothing_write};

bool mmio_hide(uint64_t base, uint64_t size)
{
    return mmio_register(base, size, &nothing, NULL);
}

bool mmio_meets(uint64_t base, uint64_t size, bool hidden)
{
    for (unsigned i = 0; i < MMIO_RANGES_MAX; i++)
        if (ranges_meet(base, size, ranges[i].base, ranges[i].bytes) && (!hidden || ranges[i].ops == &nothing)) return true;
    return false;
}

void mmio_unregister(uint64_t base)
{
    struct range *r = range_of(base, 1);
    if (!r || r->base != base) return;
    protect(r, true, true);
    r->bytes = 0;
}

bool mmio_watched(uint64_t gpa)
{
    return range_of(gpa, 1);
}

bool mmio_guest_read(uint64_t gpa, unsigned width, uint64_t *value)
{
    struct range *r = range_of(gpa, width);
    if (!r) return false;
    if (!r->ops->read || !r->ops->read(r->arg, gpa - r->base, width, value)) *value = mmio_real_read(gpa, width);
    return true;
}

bool mmio_guest_write(uint64_t gpa, unsigned width, uint64_t value)
{
    struct range *r = range_of(gpa, width);
    if (!r) return false;
    if (!r->ops->write || !r->ops->write(r->arg, gpa - r->base, width, value)) mmio_real_write(gpa, width, value);
    return true;
}

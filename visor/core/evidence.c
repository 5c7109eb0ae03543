/* To the wire; and a line on COM1 each, if `print_events 1` is configured: what a test compares with the disk. */
#include "visor/core/evidence.h"
#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/print.h"
#include "visor/core/vcpu.h"
#include "visor/core/wire.h"
#include "visor/forensics/forensics.h"
#include "visor/iommu/iommu.h"

static bool print_events;
static unsigned finish_seconds;

const char *evidence_init(const struct config *config)
{
    print_events = config->print_events;
    finish_seconds = (unsigned)config->finish_seconds;
    return wire_init(config);
}

/* FNV-1a, 64 bits: tells accidents apart, nothing more */
static uint64_t digest(const uint8_t *data, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) h = (h ^ data[i]) * UINT64_C(0x100000001b3);
    return h;
}

void evidence_take(const struct visor_block *b)
{
    wire_take(b);
    if (!print_events) return;
    size_t n = b->op == CHV_OP_WRITE   ? (size_t)b->sectors * CHV_SECTOR_BYTES
               : b->op == CHV_OP_SPACE ? CHV_SPACE_NAME_BYTES
                                       : 0;
    uint64_t exits = 0;
    for (unsigned i = 0; i < vcpu_count; i++) exits += vcpus[i].exits;
    print("event %u:%u op %u lba %llu sectors %llu flags %u reason %u digest %016llx exits %llu", b->device,
          (unsigned)b->unit, b->op, (unsigned long long)b->lba, (unsigned long long)b->sectors, b->flags, b->reason,
          (unsigned long long)digest(b->data, n), (unsigned long long)exits);
}

bool evidence_poll(void)
{
    bool captures = capture_poll();
    iommu_poll(clock_ns());
    return wire_poll() || captures;
}

void evidence_finish(void)
{
    bool owed = camera_finish(clock_ns());
    wire_finish(finish_seconds);
    if (owed && !camera_finish(clock_ns())) wire_finish(finish_seconds);
}

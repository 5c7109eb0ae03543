/* Identity nested paging. The hypervisor's memory leads to one page of ones, which cannot be written. */
#include "visor/core/machine.h"
#include "visor/arch/x86/cpu.h"
#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/evidence.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"
#include "visor/core/wire.h"

/* Beside own memory and the camera's pages: each stretch of 2 MiB with a page that differs takes one, each GiB another. */
enum { SPLIT_TABLES = 256, CPU_BYTES = 64 << 10 /* more than what a processor takes */ };
#define NESTED_FLAGS (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)

static struct paging nested, own;
static uint64_t own_base, own_bytes;
static uint8_t *ones;

static void hide_own_memory(void)
{
    ones = memory_alloc(PAGE_BYTES, PAGE_BYTES);
    memset(ones, 0xff, PAGE_BYTES);
    for (uint64_t at = 0; at < own_bytes; at += PAGE_BYTES)
        if (!paging_set(&nested, own_base + at, memory_physical(ones),
                        PAGING_PRESENT | PAGING_USER)) /* executable: ones are #UD, as they would be */
            panic("own memory cannot be hidden");
}

const char *machine_init(const struct boot_info *info, unsigned levels, unsigned address_bits, uint64_t *nested_root,
                         uint64_t *own_root)
{
    unsigned tables = paging_tables(levels, address_bits), more = tables + SPLIT_TABLES;
    more += 2 * (unsigned)info->config.camera_pages + (unsigned)(info->own_bytes / PAGING_LARGE_BYTES);
    if ((tables + more) * PAGE_BYTES + info->processors * CPU_BYTES + MEMORY_REST > memory_left()) return MEMORY_SHORT;
    own_base = info->own_base;
    own_bytes = info->own_bytes;
    if (!paging_init(&own, levels, address_bits, PAGING_PRESENT | PAGING_WRITE,
                     memory_alloc(tables * PAGE_BYTES, PAGE_BYTES), tables) ||
        !paging_init(&nested, levels, address_bits, NESTED_FLAGS, memory_alloc(more * PAGE_BYTES, PAGE_BYTES), more))
        panic("%u levels for %u address bits cannot be mapped", levels, address_bits);
    for (unsigned i = 0; i < info->ram_count; i++)
        if (!guest_ram_add(info->ram[i].base, info->ram[i].bytes)) panic("the firmware's memory map is too long");
    guest_ram_own(own_base, own_bytes);
    hide_own_memory();
    *nested_root = memory_physical(nested.root);
    *own_root = memory_physical(own.root);
    return NULL;
}

bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    if (ranges_meet(gpa, PAGE_BYTES, own_base, own_bytes)) return false;
    uint64_t flags = (reads ? PAGING_PRESENT | PAGING_USER : 0) | (writes ? PAGING_WRITE : 0);
    return paging_set(&nested, gpa, gpa, flags);
}

uint64_t *machine_entry(uint64_t gpa)
{
    return ranges_meet(gpa, PAGE_BYTES, own_base, own_bytes) ? NULL : paging_entry(&nested, gpa);
}

/* Somebody touches what nested paging forbids: a page of the camera's, our memory, where writes go nowhere, or a
 * watched page. Page tables where there is no memory: what would follow is a #PF without end. */
void exit_memory(struct vcpu *vcpu, uint64_t gpa, enum vcpu_access access)
{
    if (camera_fault(gpa, access, clock_ns())) {
        vcpu->flush = 1; /* here; on other processors what it was before costs a fault that changes nothing */
        return;
    }
    if (access == VCPU_EXECUTE) { /* code out of registers: the ones that empty places give are no instruction */
        vcpu_inject(vcpu, VECTOR_UD, false, 0);
        return;
    }
    if (access != VCPU_WALK && emulate_access(vcpu, gpa, access == VCPU_WRITE)) return;
    if (access != VCPU_WALK) print("processor %u: an access to %llx at %llx cannot be followed", vcpu->index, (unsigned long long)gpa,
          (unsigned long long)vcpu->rip);
    vcpu_inject(vcpu, VECTOR_GP, true, 0);
}

enum exit_wish exit_next(bool idle)
{
    enum { IDLE_TRIES = 20, IDLE_US = 10 };
    bool busy = true;
    if (!machine_try_lock()) return EXIT_SOON;
    bool telling = camera_poll(clock_ns());
    for (unsigned i = 0; (busy = evidence_poll()) && idle && i < IDLE_TRIES; i++) clock_wait_us(IDLE_US);
    machine_unlock();
    return busy || telling ? EXIT_SOON : camera_on() || wire_listens() ? EXIT_ON_INTERRUPT : EXIT_WHENEVER;
}

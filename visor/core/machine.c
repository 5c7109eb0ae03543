/* Identity nested paging. The hypervisor's memory leads to one page of ones, which cannot be written. */
#include "visor/core/machine.h"
#include "visor/core/clock.h"
#include "visor/core/emulate.h"
#include "visor/core/evidence.h"
#include "visor/core/memory.h"
#include "visor/core/pci.h"
#include "visor/core/power.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"

enum { SPLIT_TABLES = 256 }; /* each stretch of 2 MiB with a page that differs takes one, each GiB another */
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
                        PAGING_PRESENT | PAGING_USER | PAGING_NO_EXECUTE))
            panic("own memory cannot be hidden");
}

void machine_init(const struct boot_info *info, unsigned levels, unsigned address_bits, uint64_t *nested_root,
                  uint64_t *own_root)
{
    unsigned tables = paging_tables(levels, address_bits);
    own_base = info->own_base;
    own_bytes = info->own_bytes;
    if (!paging_init(&own, levels, address_bits, PAGING_PRESENT | PAGING_WRITE,
                     memory_alloc(tables * PAGE_BYTES, PAGE_BYTES), tables) ||
        !paging_init(&nested, levels, address_bits, NESTED_FLAGS,
                     memory_alloc((tables + SPLIT_TABLES) * PAGE_BYTES, PAGE_BYTES), tables + SPLIT_TABLES))
        panic("%u levels for %u address bits cannot be mapped", levels, address_bits);
    for (unsigned i = 0; i < info->ram_count; i++)
        if (!guest_ram_add(info->ram[i].base, info->ram[i].bytes)) panic("the firmware's memory map is too long");
    guest_ram_own(own_base, own_bytes);
    hide_own_memory();
    *nested_root = memory_physical(nested.root);
    *own_root = memory_physical(own.root);
}

bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    if (ranges_meet(gpa, PAGE_BYTES, own_base, own_bytes)) return false;
    uint64_t flags = (reads ? PAGING_PRESENT | PAGING_USER : 0) | (writes ? PAGING_WRITE : 0);
    return paging_set(&nested, gpa, gpa, flags);
}

void machine_flush(void)
{
    smp_flush();
}

/* Somebody touches what nested paging forbids: our memory, where writes go nowhere, or a watched page. */
void exit_memory(struct vcpu *vcpu, uint64_t gpa, bool write)
{
    if (emulate_access(vcpu, gpa, write)) return;
    print("processor %u: an access to %llx at %llx cannot be followed", vcpu->index, (unsigned long long)gpa,
          (unsigned long long)vcpu->rip);
    vcpu_inject(vcpu, VECTOR_GP, true, 0);
}

void exit_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in)
{
    if (!power_port(vcpu, port, size, in)) pci_port(vcpu, port, size, in);
}

bool exit_busy(bool idle)
{
    enum { IDLE_TRIES = 20, IDLE_US = 10 };
    bool busy = true;
    if (!machine_try_lock()) return true;
    for (unsigned i = 0; (busy = evidence_poll()) && idle && i < IDLE_TRIES; i++) clock_wait_us(IDLE_US);
    machine_unlock();
    return busy;
}

#include "visor/arch/x86/cpu.h"
#include "visor/core/clock.h"
#include "visor/core/mmio.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"

enum { APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310 };
enum { MODE_FIXED = 0, MODE_SMI = 2, MODE_NMI = 4, MODE_INIT = 5, MODE_SIPI = 6, BASE_X2APIC = 1 << 10, BASE_ENABLED = 1 << 11 };
enum { ICR_LOGICAL = 1 << 11, ICR_PENDING = 1 << 12, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15 };
#define X2APIC_RESERVED 0xfff33000u
enum { TO_SELF = 1, TO_ALL = 2, TO_OTHERS = 3, KICK_TRIES = 1000000, MESSAGES_BYTES = 1 << 20 };

static uint64_t page; /* where the xAPIC is */

static bool x2apic_on(void)
{
    return rdmsr(MSR_APIC_BASE) & BASE_X2APIC;
}

/* AMD64 manual, volume 2, 16.6.1 and 16.14: is the processor among those that a destination names? */
static bool named(const struct vcpu *to, bool logical, uint32_t destination, bool x2apic)
{
    uint32_t mask = x2apic ? 0xffff : to->clustered ? 15 : 0xff,
             id = x2apic ? (to->apic_id >> 4) << 16 | 1u << (to->apic_id & 15) : to->logical_id;
    if (destination == (x2apic ? UINT32_MAX : 0xff)) return true;
    if (!logical) return destination == to->apic_id;
    return ((id ^ destination) & ~mask) == 0 && id & destination & mask;
}

/* INIT or SIPI to those that are meant. */
static void deliver(struct vcpu *from, unsigned mode, uint64_t icr, uint32_t destination, bool x2apic)
{
    unsigned shorthand = icr >> 18 & 3;
    for (unsigned i = 0; i < vcpu_count; i++) {
        struct vcpu *to = &vcpus[i];
        bool meant = shorthand ? shorthand != TO_SELF : named(to, icr & ICR_LOGICAL, destination, x2apic);
        if (meant && to != from && mode == MODE_INIT) smp_init(to);
        if (meant && to != from && mode == MODE_SIPI) smp_sipi(to, (uint8_t)icr);
    }
}

static void icr_write(struct vcpu *vcpu, uint64_t icr, bool x2apic)
{
    unsigned mode = icr >> 8 & 7;
    if (mode == MODE_SMI) return; /* the firmware's, not the guest's to send */
    if (mode != MODE_INIT && mode != MODE_SIPI) {
        if (!x2apic)
            mmio_real_write(page + APIC_ICR, 4, (uint32_t)icr);
        else if (mode == MODE_FIXED || mode == MODE_NMI) /* the others are reserved there */
            wrmsr(MSR_X2APIC_ICR, icr);
        return;
    }
    if (mode == MODE_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return; /* de-assertion: no processor does anything */
    uint32_t destination = x2apic ? (uint32_t)(icr >> 32) : (uint32_t)(mmio_real_read(page + APIC_ICR_HIGH, 4) >> 24);
    deliver(vcpu, mode, icr, destination, x2apic);
}

bool apic_icr_msr(struct vcpu *vcpu, uint64_t icr)
{
    if (!x2apic_on() || icr & X2APIC_RESERVED) return false; /* the #GP would be ours */
    machine_lock();
    icr_write(vcpu, icr, true);
    machine_unlock();
    return true;
}

static struct vcpu *current(void)
{
    uint32_t id = cpuid(1, 0).b >> 24;
    for (unsigned i = 0; i < vcpu_count; i++)
        if (vcpus[i].apic_id == id) return &vcpus[i];
    panic("no processor has APIC id %u", id);
}

static bool page_write(void *arg, uint64_t offset, unsigned width, uint64_t value)
{
    /* 16.3.1: registers are 32 bits wide, one every 16 bytes; elsewhere an APIC may answer as it does there. Its number stays: kicks go to it. */
    if (offset & 15 || width < 4 || offset <= APIC_ID) return true;
    if (offset == APIC_EOI) current()->eoi_ns = clock_ns();
    if (offset == APIC_LDR) current()->logical_id = (uint8_t)(value >> 24);
    if (offset == APIC_DFR) current()->clustered = value >> 28 != 15;
    if (offset == APIC_ICR)
        icr_write(current(), (uint32_t)value, false);
    else
        mmio_real_write(page + offset, 4, (uint32_t)value);
    return true;
}

static const struct mmio_ops ops = {.write = page_write};

void apic_init(void)
{
    page = rdmsr(MSR_APIC_BASE) & 0xffffffffff000;
    /* Behind it are addresses that devices write to interrupt; what writes of a processor's are there depends on the machine. */
    if (!mmio_register(page, PAGE_BYTES, &ops, NULL) || !mmio_hide(page + PAGE_BYTES, MESSAGES_BYTES - PAGE_BYTES))
        panic("the local APIC's page cannot be watched");
}

bool apic_base_write(uint64_t value)
{
    uint64_t old = rdmsr(MSR_APIC_BASE);
    if ((value ^ old) & ~(uint64_t)(BASE_X2APIC | BASE_ENABLED)) return false;
    if (value & BASE_X2APIC && !(value & BASE_ENABLED)) return false; /* #GP on hardware, which we must not take */
    if (value & BASE_X2APIC && !(cpuid(1, 0).c & 1 << 21)) return false;
    if (!(value & BASE_ENABLED)) return true; /* it stays on: without it this processor could not be called any more */
    if (old & BASE_X2APIC && !(value & BASE_X2APIC)) wrmsr(MSR_APIC_BASE, value & ~(uint64_t)(BASE_X2APIC | BASE_ENABLED));
    wrmsr(MSR_APIC_BASE, value);
    return true;
}

void apic_kick(struct vcpu *to)
{
    __atomic_store_n(&to->kicked, 1, __ATOMIC_SEQ_CST);
    if (x2apic_on()) {
        wrmsr(MSR_X2APIC_ICR, (uint64_t)to->apic_id << 32 | ICR_ASSERT | MODE_NMI << 8);
        return;
    }
    uint32_t high = (uint32_t)mmio_real_read(page + APIC_ICR_HIGH, 4); /* the guest may stand between its two writes */
    for (unsigned i = 0; i < KICK_TRIES && mmio_real_read(page + APIC_ICR, 4) & ICR_PENDING; i++) pause_cpu();
    mmio_real_write(page + APIC_ICR_HIGH, 4, (uint64_t)to->apic_id << 24);
    mmio_real_write(page + APIC_ICR, 4, ICR_ASSERT | MODE_NMI << 8);
    for (unsigned i = 0; i < KICK_TRIES && mmio_real_read(page + APIC_ICR, 4) & ICR_PENDING; i++) pause_cpu();
    mmio_real_write(page + APIC_ICR_HIGH, 4, high);
}

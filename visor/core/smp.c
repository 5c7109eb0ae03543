#include "visor/core/smp.h"
#include "visor/core/lock.h"
#include "visor/core/machine.h"
#include "visor/core/print.h"

struct vcpu vcpus[VCPU_MAX];
unsigned vcpu_count;
static struct lock machine;
static uint32_t stopped;

void machine_lock(void)
{
    lock_take(&machine);
}

bool machine_try_lock(void)
{
    return lock_try(&machine);
}

void machine_unlock(void)
{
    lock_drop(&machine);
}

static uint32_t get(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

void smp_init(struct vcpu *to)
{
    __atomic_store_n(&to->sipi, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&to->init, 1, __ATOMIC_SEQ_CST);
    if (get(&to->in_guest)) apic_kick(to);
}

/* Without INIT before it a processor ignores it, and the second of two. */
void smp_sipi(struct vcpu *to, uint8_t vector)
{
    if (get(&to->init)) __atomic_store_n(&to->sipi, 0x100u | vector, __ATOMIC_SEQ_CST);
}

/* Waits for SIPI here, without the lock: a processor in this state does nothing on hardware, either. */
void exit_kick(struct vcpu *vcpu)
{
    uint32_t sipi;
    if (!get(&vcpu->init)) return;
    while (!(sipi = get(&vcpu->sipi))) __builtin_ia32_pause();
    __atomic_store_n(&vcpu->sipi, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vcpu->init, 0, __ATOMIC_SEQ_CST);
    vcpu_reset(vcpu, (uint8_t)sipi);
}

void machine_flush(void)
{
    for (unsigned i = 0; i < vcpu_count; i++) {
        __atomic_store_n(&vcpus[i].flush, 1, __ATOMIC_SEQ_CST);
        if (get(&vcpus[i].in_guest)) apic_kick(&vcpus[i]);
    }
    for (unsigned i = 0; i < vcpu_count; i++)
        while (get(&vcpus[i].in_guest) && get(&vcpus[i].flush)) __builtin_ia32_pause();
}

void smp_stop(void)
{
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < vcpu_count; i++)
        if (get(&vcpus[i].in_guest)) apic_kick(&vcpus[i]);
    for (unsigned i = 0; i < vcpu_count; i++)
        while (get(&vcpus[i].in_guest)) __builtin_ia32_pause();
}

void smp_go(void)
{
    __atomic_store_n(&stopped, 0, __ATOMIC_SEQ_CST);
}

void smp_enter(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->in_guest, 1, __ATOMIC_SEQ_CST);
    while (get(&stopped)) { /* whoever stops looks at in_guest after it has said so: one of the two is seen */
        __atomic_store_n(&vcpu->in_guest, 0, __ATOMIC_SEQ_CST);
        while (get(&stopped)) __builtin_ia32_pause();
        __atomic_store_n(&vcpu->in_guest, 1, __ATOMIC_SEQ_CST);
    }
}

/* What a VM exit leads to. */
#include "visor/arch/x86/svm/svm.h"
#include "visor/core/clock.h"
#include "visor/core/evidence.h"
#include "visor/core/memory.h"
#include "visor/platform/power.h"
#include "visor/core/print.h"
#include "visor/core/smp.h"
#include "visor/forensics/forensics.h"

enum { FAULT_WRITE = 1 << 1, FAULT_FETCH = 1 << 4 };
#define EOI_RECENT_NS UINT64_C(20000000) /* five ticks of a slow clock */
#define FAULT_IN_TABLES (UINT64_C(1) << 33)

void vcpu_code(const struct vcpu *vcpu, struct vcpu_code *code)
{
    const struct vmcb *v = vcpu->svm->vmcb;
    bool is_64 = v->efer & EFER_LMA && v->cs.attributes & 1 << 9; /* CS.L */
    code->bits = is_64 ? 64 : v->cs.attributes & 1 << 10 ? 32 : 16;
    code->linear_rip = is_64 ? vcpu->rip : (v->cs.base + vcpu->rip) & UINT32_MAX;
    code->paging = (struct guest_paging){v->cr0, v->cr3, v->cr4, v->efer};
}

void vcpu_skip(struct vcpu *vcpu, unsigned length)
{
    struct vcpu_code code;
    vcpu_code(vcpu, &code);
    vcpu->rip += length;
    if (code.bits != 64) vcpu->rip &= UINT32_MAX;
    vcpu->svm->vmcb->interrupt_shadow &= ~UINT64_C(1);
}

void vcpu_inject(struct vcpu *vcpu, unsigned vector, bool has_error, uint32_t error)
{
    vcpu->svm->vmcb->inject =
        EVENT_VALID | EVENT_EXCEPTION << 8 | vector | (has_error ? EVENT_ERROR | (uint64_t)error << 32 : 0);
}

void svm_skip(struct svm_cpu *cpu, unsigned bytes)
{
    struct vcpu *vcpu = cpu->vcpu;
    if (cpu->vmcb->next_rip) { /* the processor knows, where it can (NRIPS); else prefixes are counted */
        cpu->vmcb->interrupt_shadow &= ~UINT64_C(1);
        vcpu->rip = cpu->vmcb->next_rip;
        return;
    }
    struct vcpu_code code;
    uint8_t text[15];
    unsigned prefixes = 0;
    vcpu_code(vcpu, &code);
    size_t n = guest_copy_virtual(text, &code.paging, code.linear_rip, sizeof text);
    while (prefixes < n && text[prefixes] != 0x0f) prefixes++;
    vcpu_skip(vcpu, (prefixes < n ? prefixes : 0) + bytes);
}

/* An event whose delivery the exit interrupted is delivered again. A software interrupt's instruction runs again by
 * itself. */
static void redeliver(struct svm_cpu *cpu)
{
    uint64_t event = cpu->vmcb->exit_event;
    if (!(event & EVENT_VALID) || EVENT_TYPE(event) == EVENT_SOFTWARE) return;
    unsigned vector = event & 0xff;
    if (EVENT_TYPE(event) == EVENT_EXCEPTION && (vector == 3 || vector == 4)) return; /* INT3 and INTO, too */
    /* QEMU calls interrupts and NMIs exceptions here, takes neither back as such, and delivers an injected interrupt
     * twice: so it is a virtual one, unless one waits already */
    if (EVENT_TYPE(event) == EVENT_EXCEPTION && vector == VECTOR_NMI) event ^= (EVENT_EXCEPTION ^ EVENT_NMI) << 8;
    if (EVENT_TYPE(event) == EVENT_INTERRUPT || vector > 31) {
        uint64_t *virtual = &cpu->vmcb->interrupt_control;
        if (!(*virtual & VIRTUAL_PENDING) || (*virtual >> 32 & 0xff) == vector) {
            *virtual = VIRTUAL_PENDING | VIRTUAL_ANY_PRIORITY | (uint64_t)vector << 32;
            return;
        }
        event &= ~(UINT64_C(7) << 8);
    }
    cpu->vmcb->inject = event;
}

static void exit_nmi(struct svm_cpu *cpu)
{
    host_take_nmi();
    if (__atomic_exchange_n(&cpu->vcpu->kicked, 0, __ATOMIC_SEQ_CST)) return;
    cpu->vcpu->nmi = 1;
}

/* Before entry: an NMI for the guest, unless its last one is not over or another event goes first. */
static void offer_nmi(struct svm_cpu *cpu)
{
    if (!cpu->vcpu->nmi || cpu->in_nmi || cpu->vmcb->inject & EVENT_VALID) return;
    cpu->vcpu->nmi = 0;
    cpu->in_nmi = true;
    cpu->vmcb->intercept1 |= INTERCEPT_IRET;
    cpu->vmcb->inject = EVENT_VALID | EVENT_NMI << 8 | VECTOR_NMI;
}

static void nested_fault(struct svm_cpu *cpu)
{
    uint64_t info = cpu->vmcb->exit_info1;
    exit_memory(cpu->vcpu, cpu->vmcb->exit_info2,
                info & FAULT_IN_TABLES ? VCPU_WALK
                : info & FAULT_FETCH   ? VCPU_EXECUTE
                : info & FAULT_WRITE   ? VCPU_WRITE
                                       : VCPU_READ);
}

static void exit_port_instruction(struct svm_cpu *cpu)
{
    uint64_t info = cpu->vmcb->exit_info1;
    if (info & (1 << 2 | 1 << 3)) { /* INS, OUTS: nobody does that to a watched port */
        vcpu_inject(cpu->vcpu, VECTOR_GP, true, 0);
        return;
    }
    exit_port(cpu->vcpu, (uint16_t)(info >> 16), (unsigned)(info >> 4 & 7), info & 1);
    cpu->vcpu->rip = cpu->vmcb->exit_info2;
    cpu->vmcb->interrupt_shadow &= ~UINT64_C(1);
}

/* A triple fault, or what nothing good can follow: a machine resets, so this one does. */
static _Noreturn void shutdown(struct svm_cpu *cpu, const char *why)
{
    const struct vmcb *v = cpu->vmcb;
    print("processor %u: %s at %llx (%llx, %llx, %llx); the machine resets", cpu->vcpu->index, why,
          (unsigned long long)v->rip, (unsigned long long)v->exit_code, (unsigned long long)v->exit_info1,
          (unsigned long long)v->exit_info2);
    machine_lock();
    evidence_finish();
    power_reset();
}

/* While evidence is on its way, exits have to come: a guest that waits for interrupts polls instead. One that computes exits at the end of
 * its next interrupt, if it writes that to the local APIC's page, as it did a moment ago; otherwise with its next interrupt, which it then
 * gets, and when it returns from that. That is enough while only the collector's requests are waited for. */
static void keep_going(struct svm_cpu *cpu)
{
    struct vmcb *v = cpu->vmcb;
    uint64_t code = v->exit_code;
    v->intercept1 &= ~(uint32_t)(INTERCEPT_INTERRUPT | INTERCEPT_HLT | (cpu->in_nmi ? 0 : INTERCEPT_IRET));
    enum exit_wish wish = exit_next(code == EXIT_HLT);
    if (wish == EXIT_WHENEVER) return;
    if (wish == EXIT_SOON) v->intercept1 |= INTERCEPT_HLT;
    if (clock_ns() - cpu->vcpu->eoi_ns > EOI_RECENT_NS)
        v->intercept1 |= code == EXIT_INTERRUPT ? INTERCEPT_IRET : INTERCEPT_INTERRUPT;
}

static void dispatch(struct svm_cpu *cpu)
{
    switch (cpu->vmcb->exit_code) {
    case EXIT_NESTED_FAULT:
        machine_lock();
        nested_fault(cpu);
        machine_unlock();
        break;
    case EXIT_PORT:
        machine_lock();
        exit_port_instruction(cpu);
        machine_unlock();
        break;
    case EXIT_MSR:
        svm_exit_msr(cpu);
        break;
    case EXIT_CPUID:
        exit_cpuid(cpu->vcpu, cpu->vmcb->cr4);
        svm_skip(cpu, 2);
        break;
    case EXIT_NMI:
        exit_nmi(cpu);
        break;
    case EXIT_INTERRUPT: /* it stays pending, and is the guest's at the next entry: see keep_going */
        break;
    case EXIT_HLT: /* the guest goes on as after an interrupt that was somebody else's */
        vcpu_skip(cpu->vcpu, 1);
        break;
    case EXIT_IRET:
        cpu->in_nmi = false;
        cpu->vmcb->intercept1 &= ~(uint32_t)INTERCEPT_IRET;
        break;
    case EXIT_INIT:
        host_take_nmi();
        break; /* VM_CR turned it into #SX, which our handler drops */
    case EXIT_SHUTDOWN:
        shutdown(cpu, "triple fault");
    case EXIT_SMI: /* firmware that has not locked its management mode: the guest would be in it, outside of everything here */
        shutdown(cpu, "SMI");
    case EXIT_INVD: /* what caches hold is ours as well */
        __asm__ volatile("wbinvd" : : : "memory");
        svm_skip(cpu, 2);
        break;
    case EXIT_VMMCALL:
        if (hypercall(cpu->vcpu))
            svm_skip(cpu, 3);
        else
            vcpu_inject(cpu->vcpu, VECTOR_UD, false, 0);
        break;
    case EXIT_VMRUN: /* there is no SVM for the guest */
    case EXIT_VMLOAD:
    case EXIT_VMSAVE:
    case EXIT_STGI:
    case EXIT_CLGI:
    case EXIT_SKINIT:
    case EXIT_INVLPGA:
        vcpu_inject(cpu->vcpu, VECTOR_UD, false, 0);
        break;
    default: /* also a state that no processor has, which an emulated one lets the guest reach */
        shutdown(cpu, "an exit that is not known");
    }
}

void svm_exit(struct svm_cpu *cpu)
{
    struct vmcb *v = cpu->vmcb;
    struct vcpu *vcpu = cpu->vcpu;
    vcpu->regs[VCPU_RAX] = v->rax;
    vcpu->regs[VCPU_RSP] = v->rsp;
    vcpu->rip = v->rip;
    vcpu->rflags = v->rflags;
    v->tlb_control = 0;
    v->inject = 0;
    vcpu->exits++;
    redeliver(cpu);
    dispatch(cpu);
    if (vcpu->init) exit_kick(vcpu);
    keep_going(cpu);
    offer_nmi(cpu);
    v->rax = vcpu->regs[VCPU_RAX];
    v->rsp = vcpu->regs[VCPU_RSP];
    v->rip = vcpu->rip;
    v->rflags = vcpu->rflags;
}

void svm_loop(void *arg)
{
    struct svm_cpu *cpu = arg;
    struct vcpu *vcpu = cpu->vcpu;
    for (;;) {
        smp_enter(vcpu);
        if (__atomic_exchange_n(&vcpu->flush, 0, __ATOMIC_SEQ_CST)) cpu->vmcb->tlb_control = 1;
        svm_run(vcpu, memory_physical(cpu->vmcb));
        __atomic_store_n(&vcpu->in_guest, 0, __ATOMIC_SEQ_CST);
        svm_exit(cpu);
    }
}

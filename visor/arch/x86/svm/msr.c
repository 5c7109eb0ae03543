/* MSRs behind which the hypervisor stands. */
#include "visor/arch/x86/svm/svm.h"
#include "visor/core/apic.h"

#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | 1u << 13 | 1u << 14 | 1u << 15)
#define VM_CR_LOOKS                                                                                                    \
    (UINT64_C(1) << 4 | UINT64_C(1) << 3) /* SVMDIS and LOCK: switched off for good, as firmware can do */

static bool read(struct svm_cpu *cpu, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_EFER:
        *value = cpu->vmcb->efer & ~(uint64_t)EFER_SVME;
        return true;
    case MSR_VM_CR:
        *value = VM_CR_LOOKS;
        return true;
    case MSR_VM_HSAVE_PA:
        *value = 0;
        return true;
    default:
        return false; /* also those in no map: the processor has none there, or nobody's business */
    }
}

static bool write_efer(struct svm_cpu *cpu, uint64_t value)
{
    struct vmcb *v = cpu->vmcb;
    bool paging = v->cr0 & CR0_PG;
    if (value & ~(uint64_t)EFER_KNOWN) return false; /* SVME, too: there is no SVM */
    if (paging && ((value ^ v->efer) & EFER_LME)) return false;
    v->efer = (value & ~(uint64_t)EFER_LMA) | (v->efer & EFER_LMA) | EFER_SVME;
    v->tlb_control = 1; /* NXE changes what page tables mean */
    return true;
}

static bool write(struct svm_cpu *cpu, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_EFER:
        return write_efer(cpu, value);
    case MSR_VM_CR:
        return true; /* locked: writes are ignored */
    case MSR_APIC_BASE:
        return apic_base_write(value);
    case MSR_X2APIC_ICR:
        machine_lock();
        apic_icr_write(cpu->vcpu, value, true);
        machine_unlock();
        return true;
    default:
        return false;
    }
}

void svm_exit_msr(struct svm_cpu *cpu)
{
    struct vcpu *vcpu = cpu->vcpu;
    uint32_t msr = (uint32_t)vcpu->regs[VCPU_RCX];
    uint64_t value = vcpu->regs[VCPU_RDX] << 32 | (uint32_t)vcpu->regs[VCPU_RAX];
    bool is_write = cpu->vmcb->exit_info1 & 1;
    if (is_write ? !write(cpu, msr, value) : !read(cpu, msr, &value)) {
        vcpu_inject(vcpu, VECTOR_GP, true, 0);
        return;
    }
    if (!is_write) {
        vcpu->regs[VCPU_RAX] = (uint32_t)value;
        vcpu->regs[VCPU_RDX] = value >> 32;
    }
    svm_skip(cpu, 2);
}

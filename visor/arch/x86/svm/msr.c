/* MSRs behind which the hypervisor stands. */
#include "visor/arch/x86/svm/svm.h"
#include "visor/core/smp.h"

#define EFER_ALWAYS (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define VM_CR_LOOKS                                                                                                    \
    (UINT64_C(1) << 4 | UINT64_C(1) << 3) /* SVMDIS and LOCK: switched off for good, as firmware can do */

/* Writes are ignored. With them memory would become something else, for us as well: MTRRs; SYSCFG, IORRs, TOP_MEM; where configuration
 * space is mapped; SMM's base, address and mask; the table of SEV-SNP. Or our clock (TSC_ADJUST), or what CPUID tells us (C0011002h to 5h).
 * And microcode, which is below us: it is the firmware's to load. */
static const uint32_t pinned[][2] = {{0x3b, 0x3b},             {0xc0011002, 0xc0011005},
                                     {0x200, 0x20f},           {0x250, 0x250},           {0x258, 0x259},
                                     {0x268, 0x26f},           {0x2ff, 0x2ff},           {0xc0010010, 0xc0010010},
                                     {0xc0010016, 0xc001001a}, {0xc001001d, 0xc001001d}, {0xc0010020, 0xc0010020},
                                     {0xc0010058, 0xc0010058}, {0xc0010111, 0xc0010113}, {0xc0010132, 0xc0010133}};

void svm_msr_init(void)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(pinned); i++)
        for (uint32_t msr = pinned[i][0]; msr <= pinned[i][1]; msr++) vcpu_watch_msr(msr, false, true);
}

static bool is_pinned(uint32_t msr)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(pinned); i++)
        if (msr >= pinned[i][0] && msr <= pinned[i][1]) return true;
    return false;
}

/* What this processor has. A bit that it has not would make the next VMRUN fail. */
static uint64_t efer_known(void)
{
    struct cpuid features = cpuid(0x80000001, 0), more = {0};
    if (cpuid(0x80000000, 0).a >= 0x80000021) more = cpuid(0x80000021, 0);
    return EFER_ALWAYS | (features.d >> 25 & 1) << 14 | (features.c >> 17 & 1) << 15 | (more.a >> 7 & 1) << 20 |
           (more.a >> 8 & 1) << 21; /* FFXSR, TCE, UAIE, AIBRSE */
}

static bool read(struct svm_cpu *cpu, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_TSC:
        *value = rdtsc() + cpu->vmcb->tsc_offset;
        return true;
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
    if (value & ~efer_known()) return false; /* SVME, too: there is no SVM */
    if (paging && ((value ^ v->efer) & EFER_LME)) return false;
    v->efer = (value & ~(uint64_t)EFER_LMA) | (v->efer & EFER_LMA) | EFER_SVME;
    v->tlb_control = 1; /* NXE changes what page tables mean */
    return true;
}

static bool write(struct svm_cpu *cpu, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_TSC: /* the guest's stands elsewhere, the processor's goes on */
        cpu->vmcb->tsc_offset = value - rdtsc();
        return true;
    case MSR_EFER:
        return write_efer(cpu, value);
    case MSR_VM_CR:
        return true; /* locked: writes are ignored */
    case MSR_APIC_BASE:
        return apic_base_write(value);
    case MSR_X2APIC_ICR:
        return apic_icr_msr(cpu->vcpu, value);
    default:
        return is_pinned(msr);
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

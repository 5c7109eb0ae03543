/* What the guest's CPUID says: what the processor's does, without SVM; and without MONITOR: who waits by HLT is seen to (keep_going). */
#include "visor/arch/x86/cpu.h"
#include "visor/core/vcpu.h"

void exit_cpuid(struct vcpu *vcpu, uint64_t cr4)
{
    uint32_t leaf = (uint32_t)vcpu->regs[VCPU_RAX];
    struct cpuid r = cpuid(leaf, (uint32_t)vcpu->regs[VCPU_RCX]);
    switch (leaf) { /* bits that mirror CR4 have to mirror the guest's */
    case 1:
        r.c = (r.c & ~(1u << 27 | 1u << 3)) | (cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
        break;
    case 7:
        r.c = (r.c & ~(1u << 4)) | (r.c & 1u << 3 && cr4 & CR4_PKE ? 1u << 4 : 0);
        break;
    case 0x80000001:
        r.c &= ~(1u << 2 | 1u << 12);
        break; /* SVM, SKINIT */
    case 0x8000000a:
        r = (struct cpuid){0};
        break;
    default:
        break;
    }
    vcpu->regs[VCPU_RAX] = r.a;
    vcpu->regs[VCPU_RBX] = r.b;
    vcpu->regs[VCPU_RCX] = r.c;
    vcpu->regs[VCPU_RDX] = r.d;
}

/* The state of a processor after INIT (AMD64 manual, volume 2, 14.1.3), started by SIPI. */
#include "visor/arch/x86/svm/svm.h"

static struct vmcb_segment real(uint16_t selector, uint16_t attributes)
{
    return (struct vmcb_segment){selector, attributes, 0xffff, (uint64_t)selector << 4};
}

void vcpu_reset(struct vcpu *vcpu, uint8_t vector)
{
    struct vmcb *v = vcpu->svm->vmcb;
    uint64_t cr0 = v->cr0;
    memset(vcpu->regs, 0, sizeof vcpu->regs);
    vcpu->regs[VCPU_RDX] = cpuid(1, 0).a;
    vcpu->rip = 0;
    vcpu->rflags = 2;
    v->cs = real((uint16_t)(vector << 8), 0x9b);
    v->ss = v->ds = v->es = v->fs = v->gs = real(0, 0x93);
    v->ldtr = real(0, 0x82);
    v->tr = real(0, 0x8b);
    v->gdtr = v->idtr = (struct vmcb_segment){.limit = 0xffff};
    v->cpl = 0;
    v->cr0 = (cr0 & 0x60000000) | 0x10; /* INIT leaves CD and NW */
    v->cr2 = v->cr3 = v->cr4 = 0;
    v->dr6 = 0xffff0ff0;
    v->dr7 = 0x400;
    v->efer = EFER_SVME;
    v->interrupt_shadow = 0;
    v->inject = v->interrupt_control = 0;
    v->tlb_control = 1;
    v->intercept1 &= ~(uint32_t)INTERCEPT_IRET;
    vcpu->svm->in_nmi = false;
    vcpu->nmi = 0;
    __asm__ volatile("vmload %0"
                     :
                     : "a"((uint64_t)(uintptr_t)v)
                     : "memory"); /* FS, GS, LDTR, TR are in the processor */
}

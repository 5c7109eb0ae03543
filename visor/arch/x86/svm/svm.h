/* AMD SVM: one of these a processor. */
#ifndef VISOR_ARCH_X86_SVM_SVM_H
#define VISOR_ARCH_X86_SVM_SVM_H

#include "visor/arch/x86/host.h"
#include "visor/arch/x86/svm/vmcb.h"
#include "visor/core/vcpu.h"

struct svm_cpu {
    struct vmcb *vmcb;
    struct vcpu *vcpu;
    void *host_save; /* one page, the processor's alone */
    uint8_t *stack;  /* HOST_STACK_BYTES */
    bool in_nmi;     /* the guest's handler has not returned: IRET is watched */
};

/* NULL, or why this processor cannot be a host. Changes nothing. */
const char *svm_missing(void);
/* The permission maps and what is the same for all processors; nested: the root of nested paging. */
void svm_init(uint64_t nested_cr3);
struct svm_cpu *svm_cpu_new(struct vcpu *vcpu);

/* Enters the guest with vcpu's registers until the next exit (run.S). GIF is clear before and after. */
void svm_run(struct vcpu *vcpu, uint64_t vmcb_physical);

/* The loop of a processor, for good. */
void svm_loop(void *svm_cpu);

/* Exits (exit.c, msr.c) */
void svm_exit(struct svm_cpu *cpu);
void svm_exit_msr(struct svm_cpu *cpu);
/* At boot: watches the MSRs that stay as they are. */
void svm_msr_init(void);
/* Skips the intercepted instruction, whose length without prefixes is `bytes`. */
void svm_skip(struct svm_cpu *cpu, unsigned bytes);

#endif

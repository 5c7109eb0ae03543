/* Numbers of MSRs, bits of control registers: AMD64 manual, volume 2. */
#ifndef VISOR_ARCH_X86_BITS_H
#define VISOR_ARCH_X86_BITS_H

#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_PAT 0x277
#define MSR_X2APIC_ICR 0x830
#define MSR_EFER 0xc0000080
#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_SVM_KEY 0xc0010118

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#define EFER_SVME (1u << 12)

#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_OSXSAVE (1u << 18)
#define CR4_PKE (1u << 22)

#endif

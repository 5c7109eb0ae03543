/* The virtual machine control block: AMD64 Architecture Programmer's Manual, volume 2, appendix B. */
#ifndef VISOR_ARCH_X86_SVM_VMCB_H
#define VISOR_ARCH_X86_SVM_VMCB_H

#include "visor/core/lib.h"

enum vmcb_intercept1 { /* bits of intercept1 */
                       INTERCEPT_INTERRUPT = 1 << 0,
                       INTERCEPT_NMI = 1 << 1,
                       INTERCEPT_SMI = 1 << 2,
                       INTERCEPT_INIT = 1 << 3,
                       INTERCEPT_CPUID = 1 << 18,
                       INTERCEPT_IRET = 1 << 20,
                       INTERCEPT_INVD = 1 << 22,
                       INTERCEPT_HLT = 1 << 24,
                       INTERCEPT_INVLPGA = 1 << 26,
                       INTERCEPT_PORT = 1 << 27,
                       INTERCEPT_MSR = 1 << 28,
};
#define INTERCEPT_SHUTDOWN (1u << 31)

enum vmcb_intercept2 { /* bits of intercept2 */
                       INTERCEPT_VMRUN = 1 << 0,
                       INTERCEPT_VMMCALL = 1 << 1,
                       INTERCEPT_VMLOAD = 1 << 2,
                       INTERCEPT_VMSAVE = 1 << 3,
                       INTERCEPT_STGI = 1 << 4,
                       INTERCEPT_CLGI = 1 << 5,
                       INTERCEPT_SKINIT = 1 << 6,
};

enum vmcb_exit {
    EXIT_INTERRUPT = 0x60,
    EXIT_NMI = 0x61,
    EXIT_SMI = 0x62,
    EXIT_INIT = 0x63,
    EXIT_CPUID = 0x72,
    EXIT_IRET = 0x74,
    EXIT_INVD = 0x76,
    EXIT_HLT = 0x78,
    EXIT_INVLPGA = 0x7a,
    EXIT_PORT = 0x7b,
    EXIT_MSR = 0x7c,
    EXIT_SHUTDOWN = 0x7f,
    EXIT_VMRUN = 0x80,
    EXIT_VMMCALL = 0x81,
    EXIT_VMLOAD = 0x82,
    EXIT_VMSAVE = 0x83,
    EXIT_STGI = 0x84,
    EXIT_CLGI = 0x85,
    EXIT_SKINIT = 0x86,
    EXIT_NESTED_FAULT = 0x400,
};

/* Of interrupt_control: an interrupt of ours is pending, its vector in bits 39..32; whatever the guest's TPR is. */
enum vmcb_virtual_interrupt { VIRTUAL_PENDING = 1 << 8, VIRTUAL_ANY_PRIORITY = 1 << 20 };

#define EVENT_VALID (UINT64_C(1) << 31)
#define EVENT_ERROR (UINT64_C(1) << 11)
#define EVENT_TYPE(event) ((unsigned)((event) >> 8 & 7))
enum vmcb_event_type { EVENT_INTERRUPT = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFTWARE = 4 };

struct vmcb_segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept1, intercept2, intercept3;
    uint8_t reserved_18[0x40 - 0x18];
    uint64_t port_map, msr_map, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control; /* 1: flush everything at entry */
    uint8_t reserved_5d[3];
    uint64_t interrupt_control, interrupt_shadow, exit_code, exit_info1, exit_info2, exit_event;
    uint64_t nested_control; /* bit 0: nested paging */
    uint64_t reserved_98[2];
    uint64_t inject, nested_cr3, lbr_control;
    uint32_t clean, reserved_c4;
    uint64_t next_rip;
    uint8_t fetched, fetched_bytes[15];
    uint8_t reserved_e0[0x400 - 0xe0];
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 400h */
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer; /* 4d0h */
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp, reserved_5e0[3], rax; /* 5f8h */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t pat, debug_control; /* 668h */
    uint8_t reserved_678[0x1000 - 0x678];
};

_Static_assert(offsetof(struct vmcb, port_map) == 0x40 && offsetof(struct vmcb, asid) == 0x58, "APM 2, B.1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70 && offsetof(struct vmcb, inject) == 0xa8, "APM 2, B.1");
_Static_assert(offsetof(struct vmcb, clean) == 0xc0 && offsetof(struct vmcb, es) == 0x400, "APM 2, B.1");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0 && offsetof(struct vmcb, cr4) == 0x548, "APM 2, B.2");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8 && offsetof(struct vmcb, rax) == 0x5f8, "APM 2, B.2");
_Static_assert(offsetof(struct vmcb, pat) == 0x668 && sizeof(struct vmcb) == 4096, "APM 2, B.2");

#endif

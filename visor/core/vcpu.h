/* A processor as a guest, and what core/ needs of the vendor's part (arch/x86/svm): the whole interface between them.
 */
#ifndef VISOR_CORE_VCPU_H
#define VISOR_CORE_VCPU_H

#include "visor/core/guest.h"

#define VCPU_MAX 64

enum vcpu_register { VCPU_RAX, VCPU_RCX, VCPU_RDX, VCPU_RBX, VCPU_RSP, VCPU_RBP, VCPU_RSI, VCPU_RDI }; /* and r8..r15 */

enum vcpu_vector { VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14 };

struct vcpu {
    uint64_t regs[16];    /* in the order of x86's encoding. The vendor's assembly counts on their being first */
    uint64_t rip, rflags; /* as regs: read at an exit, written back before the guest goes on */
    unsigned index;       /* of vcpus */
    uint32_t apic_id;
    uint8_t logical_id; /* of the xAPIC, and whether it names clusters: as the guest has set them */
    bool clustered;
    uint64_t exits;

    /* Set by other processors (core/smp.c), then a kick. */
    uint32_t kicked;     /* an NMI is ours */
    uint32_t flush;      /* forget nested translations before the guest goes on */
    uint32_t init;       /* INIT was sent */
    uint32_t sipi;       /* 0x100 | vector: SIPI was sent */
    uint32_t in_guest;   /* may be using translations */
    uint32_t nmi;        /* an NMI for the guest is pending */
    struct svm_cpu *svm; /* the vendor's */
    uint64_t eoi_ns;     /* when the guest last wrote the end of an interrupt to the local APIC's page; 0: never */
};

extern struct vcpu vcpus[VCPU_MAX];
extern unsigned vcpu_count; /* that have been launched */

/* --- what the vendor's part offers */

/* How the guest reads its code: linear address of RIP, 16, 32 or 64 bits, paging. */
struct vcpu_code {
    uint64_t linear_rip;
    unsigned bits;
    struct guest_paging paging;
};
void vcpu_code(const struct vcpu *vcpu, struct vcpu_code *code);

/* The instruction was emulated: go on behind it. */
void vcpu_skip(struct vcpu *vcpu, unsigned length);

/* Raises an exception in the guest; has_error: with the error code. The guest's RIP stays. */
void vcpu_inject(struct vcpu *vcpu, unsigned vector, bool has_error, uint32_t error);

/* Puts the processor into the state that INIT and SIPI leave it in; RIP at vector << 12. */
void vcpu_reset(struct vcpu *vcpu, uint8_t vector);

/* Intercepts guest accesses to an MSR, or to a port of width 1 each. At boot only. */
void vcpu_watch_msr(uint32_t msr, bool reads, bool writes);
void vcpu_watch_ports(uint16_t first, unsigned count);

/* --- what it calls */

/* What the guest wanted to do to a page that nested paging forbids. WALK: read it as one of its page tables. */
enum vcpu_access { VCPU_READ = 1, VCPU_WRITE = 2, VCPU_EXECUTE = 4, VCPU_WALK = 8 };
void exit_memory(struct vcpu *vcpu, uint64_t gpa, enum vcpu_access access);
/* Port I/O on a watched port; size 1, 2 or 4. */
void exit_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in);
/* After an exit: when there should be another one (idle: the guest waits for an interrupt). ON_INTERRUPT: a clock is
 * looked at then, or the collector may ask; SOON: evidence is on its way. */
enum exit_wish { EXIT_WHENEVER, EXIT_ON_INTERRUPT, EXIT_SOON };
enum exit_wish exit_next(bool idle);
/* CPUID, in place. */
void exit_cpuid(struct vcpu *vcpu, uint64_t cr4);
/* A kick, or before the guest goes on: INIT and SIPI. Returns when the guest may run. */
void exit_kick(struct vcpu *vcpu);

/* The one lock that exits hold, except for what concerns their own processor only. */
void machine_lock(void);
bool machine_try_lock(void);
void machine_unlock(void);

#endif

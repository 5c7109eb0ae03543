#include "visor/arch/x86/svm/svm.h"
#include "visor/boot/info.h"
#include "visor/core/memory.h"
#include "visor/core/print.h"

enum { PORT_MAP_BYTES = 12288, MSR_MAP_BYTES = 8192, GUEST_ASID = 1, VM_CR_LOCKED = 1 << 3, VM_CR_DISABLED = 1 << 4 };
#define VM_CR_R_INIT (1u << 1)

static uint8_t *port_map, *msr_map;
static uint64_t nested_root;

const char *svm_missing(void)
{
    struct cpuid vendor = cpuid(0x80000000, 0);
    if (vendor.a < 0x8000000a || !(cpuid(0x80000001, 0).c & 1 << 2))
        return "the processor has no SVM (AMD virtualisation)";
    if (rdmsr(MSR_VM_CR) & VM_CR_DISABLED) return "SVM is switched off by the firmware; look for 'SVM' in its setup";
    if (!(cpuid(0x8000000a, 0).d & 1)) return "the processor has no nested paging";
    if (!(cpuid(0x80000001, 0).d & 1 << 26)) return "the processor has no 1 GiB pages";
    if (rdmsr(MSR_EFER) & EFER_SVME) return "another hypervisor uses SVM already";
    return NULL;
}

void vcpu_watch_msr(uint32_t msr, bool reads, bool writes)
{
    uint32_t at = msr < 0x2000                ? msr
                  : msr - 0xc0000000 < 0x2000 ? msr - 0xc0000000 + 0x2000
                                              : msr - 0xc0010000 + 0x4000;
    msr_map[at / 4] |= (uint8_t)((reads | writes << 1) << at % 4 * 2);
}

void vcpu_watch_ports(uint16_t first, unsigned count)
{
    for (unsigned p = first; p < first + count; p++) port_map[p / 8] |= (uint8_t)(1 << p % 8);
}

void svm_init(uint64_t nested_cr3)
{
    nested_root = nested_cr3;
    port_map = memory_alloc(PORT_MAP_BYTES, PAGE_BYTES);
    msr_map = memory_alloc(MSR_MAP_BYTES, PAGE_BYTES);
    vcpu_watch_msr(MSR_EFER, true, true);        /* SVME stays set behind the guest's back */
    vcpu_watch_msr(MSR_VM_CR, true, true);       /* says "SVM is off" */
    vcpu_watch_msr(MSR_VM_HSAVE_PA, true, true); /* the processor writes its state there */
    vcpu_watch_msr(MSR_SVM_KEY, true, true);
    vcpu_watch_msr(MSR_TSC, true, true);         /* our clock, too */
    vcpu_watch_msr(MSR_APIC_BASE, false, true);  /* its page is watched where it is */
    vcpu_watch_msr(MSR_X2APIC_ICR, false, true); /* INIT and SIPI */
    svm_msr_init();
}

/* A segment register as the descriptor table says, in the VMCB's form. */
static struct vmcb_segment segment(const struct table_register *gdt, uint16_t selector)
{
    struct vmcb_segment s = {.selector = selector};
    uint64_t d;
    if (!(selector & ~7u) || (selector | 7u) > gdt->limit) return s;
    memcpy(&d, (const uint8_t *)(uintptr_t)gdt->base + (selector & ~7u), 8);
    s.attributes = (uint16_t)((d >> 40 & 0xff) | (d >> 44 & 0xf00));
    s.limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));
    if (d >> 55 & 1) s.limit = s.limit << 12 | 0xfff;
    s.base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000);
    return s;
}

/* The control part: what is intercepted. visor/README.md gives each one's reason. */
static void control(struct vmcb *v)
{
    v->intercept1 = INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_INVLPGA | INTERCEPT_PORT |
                    INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
    v->intercept2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI |
                    INTERCEPT_CLGI | INTERCEPT_SKINIT;
    v->port_map = memory_physical(port_map);
    v->msr_map = memory_physical(msr_map);
    v->asid = GUEST_ASID;
    v->tlb_control = 1;
    v->nested_control = 1;
    v->nested_cr3 = nested_root;
}

struct svm_cpu *svm_cpu_new(struct vcpu *vcpu)
{
    struct svm_cpu *cpu = memory_alloc(sizeof *cpu, 64);
    cpu->vcpu = vcpu;
    cpu->vmcb = memory_alloc(sizeof *cpu->vmcb, PAGE_BYTES);
    cpu->host_save = memory_alloc(PAGE_BYTES, PAGE_BYTES);
    cpu->stack = memory_alloc(HOST_STACK_BYTES, PAGE_BYTES);
    control(cpu->vmcb);
    return cpu;
}

/* The state of this processor, which goes on as a guest at rip. */
static void capture(struct vmcb *v, uint64_t rip, uint64_t rsp, uint64_t rflags)
{
    struct table_register gdt, idt;
    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("sidt %0" : "=m"(idt));
    v->gdtr = (struct vmcb_segment){.limit = gdt.limit, .base = gdt.base};
    v->idtr = (struct vmcb_segment){.limit = idt.limit, .base = idt.base};
    v->cs = segment(&gdt, read_cs());
    v->ss = segment(&gdt, read_ss());
    v->ds = segment(&gdt, read_ds());
    v->es = segment(&gdt, read_es());
    __asm__ volatile("vmsave %0"
                     :
                     : "a"(memory_physical(v))
                     : "memory"); /* FS, GS, LDTR, TR and the system call MSRs */
    v->efer = rdmsr(MSR_EFER);
    v->cr0 = read_cr0();
    v->cr2 = read_cr2();
    v->cr3 = read_cr3();
    v->cr4 = read_cr4();
    v->dr6 = read_dr6();
    v->dr7 = read_dr7();
    v->pat = rdmsr(MSR_PAT);
    v->rflags = rflags;
    v->rip = rip;
    v->rsp = rsp;
}

uint64_t visor_launch(uint64_t rip, uint64_t rsp)
{
    uint64_t rflags;
    if (svm_missing()) return 1;
    __asm__ volatile("pushfq; cli; pop %0" : "=r"(rflags) : : "memory");
    unsigned index = __atomic_fetch_add(&vcpu_count, 1, __ATOMIC_SEQ_CST);
    struct vcpu *vcpu = &vcpus[index];
    struct svm_cpu *cpu = vcpu->svm;
    vcpu->apic_id = cpuid(1, 0).b >> 24;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, memory_physical(cpu->host_save));
    if (!(rdmsr(MSR_VM_CR) & VM_CR_LOCKED))
        wrmsr(MSR_VM_CR, rdmsr(MSR_VM_CR) | VM_CR_R_INIT); /* INIT never leaves us */
    __asm__ volatile("clgi");
    capture(cpu->vmcb, rip, rsp, rflags);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE); /* ours alone: nested paging forbids execution */
    host_load();
    host_call_on_stack(svm_loop, cpu, cpu->stack + HOST_STACK_BYTES);
}

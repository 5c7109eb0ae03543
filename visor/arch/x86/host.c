#include "visor/arch/x86/host.h"
#include "visor/core/print.h"

enum { VECTORS = 32, CODE = 8, DATA = 16 };

struct gate {
    uint16_t offset_low, selector, flags, offset_middle;
    uint32_t offset_high, reserved;
};

/* null, 64-bit code, data. Accessed bits are set already. */
static uint64_t gdt[3] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
static struct gate idt[VECTORS];
static uint64_t host_cr3;

extern const uint8_t host_vectors[]; /* host_entry.S: 16 bytes a vector */

void host_init(uint64_t cr3)
{
    host_cr3 = cr3;
    for (unsigned v = 0; v < VECTORS; v++) {
        uint64_t at = (uint64_t)(uintptr_t)host_vectors + 16 * v;
        idt[v] = (struct gate){(uint16_t)at, CODE, 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
    }
}

void host_load(void)
{
    struct table_register g = {sizeof gdt - 1, (uint64_t)(uintptr_t)gdt},
                          i = {sizeof idt - 1, (uint64_t)(uintptr_t)idt};
    __asm__ volatile("mov %0, %%cr3" : : "r"(host_cr3) : "memory");
    __asm__ volatile("lgdt %0" : : "m"(g));
    __asm__ volatile("lidt %0" : : "m"(i));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(DATA));
    __asm__ volatile("pushq %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" : : "i"(CODE) : "rax", "memory");
}

struct host_frame {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* From host_entry.S: an exception in the hypervisor, which is a mistake of ours. Nothing would be true after it. */
void host_exception(const struct host_frame *f);
void host_exception(const struct host_frame *f)
{
    panic("exception %u (%llx) at %llx, address %llx, stack %llx", (unsigned)f->vector, (unsigned long long)f->error,
          (unsigned long long)f->rip, (unsigned long long)read_cr2(), (unsigned long long)f->rsp);
}

/* Instructions that C does not have. */
#ifndef VISOR_ARCH_X86_CPU_H
#define VISOR_ARCH_X86_CPU_H

#include "visor/arch/x86/bits.h"
#include "visor/core/lib.h"

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

struct cpuid {
    uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
    return r;
}

#define CPU_PORT(bits, letter)                                                                                         \
    static inline void out##bits(uint16_t port, uint##bits##_t value)                                                  \
    {                                                                                                                  \
        __asm__ volatile("out" letter " %0, %1" : : "a"(value), "Nd"(port));                                           \
    }                                                                                                                  \
    static inline uint##bits##_t in##bits(uint16_t port)                                                               \
    {                                                                                                                  \
        uint##bits##_t value;                                                                                          \
        __asm__ volatile("in" letter " %1, %0" : "=a"(value) : "Nd"(port));                                            \
        return value;                                                                                                  \
    }
CPU_PORT(8, "b")
CPU_PORT(16, "w")
CPU_PORT(32, "l")
#undef CPU_PORT

static inline uint32_t in_port(uint16_t port, unsigned size)
{
    return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

static inline void out_port(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        out8(port, (uint8_t)value);
    else if (size == 2)
        out16(port, (uint16_t)value);
    else
        out32(port, value);
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

#define CPU_READ(name, bits)                                                                                           \
    static inline uint##bits##_t read_##name(void)                                                                     \
    {                                                                                                                  \
        uint##bits##_t value;                                                                                          \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value));                                                         \
        return value;                                                                                                  \
    }
CPU_READ(cr0, 64)
CPU_READ(cr2, 64)
CPU_READ(cr3, 64)
CPU_READ(cr4, 64)
CPU_READ(dr6, 64)
CPU_READ(dr7, 64)
CPU_READ(cs, 16)
CPU_READ(ss, 16)
CPU_READ(ds, 16)
CPU_READ(es, 16)
#undef CPU_READ

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

static inline void pause_cpu(void)
{
    __asm__ volatile("pause" : : : "memory");
}

#endif

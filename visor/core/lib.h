/* What the hypervisor needs of a C library. Hosted builds (tests) use the real one. */
#ifndef VISOR_CORE_LIB_H
#define VISOR_CORE_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __STDC_HOSTED__
#include <string.h>
#else
/* The compiler calls these four by itself as well. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
#endif

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof *(a))
#define PAGE_BYTES UINT64_C(4096)

static inline uint64_t align_down(uint64_t value, uint64_t power_of_two)
{
    return value & ~(power_of_two - 1);
}

/* True if [a, a+an) and [b, b+bn) share a byte. Wrong for ranges that wrap: the callers exclude them. */
static inline bool ranges_meet(uint64_t a, uint64_t an, uint64_t b, uint64_t bn)
{
    return an && bn && a < b + bn && b < a + an;
}

#endif

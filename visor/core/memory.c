#include "visor/core/memory.h"
#include "visor/core/print.h"

static uint64_t next, end;

void memory_init(uint64_t base, uint64_t bytes)
{
    next = base;
    end = base + bytes;
}

uint64_t memory_left(void)
{
    return end - next;
}

void memory_seal(void)
{
    end = next;
}

void *memory_alloc(uint64_t bytes, uint64_t align)
{
    uint64_t at = align_down(next + align - 1, align);
    if (at > end || bytes > end - at)
        panic("%llu bytes wanted, %llu left", (unsigned long long)bytes, (unsigned long long)(end - next));
    next = at + bytes;
    return memset((void *)(uintptr_t)at, 0, bytes);
}

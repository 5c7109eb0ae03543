#include "tests/visor/fake.h"

char fake_console[4096];
static size_t used;

void fake_console_clear(void)
{
    used = 0;
    fake_console[0] = 0;
}

void print_bytes(const char *bytes, size_t n)
{
    if (n > sizeof fake_console - 1 - used) n = sizeof fake_console - 1 - used;
    memcpy(fake_console + used, bytes, n);
    fake_console[used += n] = 0;
}

_Noreturn void panic(const char *format, ...)
{
    fprintf(stderr, "panic: %s\n", format);
    abort();
}

bool paging_walk(const struct paging *p, uint64_t address, uint64_t *target, uint64_t *flags)
{
    if (address >> p->address_bits) return false;
    const uint64_t *table = p->root;
    for (unsigned level = p->levels;; level--) {
        unsigned shift = 12 + (level - 1) * 9;
        uint64_t entry = table[address >> shift & 511], rest = (UINT64_C(1) << shift) - 1;
        if (!(entry & PAGING_PRESENT)) return false;
        if (level > 1 && !(entry & PAGING_LARGE)) {
            table = (const uint64_t *)(uintptr_t)(entry & PAGING_ADDRESS);
            continue;
        }
        *target = (entry & PAGING_ADDRESS & ~rest) | (address & rest);
        *flags = entry & ~PAGING_ADDRESS & ~PAGING_LARGE;
        return true;
    }
}

#include "visor/core/guest.h"

enum { RAM_MAX = 64 };

struct span {
    uint64_t base, bytes;
};

static struct span ram[RAM_MAX], own;
static unsigned ram_count;

bool guest_ram_add(uint64_t gpa, uint64_t n)
{
    for (unsigned i = 0; i < ram_count; i++) { /* the firmware's map is sorted, mostly */
        if (ram[i].base + ram[i].bytes == gpa) {
            ram[i].bytes += n;
            return true;
        }
    }
    if (ram_count == RAM_MAX || gpa + n < gpa) return false;
    ram[ram_count++] = (struct span){gpa, n};
    return true;
}

void guest_ram_own(uint64_t gpa, uint64_t n)
{
    own = (struct span){gpa, n};
}

bool guest_is_own(uint64_t gpa, uint64_t n)
{
    return gpa + n < gpa ? own.bytes : ranges_meet(gpa, n, own.base, own.bytes);
}

bool guest_is_ram(uint64_t gpa, uint64_t n)
{
    if (gpa + n < gpa || guest_is_own(gpa, n)) return false;
    for (unsigned i = 0; i < ram_count; i++)
        if (gpa >= ram[i].base && gpa - ram[i].base < ram[i].bytes && n <= ram[i].bytes - (gpa - ram[i].base))
            return true;
    return false;
}

bool guest_ram_next(uint64_t at, uint64_t *base, uint64_t *end)
{
    *base = UINT64_MAX;
    for (unsigned i = 0; i < ram_count; i++)
        if (ram[i].base + ram[i].bytes > at && ram[i].base < *base)
            *base = ram[i].base, *end = ram[i].base + ram[i].bytes;
    return *base != UINT64_MAX;
}

bool guest_meets_ram(uint64_t gpa, uint64_t n)
{
    uint64_t base, end;
    return gpa + n < gpa || guest_is_own(gpa, n) || (guest_ram_next(gpa, &base, &end) && base < gpa + n);
}

bool guest_copy(void *dst, uint64_t gpa, size_t n)
{
    if (!guest_is_ram(gpa, n)) return false;
    memcpy(dst, (const void *)(uintptr_t)gpa, n);
    return true;
}

bool guest_store(uint64_t gpa, const void *src, size_t n)
{
    if (!guest_is_ram(gpa, n)) return false;
    memcpy((void *)(uintptr_t)gpa, src, n);
    return true;
}

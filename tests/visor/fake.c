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

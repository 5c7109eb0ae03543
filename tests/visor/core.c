/* The hypervisor's small parts: lines, memory, configuration. */
#include "tests/visor/fake.h"
#include "visor/core/clock.h"
#include "visor/core/config.h"
#include "visor/core/memory.h"

__attribute__((format(printf, 2, 3))) static const char *formatted(size_t size, const char *format, ...)
{
    static char text[64];
    va_list args;
    memset(text, '#', sizeof text);
    va_start(args, format);
    size_t n = print_format(text, size, format, args);
    va_end(args);
    CHECK(n < size && strlen(text) == n);
    return text;
}

static void lines(void)
{
    CHECK(!strcmp(formatted(64, "a%sc %u %x", "b", 42u, 0xbeefu), "abc 42 beef"));
    CHECK(!strcmp(formatted(64, "%016llx|%5d|%03u%%%c", 0xfee00000ull, -12, 7u, 'x'), "00000000fee00000|  -12|007%x"));
    CHECK(!strcmp(formatted(64, "%lld %llu", (long long)INT64_MIN, (unsigned long long)UINT64_MAX),
                  "-9223372036854775808 18446744073709551615"));
    CHECK(!strcmp(formatted(4, "abcdef"), "abc"));
    CHECK(!strcmp(formatted(1, "%u", 5u), ""));

    fake_console_clear();
    print("hello %u", 1u);
    CHECK(!strcmp(fake_console, "visor: hello 1\r\n"));
    char big[2 * PRINT_MAX];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fake_console_clear();
    print("%s", big);
    CHECK(strlen(fake_console) < PRINT_MAX && strstr(fake_console, "x\r\n"));
}

static void memory(void)
{
    static _Alignas(4096) unsigned char arena[3 * 4096];
    memset(arena, 0xaa, sizeof arena);
    memory_init((uintptr_t)arena, sizeof arena);
    unsigned char *a = memory_alloc(10, 1), *b = memory_alloc(4096, 4096);
    CHECK(a == arena && b == arena + 4096 && !a[0] && !b[4095] && arena[4095] == 0xaa);
    CHECK(memory_left() == 4096);
}

static void configuration(void)
{
    static const char text[] = "# loader no\nloader \\EFI\\x.efi \r\n\n  options  a b  c\t\nload y\nwatch one\nwatch "
                               "two\nn 0x1f\nm 12a\nq\nlast 7";
    struct config c = {text, sizeof text - 1};
    char v[16];
    CHECK(config_get(&c, "loader", 0, v, sizeof v) && !strcmp(v, "\\EFI\\x.efi"));
    CHECK(config_get(&c, "options", 0, v, sizeof v) && !strcmp(v, "a b  c"));
    CHECK(config_get(&c, "load", 0, v, sizeof v) && !strcmp(v, "y"));
    CHECK(config_get(&c, "watch", 1, v, sizeof v) && !strcmp(v, "two"));
    CHECK(!config_get(&c, "watch", 2, v, sizeof v) && !v[0]);
    CHECK(!config_get(&c, "q", 0, v, sizeof v) && !config_get(&c, "no", 0, v, sizeof v));
    CHECK(!config_get(&c, "loader", 0, v, 5));
    CHECK(config_number(&c, "n", 1) == 31 && config_number(&c, "last", 1) == 7);
    CHECK(config_number(&c, "m", 9) == 9 && config_number(&c, "none", 9) == 9);
    for (size_t n = 0; n < sizeof text; n++) { /* cut off anywhere */
        char *copy = malloc(n + 1);
        memcpy(copy, text, n);
        config_number(&(struct config){copy, n}, "last", 0);
        free(copy);
    }
}

/* Against timegm, every day from 1970 to 2200. */
static void dates(void)
{
    for (time_t t = 0; t < (time_t)230 * 365 * 86400; t += 86399) {
        struct tm d;
        gmtime_r(&t, &d);
        unsigned seconds = (unsigned)(d.tm_hour * 3600 + d.tm_min * 60 + d.tm_sec);
        uint64_t ns = clock_from_date((unsigned)d.tm_year + 1900, (unsigned)d.tm_mon + 1, (unsigned)d.tm_mday, seconds, 7);
        CHECK(ns == (uint64_t)t * 1000000000 + 7);
    }
    CHECK(!clock_from_date(2026, 13, 1, 0, 0) && !clock_from_date(1969, 1, 1, 0, 0) && !clock_from_date(2026, 1, 0, 0, 0));
    clock_init(3000000000, 0, 5);
    uint64_t a = clock_ns(), b = clock_ns();
    CHECK(a <= b && a > 5);
}

int main(void)
{
    lines();
    memory();
    configuration();
    dates();
    return 0;
}

#include "visor/core/print.h"

struct sink {
    char *at, *end;
};

static void put(struct sink *s, char c)
{
    if (s->at < s->end) *s->at++ = c;
}

static void put_number(struct sink *s, uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[24];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > n; width--) put(s, fill);
    while (n) put(s, digits[--n]);
}

size_t print_format(char *out, size_t size, const char *format, va_list args)
{
    if (!size) return 0;
    struct sink s = {out, out + size - 1};
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&s, *f);
            continue;
        }
        unsigned width = 0, longs = 0;
        char fill = f[1] == '0' ? '0' : ' ';
        while (f[1] >= '0' && f[1] <= '9' && width < 100) width = width * 10 + (unsigned)(*++f - '0');
        while (f[1] == 'l') longs++, f++;
        switch (*++f) {
        case 's':
            for (const char *p = va_arg(args, const char *); *p; p++) put(&s, *p);
            break;
        case 'u':
        case 'x': {
            uint64_t v = longs > 1 ? va_arg(args, unsigned long long) : va_arg(args, unsigned);
            put_number(&s, v, *f == 'x' ? 16 : 10, width, fill);
            break;
        }
        case '%':
            put(&s, '%');
            break;
        default: /* a mistake of ours, and what follows would be read as something it is not */
            put(&s, '?');
            *s.at = 0;
            return (size_t)(s.at - out);
        }
    }
    *s.at = 0;
    return (size_t)(s.at - out);
}

size_t print_text(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = print_format(out, size, format, args);
    va_end(args);
    return n;
}

static void print_line(const char *before, const char *format, va_list args)
{
    char line[PRINT_MAX];
    size_t n = strlen(before);
    memcpy(line, before, n);
    n += print_format(line + n, sizeof line - 2 - n, format, args);
    line[n++] = '\r';
    line[n++] = '\n';
    print_bytes(line, n);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("visor: ", format, args);
    va_end(args);
}

#if !__STDC_HOSTED__
_Noreturn void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("visor: stopped: ", format, args);
    va_end(args);
    for (;;) __asm__ volatile("cli; hlt");
}
#endif

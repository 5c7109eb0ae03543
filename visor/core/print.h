/* The hypervisor's own words, on COM1, which firmware and guest may use as well: for people and tests, not for
 * evidence. */
#ifndef VISOR_CORE_PRINT_H
#define VISOR_CORE_PRINT_H

#include "visor/core/lib.h"
#include <stdarg.h>

#define PRINT_MAX 256 /* bytes of one line; the rest is cut off */

/* Formats into at most `size` bytes, always terminated; returns the length written. Knows %s %u %x %llu %llx %%
 * and a width with or without 0 before it, nothing else. */
size_t print_format(char *out, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* The same. */
size_t print_text(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One line: "visor: ", the text, a line feed. Safe from any processor; waits for nobody, a line feed is part of it. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where print's bytes go: arch/ writes them to COM1, tests to memory. */
void print_bytes(const char *bytes, size_t n);

/* Says it and stops this processor for good. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

#include "chronovisor/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a person typed or a file held may be quoted; the message stays one line and leaves the terminal alone. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
}

int chv_err_set(struct chv_err *err, int code, const char *fmt, ...)
{
    if (!err) return -code;
    err->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    one_line(err->text);
    return -code;
}

int chv_err_prefix(struct chv_err *err, const char *fmt, ...)
{
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    one_line(err->text);
    return -err->code;
}

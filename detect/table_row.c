#include "detect/table_row.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MAX ((UINT64_C(1) << 33) - 1) /* the year 2242; in nanoseconds it fits 64 bits */
#define COLUMNS_MAX 7                        /* one more than any table has */

struct field {
    const char *text;
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static bool no_row(char reason[80], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, 80, fmt, args);
    va_end(args);
    for (char *p = reason; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f) *p = '?';
    return false;
}

static bool parse_number(struct field field, const char *name, uint64_t max, uint64_t *out, char reason[80])
{
    uint64_t value = 0;
    bool digits = field.bytes > 0;
    for (size_t i = 0; digits && i < field.bytes; i++) {
        unsigned digit = (unsigned)(unsigned char)field.text[i] - '0';
        digits = digit <= 9;
        if (value > max || !digits) break;
        value = value * 10 + digit; /* max is far below what would overflow */
    }
    int shown = field.bytes < 24 ? (int)field.bytes : 24;
    if (!digits) return no_row(reason, "%s '%.*s' is no number", name, shown, field.text);
    if (value > max)
        return no_row(reason, "%s '%.*s' is above %llu", name, shown, field.text, (unsigned long long)max);
    *out = value;
    return true;
}

/* A decimal number 0..1 as Java and Python write them: "0.99", "-0.0", "8.2E-4", "1e-05". */
static bool parse_entropy(struct field field, uint16_t *out, char reason[80])
{
    char text[40], *end = text;
    double value = -1;
    if (field.bytes > 0 && field.bytes < sizeof text) {
        memcpy(text, field.text, field.bytes);
        text[field.bytes] = 0;
        /* strtod would take names, hexadecimal and blanks as well */
        if (strspn(text, "0123456789.eE+-") == field.bytes) value = strtod(text, &end);
    }
    if (end == text || *end)
        return no_row(reason, "entropy '%.*s' is no number", (int)(field.bytes < 24 ? field.bytes : 24), field.text);
    /* a sum of logarithms may miss 0 and 1 by its last bits */
    if (!(value >= -1e-9 && value <= 1 + 1e-9)) return no_row(reason, "entropy %.24s is not between 0 and 1", text);
    value = value < 0 ? 0 : value > 1 ? 1 : value;
    *out = (uint16_t)(value * 65535 + 0.5);
    return true;
}

static size_t split(const char *line, size_t bytes, struct field fields[COLUMNS_MAX])
{
    size_t count = 0;
    const char *at = line, *end = line + bytes;
    while (count < COLUMNS_MAX) {
        while (at < end && *at == ' ') at++; /* RanSMAP pads the ticks */
        const char *comma = memchr(at, ',', (size_t)(end - at));
        fields[count++] = (struct field){at, (size_t)((comma ? comma : end) - at)};
        if (!comma) break;
        at = comma + 1;
    }
    return count;
}

bool table_row_parse(const char *line, size_t bytes, bool entropy, struct table_row *row, char reason[80])
{
    struct field fields[COLUMNS_MAX];
    uint64_t tick, size;
    if (bytes == 0) return no_row(reason, "an empty line");
    if (memchr(line, 0, bytes)) return no_row(reason, "a NUL byte: this is no text");
    size_t count = split(line, bytes, fields);
    if (count != 6 && (entropy || count != 4)) /* RanSMAP has two columns without meaning in tables of reads */
        return no_row(reason, "%zu column%s; there should be %s", count,
                      count == 1 ? "" : count == COLUMNS_MAX ? "s or more" : "s",
                      entropy ? "6: seconds,ticks,lba,bytes,entropy,-" : "4 or 6: seconds,ticks,lba,bytes[,-,-]");
    *row = (struct table_row){0};
    if (!parse_number(fields[0], "seconds", SECOND_MAX, &row->second, reason) ||
        !parse_number(fields[1], "ticks", TABLE_TICKS_PER_SECOND - 1, &tick, reason) ||
        !parse_number(fields[2], "lba", (UINT64_C(1) << 48) - 9, &row->lba, reason) ||
        !parse_number(fields[3], "bytes", 4096, &size, reason))
        return false;
    if (size == 0) return no_row(reason, "an access of no bytes");
    row->tick = (uint32_t)tick;
    row->bytes = (uint32_t)size;
    return !entropy || parse_entropy(fields[4], &row->entropy, reason);
}

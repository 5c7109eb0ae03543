#include "visor/core/config.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The line at *at without blanks at its ends; moves *at to the next one. */
static const char *line_next(const char **at, const char *end, const char **line_end)
{
    const char *begin = *at, *stop = begin;
    while (stop < end && *stop != '\n' && *stop) stop++;
    *at = stop < end ? stop + 1 : end;
    while (begin < stop && blank(*begin)) begin++;
    while (stop > begin && blank(stop[-1])) stop--;
    *line_end = stop;
    return begin;
}

bool config_get(const struct config *config, const char *name, unsigned index, char *value, size_t size)
{
    size_t name_bytes = strlen(name);
    const char *at = config->text, *end = at + config->bytes, *stop;
    value[0] = 0;
    while (at < end) {
        const char *line = line_next(&at, end, &stop);
        size_t n = (size_t)(stop - line);
        if (n <= name_bytes || memcmp(line, name, name_bytes) != 0 || !blank(line[name_bytes])) continue;
        if (index--) continue;
        line += name_bytes;
        while (line < stop && blank(*line)) line++;
        n = (size_t)(stop - line);
        if (n >= size) return false;
        memcpy(value, line, n);
        value[n] = 0;
        return true;
    }
    return false;
}

uint64_t config_number(const struct config *config, const char *name, uint64_t otherwise)
{
    char text[24];
    if (!config_get(config, name, 0, text, sizeof text)) return otherwise;
    unsigned base = text[0] == '0' && text[1] == 'x' ? 16 : 10;
    uint64_t value = 0;
    const char *c = base == 16 ? text + 2 : text;
    if (!*c) return otherwise;
    for (; *c; c++) {
        unsigned digit = *c >= '0' && *c <= '9'   ? (unsigned)(*c - '0')
                         : *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a') + 10
                                                  : 99;
        if (digit >= base || value > (UINT64_MAX - digit) / base) return otherwise;
        value = value * base + digit;
    }
    return value;
}

bool config_hex(const struct config *config, const char *name, uint8_t *out, size_t n)
{
    char text[2 * 32 + 1];
    if (!config_get(config, name, 0, text, sizeof text) || strlen(text) != 2 * n) return false;
    for (size_t i = 0; i < 2 * n; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15) return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    return true;
}

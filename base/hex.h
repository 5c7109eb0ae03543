/* Bytes as lowercase hexadecimal text. */
#ifndef CHV_BASE_HEX_H
#define CHV_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* text needs 2 * count + 1 bytes; returns text. */
static inline const char *hex_format(const uint8_t *bytes, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = 0;
    return text;
}

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Reads exactly 2 * count digits; returns 0, or -1 at anything else. Does not need a terminator. */
static inline int hex_parse(const char *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0) return -1;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

#endif

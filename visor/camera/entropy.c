#include "visor/camera/camera.h"

enum { FRACTION = 20, BITS = 12 }; /* of logarithms; log2 of a page's bytes */

/* log2 of 1..4096, in 2^-20: the integer part, then a bit with each squaring of what is left, which is in [1, 2). */
static uint64_t log2_of(uint32_t n)
{
    unsigned whole = 31 - (unsigned)__builtin_clz(n);
    uint64_t rest = (uint64_t)n << (31 - whole), log = (uint64_t)whole << FRACTION;
    for (unsigned bit = FRACTION; bit-- > 0;) {
        rest = rest * rest >> 31;
        if (rest >> 32) rest >>= 1, log |= UINT64_C(1) << bit;
    }
    return log;
}

/* 12 - (sum of n log2 n over the bytes' counts n) / 4096 */
uint16_t entropy_of(const uint8_t page[PAGE_BYTES])
{
    uint16_t count[256] = {0};
    uint64_t sum = 0;
    for (unsigned i = 0; i < PAGE_BYTES; i++) count[page[i]]++;
    for (unsigned i = 0; i < ARRAY_LENGTH(count); i++)
        if (count[i]) sum += count[i] * log2_of(count[i]);
    uint64_t bits = ((uint64_t)BITS << FRACTION) - (sum >> BITS);
    return (uint16_t)((bits * 65535 + (UINT64_C(4) << FRACTION)) >> (FRACTION + 3));
}

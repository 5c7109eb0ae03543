#include "visor/out/aead.h"

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4); /* little-endian hosts only (abi/frame.h) */
    return v;
}

static void store32(uint8_t *p, uint32_t v)
{
    __builtin_memcpy(p, &v, 4);
}

#define ROTATE(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define QUARTER(a, b, c, d) \
    a += b, d = ROTATE(d ^ a, 16), c += d, b = ROTATE(b ^ c, 12), a += b, d = ROTATE(d ^ a, 8), c += d, \
        b = ROTATE(b ^ c, 7)

/* Ten double rounds (RFC 8439, 2.3) of s, without the final addition. The four of each half may come in any order: in this one clang keeps most
 * of the sixteen words in registers (102 instructions a double round, 114 in the RFC's). */
static void rounds(const uint32_t s[16], uint32_t x[16])
{
    uint32_t x0 = s[0], x1 = s[1], x2 = s[2], x3 = s[3], x4 = s[4], x5 = s[5], x6 = s[6], x7 = s[7];
    uint32_t x8 = s[8], x9 = s[9], xa = s[10], xb = s[11], xc = s[12], xd = s[13], xe = s[14], xf = s[15];
    for (int i = 0; i < 10; i++) {
        QUARTER(x2, x6, xa, xe);
        QUARTER(x0, x4, x8, xc);
        QUARTER(x1, x5, x9, xd);
        QUARTER(x3, x7, xb, xf);
        QUARTER(x1, x6, xb, xc);
        QUARTER(x3, x4, x9, xe);
        QUARTER(x0, x5, xa, xf);
        QUARTER(x2, x7, x8, xd);
    }
    x[0] = x0, x[1] = x1, x[2] = x2, x[3] = x3, x[4] = x4, x[5] = x5, x[6] = x6, x[7] = x7;
    x[8] = x8, x[9] = x9, x[10] = xa, x[11] = xb, x[12] = xc, x[13] = xd, x[14] = xe, x[15] = xf;
}

static void begin(uint32_t x[16], const uint8_t key[32])
{
    x[0] = 0x61707865, x[1] = 0x3320646e, x[2] = 0x79622d32, x[3] = 0x6b206574;
    for (int i = 0; i < 8; i++) x[4 + i] = load32(key + 4 * i);
}

void chacha20_xor(const uint8_t key[32], const uint8_t nonce[12], uint32_t counter, uint8_t *buf, size_t n)
{
    uint32_t state[16], x[16];
    begin(state, key);
    for (int i = 0; i < 3; i++) state[13 + i] = load32(nonce + 4 * i);
    for (; n > 0; counter++) {
        size_t part = n < 64 ? n : 64;
        state[12] = counter;
        rounds(state, x);
        if (part == 64) {
            for (int i = 0; i < 16; i++) store32(buf + 4 * i, load32(buf + 4 * i) ^ (x[i] + state[i]));
        } else {
            for (size_t i = 0; i < part; i++) buf[i] ^= (uint8_t)((x[i / 4] + state[i / 4]) >> 8 * (i % 4));
        }
        buf += part;
        n -= part;
    }
}

void aead_derive(const uint8_t key[32], const uint8_t input[16], uint8_t out[32])
{
    uint32_t x[16];
    begin(x, key);
    for (int i = 0; i < 4; i++) x[12 + i] = load32(input + 4 * i);
    rounds(x, x);
    for (int i = 0; i < 4; i++) {
        store32(out + 4 * i, x[i]);
        store32(out + 16 + 4 * i, x[12 + i]);
    }
}

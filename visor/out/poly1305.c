/* Poly1305 with limbs of 44, 44 and 42 bits and 128-bit products, after the public-domain poly1305-donna-64 by Andrew Moon. */
#include "visor/out/aead.h"

#define MASK44 UINT64_C(0xfffffffffff)
#define MASK42 UINT64_C(0x3ffffffffff)
typedef unsigned __int128 u128;

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

void poly1305_init(struct poly1305 *p, const uint8_t key[32])
{
    uint64_t t0 = load64(key), t1 = load64(key + 8);
    p->r[0] = t0 & 0xffc0fffffff;
    p->r[1] = (t0 >> 44 | t1 << 20) & 0xfffffc0ffff;
    p->r[2] = t1 >> 24 & 0x00ffffffc0f;
    p->h[0] = p->h[1] = p->h[2] = 0;
    p->pad[0] = load64(key + 16);
    p->pad[1] = load64(key + 24);
}

/* h = (h + block) * r mod 2^130 - 5, partly reduced. `high` is the bit beyond the block's 16 bytes. */
static void blocks(struct poly1305 *p, const uint8_t *m, size_t count, uint64_t high)
{
    const uint64_t r0 = p->r[0], r1 = p->r[1], r2 = p->r[2], s1 = r1 * 20, s2 = r2 * 20;
    uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2];
    for (; count > 0; count--, m += 16) {
        uint64_t t0 = load64(m), t1 = load64(m + 8);
        h0 += t0 & MASK44;
        h1 += (t0 >> 44 | t1 << 20) & MASK44;
        h2 += (t1 >> 24 & MASK42) | high << 40;
        u128 d0 = (u128)h0 * r0 + (u128)h1 * s2 + (u128)h2 * s1;
        u128 d1 = (u128)h0 * r1 + (u128)h1 * r0 + (u128)h2 * s2;
        u128 d2 = (u128)h0 * r2 + (u128)h1 * r1 + (u128)h2 * r0;
        d1 += (uint64_t)(d0 >> 44);
        d2 += (uint64_t)(d1 >> 44);
        h0 = ((uint64_t)d0 & MASK44) + (uint64_t)(d2 >> 42) * 5;
        h1 = ((uint64_t)d1 & MASK44) + (h0 >> 44);
        h0 &= MASK44;
        h2 = (uint64_t)d2 & MASK42;
    }
    p->h[0] = h0, p->h[1] = h1, p->h[2] = h2;
}

void poly1305_update(struct poly1305 *p, const uint8_t *m, size_t n, bool pad)
{
    blocks(p, m, n / 16, 1);
    size_t rest = n % 16;
    if (rest == 0) return;
    uint8_t last[16] = {0};
    __builtin_memcpy(last, m + n - rest, rest);
    if (!pad) last[rest] = 1;
    blocks(p, last, 1, pad ? 1 : 0);
}

void poly1305_finish(struct poly1305 *p, uint8_t tag[16])
{
    uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2], c;
    for (int i = 0; i < 2; i++) {
        h1 += h0 >> 44, h0 &= MASK44;
        h2 += h1 >> 44, h1 &= MASK44;
        c = h2 >> 42, h2 &= MASK42;
        h0 += c * 5;
    }
    h1 += h0 >> 44, h0 &= MASK44;
    /* h - (2^130 - 5), taken when it is not negative */
    uint64_t g0 = h0 + 5, g1 = h1 + (g0 >> 44), g2 = h2 + (g1 >> 44) - (UINT64_C(1) << 42);
    uint64_t take = (g2 >> 63) - 1;
    h0 = (h0 & ~take) | (g0 & MASK44 & take);
    h1 = (h1 & ~take) | (g1 & MASK44 & take);
    h2 = (h2 & ~take) | (g2 & take);
    u128 sum = (u128)(h0 | h1 << 44) + p->pad[0];
    uint64_t low = (uint64_t)sum, top = (h1 >> 20 | h2 << 24) + p->pad[1] + (uint64_t)(sum >> 64);
    __builtin_memcpy(tag, &low, 8);
    __builtin_memcpy(tag + 8, &top, 8);
}

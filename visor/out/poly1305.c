/* Poly1305 (RFC 8439, 2.5) with limbs of 64 bits and 128-bit products. The lower two bits of r's upper half are 0, so that times 5/4, which
 * brings what is beyond 2^130 back down, is an integer (a reduction that Andy Polyakov's implementations have). */
#include "visor/out/aead.h"

typedef unsigned __int128 u128;

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

void poly1305_init(struct poly1305 *p, const uint8_t key[32])
{
    *p = (struct poly1305){.r = {load64(key) & 0x0ffffffc0fffffff, load64(key + 8) & 0x0ffffffc0ffffffc}, .pad = {load64(key + 16), load64(key + 24)}};
}

/* h = (h + block) * r mod 2^130 - 5, partly reduced: h[2] is at most 4. `high` is the bit beyond the block's 16 bytes. */
static void blocks(struct poly1305 *p, const uint8_t *m, size_t count, uint64_t high)
{
    const uint64_t r0 = p->r[0], r1 = p->r[1], s1 = r1 + (r1 >> 2);
    uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2];
    for (; count > 0; count--, m += 16) {
        u128 d0 = (u128)h0 + load64(m), d1 = (u128)h1 + load64(m + 8) + (uint64_t)(d0 >> 64);
        h2 += high + (uint64_t)(d1 >> 64);
        h0 = (uint64_t)d0, h1 = (uint64_t)d1;
        d0 = (u128)h0 * r0 + (u128)h1 * s1;
        d1 = (u128)h0 * r1 + (u128)h1 * r0 + h2 * s1 + (uint64_t)(d0 >> 64);
        h2 = h2 * r0 + (uint64_t)(d1 >> 64);
        d0 = (u128)(uint64_t)d0 + (h2 >> 2) + (h2 & ~UINT64_C(3)); /* 5 * (h2 >> 2) */
        d1 = (u128)(uint64_t)d1 + (uint64_t)(d0 >> 64);
        h0 = (uint64_t)d0, h1 = (uint64_t)d1;
        h2 = (h2 & 3) + (uint64_t)(d1 >> 64);
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
    /* h - (2^130 - 5), taken when it is not negative: then h + 5 has a bit there */
    u128 g0 = (u128)p->h[0] + 5, g1 = (u128)p->h[1] + (uint64_t)(g0 >> 64);
    uint64_t take = 0 - ((p->h[2] + (uint64_t)(g1 >> 64)) >> 2);
    uint64_t h0 = (p->h[0] & ~take) | ((uint64_t)g0 & take), h1 = (p->h[1] & ~take) | ((uint64_t)g1 & take);
    u128 sum = (u128)h0 + p->pad[0];
    uint64_t low = (uint64_t)sum, top = h1 + p->pad[1] + (uint64_t)(sum >> 64);
    __builtin_memcpy(tag, &low, 8);
    __builtin_memcpy(tag + 8, &top, 8);
}

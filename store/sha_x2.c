/* Two SHA-256 at once on processors with SHA instructions (Intel SDM vol. 2, SHA256RNDS2): one stream leaves the unit
 * idle half of the time, waiting for its own rounds. Counting bytes, for their entropy, goes on in between: it needs
 * the other units. Used only where it agrees with OpenSSL in a self-test. */
#include "store/sha.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

struct lane {
    __m128i abef, cdgh, m[4];
};

#define NI __attribute__((target("sha,sse4.1"))) static inline

/* Message words of group i (four rounds): loaded, or from the four groups before (FIPS 180-4, 6.2.2). */
NI void schedule(struct lane *l, const uint8_t *p, int i, __m128i swap)
{
    __m128i *m = l->m;
    if (i < 4)
        m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), swap);
    else
        m[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(m[i & 3], m[(i + 1) & 3]),
                                                      _mm_alignr_epi8(m[(i + 3) & 3], m[(i + 2) & 3], 4)),
                                        m[(i + 3) & 3]);
}

NI void rounds(struct lane *l, int i, __m128i constants)
{
    __m128i t = _mm_add_epi32(l->m[i & 3], constants);
    l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, t);
    l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(t, 0x0e));
}

/* Four bytes, each in a table of its own: equal neighbours do not wait for each other's increment. */
NI void count4(const uint8_t *p, byte_counts *counts)
{
    uint32_t v;
    memcpy(&v, p, 4);
    (*counts)[0][v & 255]++;
    (*counts)[1][v >> 8 & 255]++;
    (*counts)[2][v >> 16 & 255]++;
    (*counts)[3][v >> 24]++;
}

/* The bytes are counted where there are `counts`: one pair for both, known when this is inlined. */
__attribute__((always_inline)) NI void compress2(struct lane *a, struct lane *b, const uint8_t *pa, const uint8_t *pb,
                                                 byte_counts *ca, byte_counts *cb)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    struct lane x = *a, y = *b;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i constants = _mm_loadu_si128((const __m128i *)(const void *)(k + 4 * i));
        schedule(&x, pa, i, swap);
        schedule(&y, pb, i, swap);
        rounds(&x, i, constants);
        rounds(&y, i, constants);
        if (ca) count4(pa + 4 * i, ca);
        if (cb) count4(pb + 4 * i, cb);
    }
    a->abef = _mm_add_epi32(a->abef, x.abef);
    a->cdgh = _mm_add_epi32(a->cdgh, x.cdgh);
    b->abef = _mm_add_epi32(b->abef, y.abef);
    b->cdgh = _mm_add_epi32(b->cdgh, y.cdgh);
}

NI void begin(struct lane *l)
{
    l->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    l->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

NI void end(const struct lane *l, uint8_t digest[32])
{
    uint32_t abef[4], cdgh[4];
    _mm_storeu_si128((__m128i *)(void *)abef, l->abef);
    _mm_storeu_si128((__m128i *)(void *)cdgh, l->cdgh);
    const uint32_t words[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
    for (int i = 0; i < 8; i++) {
        uint32_t v = __builtin_bswap32(words[i]);
        memcpy(digest + 4 * i, &v, 4);
    }
}

__attribute__((target("sha,sse4.1"))) static void pair_ni(const uint8_t *a, const uint8_t *b, size_t bytes,
                                                          uint8_t da[32], uint8_t db[32], byte_counts *ca, byte_counts *cb)
{
    struct lane x, y;
    uint8_t padding[64] = {0x80};
    begin(&x);
    begin(&y);
    if (ca && cb)
        for (size_t at = 0; at < bytes; at += 64) compress2(&x, &y, a + at, b + at, ca, cb);
    else
        for (size_t at = 0; at < bytes; at += 64) compress2(&x, &y, a + at, b + at, NULL, NULL);
    uint64_t bits = __builtin_bswap64((uint64_t)bytes * 8);
    memcpy(padding + 56, &bits, 8);
    compress2(&x, &y, padding, padding, NULL, NULL);
    end(&x, da);
    end(&y, db);
}

sha256_pair_fn *sha256_pair_fast(void)
{
    uint8_t a[192], b[192], da[32], db[32], want[32];
    if (!__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3")) return NULL;
    unsigned eax = 7, ebx, ecx = 0, edx;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (!(ebx >> 29 & 1)) return NULL; /* CPUID.7.0:EBX.SHA */
    for (int i = 0; i < 192; i++) a[i] = (uint8_t)(i * 7), b[i] = (uint8_t)(i * i + 3);
    pair_ni(a, b, sizeof a, da, db, NULL, NULL);
    sha256_of(a, sizeof a, want);
    if (memcmp(da, want, 32) != 0) return NULL;
    sha256_of(b, sizeof b, want);
    return memcmp(db, want, 32) == 0 ? pair_ni : NULL;
}

#else

sha256_pair_fn *sha256_pair_fast(void)
{
    return NULL;
}

#endif

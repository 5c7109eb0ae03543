/* The construction of RFC 8439, 2.8. */
#include "visor/out/aead.h"

static void authenticate(const uint8_t key[32], const uint8_t nonce[12], const void *ad, size_t ad_bytes,
                         const uint8_t *text, size_t n, uint8_t tag[16])
{
    uint8_t once[64] = {0};
    uint64_t lengths[2] = {ad_bytes, n};
    struct poly1305 p;
    chacha20_xor(key, nonce, 0, once, sizeof once);
    poly1305_init(&p, once);
    poly1305_update(&p, ad, ad_bytes, true);
    poly1305_update(&p, text, n, true);
    poly1305_update(&p, (const uint8_t *)lengths, sizeof lengths, true);
    poly1305_finish(&p, tag);
}

void aead_seal(const uint8_t key[32], const uint8_t nonce[12], const void *ad, size_t ad_bytes, uint8_t *buf, size_t n)
{
    chacha20_xor(key, nonce, 1, buf, n);
    authenticate(key, nonce, ad, ad_bytes, buf, n, buf + n);
}

bool aead_open(const uint8_t key[32], const uint8_t nonce[12], const void *ad, size_t ad_bytes, uint8_t *buf, size_t n)
{
    uint8_t tag[16], differs = 0;
    authenticate(key, nonce, ad, ad_bytes, buf, n, tag);
    for (size_t i = 0; i < sizeof tag; i++) differs |= (uint8_t)(tag[i] ^ buf[n + i]);
    if (differs) return false;
    chacha20_xor(key, nonce, 1, buf, n);
    return true;
}

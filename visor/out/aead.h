/* ChaCha20-Poly1305 (RFC 8439) and HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2), in portable integer C: no tables, no
 * branches on secrets, no memory but the caller's. tests/visor compares them with OpenSSL. */
#ifndef CHV_VISOR_OUT_AEAD_H
#define CHV_VISOR_OUT_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Encrypt `n` bytes in place (buf) and write the tag behind them: buf has room for n + 16. */
void aead_seal(const uint8_t key[32], const uint8_t nonce[12], const void *ad, size_t ad_bytes, uint8_t *buf, size_t n);
/* Check the tag behind buf[n], then decrypt in place. False, and buf as it was, when it does not fit. */
bool aead_open(const uint8_t key[32], const uint8_t nonce[12], const void *ad, size_t ad_bytes, uint8_t *buf, size_t n);

/* A key made from a key and 16 bytes; a pseudorandom function. `out` may be `key`. */
void aead_derive(const uint8_t key[32], const uint8_t input[16], uint8_t out[32]);

/* For tests: the key stream from block `counter` on, and the one-time authenticator. */
void chacha20_xor(const uint8_t key[32], const uint8_t nonce[12], uint32_t counter, uint8_t *buf, size_t n);

struct poly1305 {
    uint64_t r[2], h[3], pad[2];
};
void poly1305_init(struct poly1305 *p, const uint8_t key[32]);
/* Whole message, padded with zeros to 16 bytes (as the construction of RFC 8439, 2.8 does) unless it is the last. */
void poly1305_update(struct poly1305 *p, const uint8_t *m, size_t n, bool pad);
void poly1305_finish(struct poly1305 *p, uint8_t tag[16]);

#endif

/* SHA-256 whose running state is a plain value, so that a digest can be taken at every COMMIT. */
#ifndef CHV_STORE_SHA_H
#define CHV_STORE_SHA_H

#include <stddef.h>
#include <stdint.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* EVP contexts cannot be copied as values */
#include <openssl/sha.h>

struct sha256 {
    SHA256_CTX ctx;
};

static inline void sha256_init(struct sha256 *s)
{
    SHA256_Init(&s->ctx);
}

static inline void sha256_update(struct sha256 *s, const void *data, size_t bytes)
{
    SHA256_Update(&s->ctx, data, bytes);
}

/* The digest so far; the state goes on. */
static inline void sha256_peek(const struct sha256 *s, uint8_t digest[32])
{
    SHA256_CTX copy = s->ctx;
    SHA256_Final(digest, &copy);
}

/* The digest of one piece. SHA256() looks the algorithm up every time, which costs a tenth of a block. */
static inline void sha256_of(const void *data, size_t bytes, uint8_t digest[32])
{
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, data, bytes);
    SHA256_Final(digest, &ctx);
}

/* How often each byte value occurs: the sum of four tables. */
typedef uint16_t byte_counts[4][256];

/* Digests of two pieces of the same length, a multiple of 64; and their bytes added to the counts, both or (NULL)
 * neither. */
typedef void sha256_pair_fn(const uint8_t *a, const uint8_t *b, size_t bytes, uint8_t digest_a[32], uint8_t digest_b[32],
                            byte_counts *counts_a, byte_counts *counts_b);
/* One that beats hashing them in turn and passes its self-test here, or NULL. */
sha256_pair_fn *sha256_pair_fast(void);

#endif

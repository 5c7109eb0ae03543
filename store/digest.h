/* Per-block measures; chv_digest_blocks (public) is built from them. */
#ifndef CHV_STORE_DIGEST_H
#define CHV_STORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Normalised Shannon entropy (0..65535) of `bytes` (a multiple of 8, at most 4096). */
uint16_t digest_entropy(const void *data, size_t bytes);
/* One block to be measured; hash and entropy may be NULL. */
struct digest_job {
    const uint8_t *data;
    uint8_t *hash;
    uint16_t *entropy;
};
/* Measure many blocks of one size (a multiple of 64), two at a time where the processor gains from it. */
void digest_blocks(const struct digest_job *jobs, size_t count, size_t block_bytes);

/* memcmp against itself, one byte on: as fast as memory for zeros, one compare otherwise. */
bool digest_is_zero(const void *data, size_t bytes);

#endif

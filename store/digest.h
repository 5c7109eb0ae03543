/* Per-block measures; chv_digest_blocks (public) is built from them. */
#ifndef CHV_STORE_DIGEST_H
#define CHV_STORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Normalised Shannon entropy (0..65535) of `bytes` (a multiple of 8, at most 4096). */
uint16_t digest_entropy(const void *data, size_t bytes);
/* memcmp against itself, one byte on: as fast as memory for zeros, one compare otherwise. */
bool digest_is_zero(const void *data, size_t bytes);

#endif

/* Ed25519 signatures over 32-byte digests and short texts (OpenSSL). */
#ifndef CHV_STORE_SIGN_H
#define CHV_STORE_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

struct signer;
int signer_load(const char *pem_path, struct signer **out, struct chv_err *err);
void signer_free(struct signer *signer);
const uint8_t *signer_public_key(const struct signer *signer); /* 32 bytes, borrowed */
int signer_sign(const struct signer *signer, const void *data, size_t bytes, uint8_t signature[64]);

bool signature_valid(const uint8_t public_key[32], const void *data, size_t bytes, const uint8_t signature[64]);

#endif

/* ChaCha20-Poly1305 and the key schedule of docs/wire.md, by OpenSSL. (The sensor has an implementation of its own,
 * visor/out; the tests set them against each other.) */
#ifndef CHV_NET_SEAL_H
#define CHV_NET_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/frame.h"
#include "chronovisor/err.h"

struct evp_cipher_ctx_st;

struct seal {
    struct evp_cipher_ctx_st *seal, *open;
};

/* One key for both directions of use; -ENOMEM. */
int seal_init(struct seal *s, const uint8_t key[32]);
void seal_fini(struct seal *s);
/* In place: buf has room for n + 16, ad is clear and authenticated. */
int seal_close(struct seal *s, uint64_t counter, const void *ad, size_t ad_bytes, uint8_t *buf, size_t n);
bool seal_open(struct seal *s, uint64_t counter, const void *ad, size_t ad_bytes, uint8_t *buf, size_t n);

/* key = HChaCha20(key, input), for each 16 bytes of the inputs. */
int seal_derive(uint8_t key[32], const void *inputs, size_t bytes);

/* The pre-shared key from a file of 64 hex digits and white space. Others than the owner must not be able to read it. */
int seal_load_key(const char *path, uint8_t key[32], struct chv_err *err);

#endif

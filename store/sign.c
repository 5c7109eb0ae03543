#include "store/sign.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct signer {
    EVP_PKEY *key;
    uint8_t public_key[32];
};

int signer_load(const char *pem_path, struct signer **out, struct chv_err *err)
{
    FILE *f = fopen(pem_path, "re");
    if (!f) return chv_err_set(err, errno, "signing key %s: %s", pem_path, strerror(errno));
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, (void *)(uintptr_t) "");
    fclose(f);
    struct signer *signer = calloc(1, sizeof *signer);
    size_t bytes = 32;
    if (!signer || !key || EVP_PKEY_id(key) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(key, signer->public_key, &bytes) != 1) {
        EVP_PKEY_free(key);
        free(signer);
        return chv_err_set(err, EINVAL,
                           "signing key %s is not an unencrypted Ed25519 private key in PEM; make one with "
                           "'openssl genpkey -algorithm ed25519 -out KEY.pem'", pem_path);
    }
    signer->key = key;
    *out = signer;
    return 0;
}

void signer_free(struct signer *signer)
{
    if (!signer) return;
    EVP_PKEY_free(signer->key);
    free(signer);
}

const uint8_t *signer_public_key(const struct signer *signer)
{
    return signer->public_key;
}

int signer_sign(const struct signer *signer, const void *data, size_t bytes, uint8_t signature[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t length = 64;
    int good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->key) == 1 &&
               EVP_DigestSign(ctx, signature, &length, data, bytes) == 1 && length == 64;
    EVP_MD_CTX_free(ctx);
    return good ? 0 : -EIO;
}

bool signature_valid(const uint8_t public_key[32], const void *data, size_t bytes, const uint8_t signature[64])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, signature, 64, data, bytes) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

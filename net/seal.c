#include "net/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/io.h"

int seal_init(struct seal *s, const uint8_t key[32])
{
    s->seal = EVP_CIPHER_CTX_new();
    s->open = EVP_CIPHER_CTX_new();
    if (s->seal && s->open && EVP_EncryptInit_ex(s->seal, EVP_chacha20_poly1305(), NULL, key, NULL) == 1 &&
        EVP_DecryptInit_ex(s->open, EVP_chacha20_poly1305(), NULL, key, NULL) == 1)
        return 0;
    seal_fini(s);
    return -ENOMEM;
}

void seal_fini(struct seal *s)
{
    EVP_CIPHER_CTX_free(s->seal); /* clears the key */
    EVP_CIPHER_CTX_free(s->open);
    s->seal = s->open = NULL;
}

static void nonce_of(uint64_t counter, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    memcpy(nonce + 4, &counter, 8);
}

int seal_close(struct seal *s, uint64_t counter, const void *ad, size_t ad_bytes, uint8_t *buf, size_t n)
{
    uint8_t nonce[12];
    int out;
    nonce_of(counter, nonce);
    bool good = EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, nonce) == 1 &&
                EVP_EncryptUpdate(s->seal, NULL, &out, ad, (int)ad_bytes) == 1 &&
                EVP_EncryptUpdate(s->seal, buf, &out, buf, (int)n) == 1 && EVP_EncryptFinal_ex(s->seal, buf + n, &out) == 1 &&
                EVP_CIPHER_CTX_ctrl(s->seal, EVP_CTRL_AEAD_GET_TAG, CHV_WIRE_TAG_BYTES, buf + n) == 1;
    return good ? 0 : -EIO;
}

bool seal_open(struct seal *s, uint64_t counter, const void *ad, size_t ad_bytes, uint8_t *buf, size_t n)
{
    uint8_t nonce[12];
    int out;
    nonce_of(counter, nonce);
    return EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_AEAD_SET_TAG, CHV_WIRE_TAG_BYTES, buf + n) == 1 &&
           EVP_DecryptUpdate(s->open, NULL, &out, ad, (int)ad_bytes) == 1 &&
           EVP_DecryptUpdate(s->open, buf, &out, buf, (int)n) == 1 && EVP_DecryptFinal_ex(s->open, buf + n, &out) == 1;
}

/* OpenSSL has no HChaCha20. It is the ChaCha20 block of key and input (as counter and nonce) without the final addition
 * of the initial state, of which words 0 to 3 are constants and 12 to 15 the input: so it is taken off again. */
static int hchacha20(EVP_CIPHER_CTX *ctx, const uint8_t key[32], const uint8_t input[16], uint8_t out[32])
{
    static const uint8_t zeros[64];
    uint32_t block[16], in[4], constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    int n;
    memcpy(in, input, 16);
    if (EVP_EncryptInit_ex(ctx, EVP_chacha20(), NULL, key, input) != 1) return -EIO;
    if (EVP_EncryptUpdate(ctx, (uint8_t *)block, &n, zeros, sizeof zeros) != 1 || n != sizeof zeros) return -EIO;
    for (size_t i = 0; i < 4; i++) {
        block[i] -= constants[i];
        block[12 + i] -= in[i];
    }
    memcpy(out, block, 16);
    memcpy(out + 16, block + 12, 16);
    OPENSSL_cleanse(block, sizeof block);
    return 0;
}

int seal_derive(uint8_t key[32], const void *inputs, size_t bytes)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int r = ctx ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < bytes; i += 16) r = hchacha20(ctx, key, (const uint8_t *)inputs + i, key);
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

int seal_load_key(const char *path, uint8_t key[32], struct chv_err *err)
{
    char text[128];
    struct stat st;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = errno;
        if (fd >= 0) close(fd);
        return chv_err_set(err, code, "key %s: %s", path, strerror(code));
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got < 0) return chv_err_set(err, errno, "key %s: %s", path, strerror(errno));
    if (S_ISREG(st.st_mode) && (st.st_mode & 0077))
        return chv_err_set(err, EACCES, "key %s: others may read it; chmod 600 it, or make a new one", path);
    while (got > 0 && strchr(" \t\r\n", text[got - 1])) got--;
    text[got] = 0;
    n = (size_t)got;
    int r = n == 64 && hex_parse(text, key, 32) == 0
                ? 0
                : chv_err_set(err, EINVAL, "key %s: 64 hex digits are wanted; 'openssl rand -hex 32' makes them", path);
    OPENSSL_cleanse(text, sizeof text);
    return r;
}

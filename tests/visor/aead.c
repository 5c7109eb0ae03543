/* The freestanding ChaCha20-Poly1305 against RFC 8439's vectors, the draft's for HChaCha20, and OpenSSL's on random input. */
#include <openssl/evp.h>

#include "base/hex.h"
#include "tests/unit.h"
#include "visor/out/aead.h"

static void unhex(const char *text, uint8_t *out)
{
    CHECK(hex_parse(text, out, strlen(text) / 2) == 0);
}

static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                                "sunscreen would be it.";

static void rfc8439(void)
{
    uint8_t key[32], nonce[12], ad[12], want[16], buf[256];
    const size_t n = sizeof sunscreen - 1;
    /* 2.8.2 */
    unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key);
    unhex("070000004041424344454647", nonce);
    unhex("50515253c0c1c2c3c4c5c6c7", ad);
    memcpy(buf, sunscreen, n);
    aead_seal(key, nonce, ad, sizeof ad, buf, n);
    unhex("d31a8d34648e60db7b86afbc53ef7ec2", want);
    CHECK(memcmp(buf, want, 16) == 0);
    unhex("1ae10b594f09e26a7e902ecbd0600691", want);
    CHECK(memcmp(buf + n, want, 16) == 0);
    CHECK(aead_open(key, nonce, ad, sizeof ad, buf, n) && memcmp(buf, sunscreen, n) == 0);
    /* 2.4.2 */
    for (int i = 0; i < 32; i++) key[i] = (uint8_t)i;
    unhex("000000000000004a00000000", nonce);
    memcpy(buf, sunscreen, n);
    chacha20_xor(key, nonce, 1, buf, n);
    unhex("6e2e359a2568f98041ba0728dd0d6981", want);
    CHECK(memcmp(buf, want, 16) == 0);
    /* 2.5.2 */
    struct poly1305 p;
    unhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b", key);
    poly1305_init(&p, key);
    poly1305_update(&p, (const uint8_t *)"Cryptographic Forum Research Group", 34, false);
    poly1305_finish(&p, buf);
    unhex("a8061dc1305136c6c22b8baf0c0127a9", want);
    CHECK(memcmp(buf, want, 16) == 0);
}

/* RFC 8439, A.3: what carries and the final reduction get wrong when they are wrong. */
static void poly1305_corners(void)
{
    static const struct {
        const char *r, *s, *message, *tag;
    } cases[] = {
        {"02000000000000000000000000000000", "00000000000000000000000000000000", "ffffffffffffffffffffffffffffffff",
         "03000000000000000000000000000000"},
        {"02000000000000000000000000000000", "ffffffffffffffffffffffffffffffff", "02000000000000000000000000000000",
         "03000000000000000000000000000000"},
        {"01000000000000000000000000000000", "00000000000000000000000000000000",
         "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff11000000000000000000000000000000",
         "05000000000000000000000000000000"},
        {"01000000000000000000000000000000", "00000000000000000000000000000000",
         "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe01010101010101010101010101010101",
         "00000000000000000000000000000000"},
        {"02000000000000000000000000000000", "00000000000000000000000000000000", "fdffffffffffffffffffffffffffffff",
         "faffffffffffffffffffffffffffffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t key[32], message[64], tag[16], want[16];
        struct poly1305 p;
        unhex(cases[i].r, key);
        unhex(cases[i].s, key + 16);
        unhex(cases[i].message, message);
        unhex(cases[i].tag, want);
        poly1305_init(&p, key);
        poly1305_update(&p, message, strlen(cases[i].message) / 2, false);
        poly1305_finish(&p, tag);
        CHECK(memcmp(tag, want, 16) == 0);
    }
}

static void hchacha20(void)
{
    uint8_t key[32], input[16], out[32], want[32];
    unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", key);
    unhex("000000090000004a0000000031415927", input);
    unhex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc", want);
    aead_derive(key, input, out);
    CHECK(memcmp(out, want, 32) == 0);
}

/* OpenSSL opens what we seal, byte for byte the same, and a flipped bit anywhere is found. */
static void against_openssl(uint64_t seed)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    for (int round = 0; round < 3000; round++) {
        uint8_t key[32], nonce[12], ad[80], plain[4300], ours[4316], theirs[4316];
        size_t n = unit_random(&seed) % (round % 10 ? 300 : 4300), ad_bytes = unit_random(&seed) % sizeof ad;
        for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)unit_random(&seed);
        for (size_t i = 0; i < sizeof nonce; i++) nonce[i] = (uint8_t)unit_random(&seed);
        for (size_t i = 0; i < sizeof ad; i++) ad[i] = (uint8_t)unit_random(&seed);
        bool ones = unit_random(&seed) % 8 == 0;
        for (size_t i = 0; i < n; i++) plain[i] = ones ? 0xff : (uint8_t)unit_random(&seed);
        memcpy(ours, plain, n);
        aead_seal(key, nonce, ad, ad_bytes, ours, n);
        int out;
        CHECK(EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, nonce) == 1);
        CHECK(ad_bytes == 0 || EVP_EncryptUpdate(ctx, NULL, &out, ad, (int)ad_bytes) == 1);
        CHECK(n == 0 || EVP_EncryptUpdate(ctx, theirs, &out, plain, (int)n) == 1);
        CHECK(EVP_EncryptFinal_ex(ctx, theirs + n, &out) == 1);
        CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, theirs + n) == 1);
        CHECK(memcmp(ours, theirs, n + 16) == 0);
        uint64_t bit = unit_random(&seed) % ((n + 16) * 8);
        theirs[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!aead_open(key, nonce, ad, ad_bytes, theirs, n));
        if (ad_bytes > 0) CHECK(!aead_open(key, nonce, ad, ad_bytes - 1, ours, n));
        CHECK(aead_open(key, nonce, ad, ad_bytes, ours, n) && memcmp(ours, plain, n) == 0);
    }
    EVP_CIPHER_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    rfc8439();
    poly1305_corners();
    hchacha20();
    against_openssl(seed);
    return 0;
}

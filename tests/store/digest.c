/* Digests and entropies of blocks against EVP and against values that follow from the definition. */
#include <openssl/evp.h>

#include "chronovisor/store.h"
#include "tests/unit.h"

static void check_hashes(const uint8_t *data, size_t block_bytes, size_t count)
{
    uint8_t hashes[8][CHV_HASH_BYTES], want[CHV_HASH_BYTES];
    chv_digest_blocks(data, block_bytes, count, hashes, NULL);
    for (size_t i = 0; i < count; i++) {
        CHECK(EVP_Digest(data + i * block_bytes, block_bytes, want, NULL, EVP_sha256(), NULL));
        CHECK(memcmp(hashes[i], want, sizeof want) == 0);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    static uint8_t data[8 * 4096];
    uint16_t entropies[8];
    for (size_t i = 0; i < 3 * 4096; i++) data[i] = (uint8_t)unit_random(&seed); /* three of noise, then zeros, then: */
    data[5 * 4096 + 4095] = 1;                                               /* all but zeros, at either end */
    data[6 * 4096] = 1;
    for (size_t i = 0; i < 4096; i++) data[7 * 4096 + i] = (uint8_t)i;       /* every value equally often */
    check_hashes(data, 4096, 8);
    for (size_t at = 0; at < sizeof data; at += 4096) check_hashes(data + at, 512, 8);
    chv_digest_blocks(data, 4096, 8, NULL, entropies);
    CHECK(entropies[0] > 65000 && entropies[3] == 0 && entropies[4] == 0);
    CHECK(entropies[5] > 0 && entropies[5] == entropies[6] && entropies[7] == 65535);
    return 0;
}

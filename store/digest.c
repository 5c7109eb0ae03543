/* SHA-256 and byte entropy of blocks: the two costs every captured block pays. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "chronovisor/store.h"
#include "store/digest.h"
#include "store/sha.h"

/* c * log2(c) for the counts of a block of at most 4096 bytes, and what zeros hash to. */
static struct {
    pthread_once_t once;
    double c_log_c[4097];
    uint8_t zeros_4096[32], zeros_512[32];
} tables = {.once = PTHREAD_ONCE_INIT};

static void tables_fill(void)
{
    static const uint8_t zeros[4096];
    for (int c = 1; c <= 4096; c++) tables.c_log_c[c] = c * log2(c);
    sha256_of(zeros, 4096, tables.zeros_4096);
    sha256_of(zeros, 512, tables.zeros_512);
}

uint16_t digest_entropy(const void *data, size_t bytes)
{
    /* Four tables: equal neighbours do not wait for each other's increment. */
    uint16_t counts[4][256];
    const uint8_t *p = data;
    pthread_once(&tables.once, tables_fill);
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        counts[0][v & 255]++;
        counts[1][v >> 8 & 255]++;
        counts[2][v >> 16 & 255]++;
        counts[3][v >> 24 & 255]++;
        counts[0][v >> 32 & 255]++;
        counts[1][v >> 40 & 255]++;
        counts[2][v >> 48 & 255]++;
        counts[3][v >> 56]++;
    }
    double sum = 0;
    for (int i = 0; i < 256; i++)
        sum += tables.c_log_c[counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i]];
    double n = (double)bytes;
    double bits = log2(n) - sum / n;
    return bits <= 0 ? 0 : (uint16_t)(bits / 8 * 65535 + 0.5);
}

bool digest_is_zero(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

void chv_digest_blocks(const void *data, size_t block_bytes, size_t count, uint8_t (*hashes)[CHV_HASH_BYTES],
                       uint16_t *entropies)
{
    const uint8_t *p = data;
    pthread_once(&tables.once, tables_fill);
    for (size_t i = 0; i < count; i++, p += block_bytes) {
        /* Zeros are the most common content there is: found out in a tenth of the time of hashing them. */
        if ((block_bytes == 4096 || block_bytes == 512) && digest_is_zero(p, block_bytes)) {
            if (hashes) memcpy(hashes[i], block_bytes == 4096 ? tables.zeros_4096 : tables.zeros_512, CHV_HASH_BYTES);
            if (entropies) entropies[i] = 0;
            continue;
        }
        if (hashes) sha256_of(p, block_bytes, hashes[i]);
        if (entropies) entropies[i] = digest_entropy(p, block_bytes);
    }
}

/* SHA-256 and byte entropy of blocks: the two costs every captured block pays. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "chronovisor/store.h"
#include "store/digest.h"
#include "store/sha.h"

/* c * log2(c) * 65536 for the counts of a block of at most 4096 bytes, rounded: integers, so that every build and every
 * later reader of the features gets the same entropy. Sums stay below 2^32 (4096 * 12 * 65536). */
static struct {
    pthread_once_t once;
    uint32_t c_log_c[4097];
    uint8_t zeros_4096[32], zeros_512[32];
    sha256_pair_fn *pair; /* NULL: one at a time */
} tables = {.once = PTHREAD_ONCE_INIT};

static void tables_fill(void)
{
    static const uint8_t zeros[4096];
    for (int c = 1; c <= 4096; c++) tables.c_log_c[c] = (uint32_t)(c * log2(c) * 65536 + 0.5);
    sha256_of(zeros, 4096, tables.zeros_4096);
    sha256_of(zeros, 512, tables.zeros_512);
    tables.pair = sha256_pair_fast();
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
    uint32_t sum = 0;
    for (int i = 0; i < 256; i++)
        sum += tables.c_log_c[counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i]];
    /* log2(n) - sum / n, normalised; n is small and log2(n) of the sizes in use is whole */
    uint64_t whole = tables.c_log_c[bytes], left = whole > sum ? whole - sum : 0; /* bits * n * 65536 */
    return (uint16_t)((left * 65535 + bytes * 8 * 65536 / 2) / (bytes * 8 * 65536));
}

bool digest_is_zero(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

static bool known_zeros(const struct digest_job *job, size_t block_bytes)
{
    /* Zeros are the most common content there is: found out in a tenth of the time of hashing them. */
    if ((block_bytes != 4096 && block_bytes != 512) || !digest_is_zero(job->data, block_bytes)) return false;
    if (job->hash) memcpy(job->hash, block_bytes == 4096 ? tables.zeros_4096 : tables.zeros_512, CHV_HASH_BYTES);
    if (job->entropy) *job->entropy = 0;
    return true;
}

void digest_blocks(const struct digest_job *jobs, size_t count, size_t block_bytes)
{
    const struct digest_job *waiting = NULL; /* for a second to be hashed with */
    pthread_once(&tables.once, tables_fill);
    for (size_t i = 0; i < count; i++) {
        const struct digest_job *job = &jobs[i];
        if (known_zeros(job, block_bytes)) continue;
        if (job->entropy) *job->entropy = digest_entropy(job->data, block_bytes);
        if (!job->hash) continue;
        if (!tables.pair) {
            sha256_of(job->data, block_bytes, job->hash);
        } else if (waiting) {
            tables.pair(waiting->data, job->data, block_bytes, waiting->hash, job->hash);
            waiting = NULL;
        } else {
            waiting = job;
        }
    }
    if (waiting) sha256_of(waiting->data, block_bytes, waiting->hash);
}

void chv_digest_blocks(const void *data, size_t block_bytes, size_t count, uint8_t (*hashes)[CHV_HASH_BYTES],
                       uint16_t *entropies)
{
    const uint8_t *p = data;
    while (count > 0) {
        struct digest_job jobs[32];
        size_t n = count < 32 ? count : 32;
        for (size_t i = 0; i < n; i++, p += block_bytes)
            jobs[i] = (struct digest_job){p, hashes ? *hashes++ : NULL, entropies ? entropies++ : NULL};
        digest_blocks(jobs, n, block_bytes);
        count -= n;
    }
}

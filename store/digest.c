/* SHA-256 and byte entropy of blocks: the two costs every captured block pays. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "chronovisor/store.h"
#include "store/digest.h"
#include "store/sha.h"

#define PREFETCH_BYTES 512u /* the least a block has */

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

static void count_bytes(const void *data, size_t bytes, byte_counts *counts)
{
    const uint8_t *p = data;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        (*counts)[0][v & 255]++;
        (*counts)[1][v >> 8 & 255]++;
        (*counts)[2][v >> 16 & 255]++;
        (*counts)[3][v >> 24 & 255]++;
        (*counts)[0][v >> 32 & 255]++;
        (*counts)[1][v >> 40 & 255]++;
        (*counts)[2][v >> 48 & 255]++;
        (*counts)[3][v >> 56]++;
    }
}

static uint16_t entropy_of(byte_counts *counts, size_t bytes)
{
    uint32_t sum = 0;
    for (int i = 0; i < 256; i++)
        sum += tables.c_log_c[(*counts)[0][i] + (*counts)[1][i] + (*counts)[2][i] + (*counts)[3][i]];
    /* log2(n) - sum / n, normalised; n is small and log2(n) of the sizes in use is whole */
    uint64_t whole = tables.c_log_c[bytes], left = whole > sum ? whole - sum : 0; /* bits * n * 65536 */
    return (uint16_t)((left * 65535 + bytes * 8 * 65536 / 2) / (bytes * 8 * 65536));
}

uint16_t digest_entropy(const void *data, size_t bytes)
{
    byte_counts counts = {{0}};
    pthread_once(&tables.once, tables_fill);
    count_bytes(data, bytes, &counts);
    return entropy_of(&counts, bytes);
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

static void measure(const struct digest_job *job, size_t block_bytes)
{
    if (job->hash) sha256_of(job->data, block_bytes, job->hash);
    if (job->entropy) *job->entropy = digest_entropy(job->data, block_bytes);
}

static void measure_pair(const struct digest_job *a, const struct digest_job *b, size_t block_bytes)
{
    if (!a->entropy || !b->entropy) {
        tables.pair(a->data, b->data, block_bytes, a->hash, b->hash, NULL, NULL);
        if (a->entropy) *a->entropy = digest_entropy(a->data, block_bytes);
        if (b->entropy) *b->entropy = digest_entropy(b->data, block_bytes);
        return;
    }
    byte_counts counts_a = {{0}}, counts_b = {{0}};
    tables.pair(a->data, b->data, block_bytes, a->hash, b->hash, &counts_a, &counts_b);
    *a->entropy = entropy_of(&counts_a, block_bytes);
    *b->entropy = entropy_of(&counts_b, block_bytes);
}

/* The next two blocks, into the cache: they lie anywhere in a queue. Their beginnings will do, the processor follows. */
static void prefetch(const struct digest_job *jobs, size_t count)
{
    for (size_t i = 0; i < count && i < 2; i++)
        for (size_t at = 0; at < PREFETCH_BYTES; at += 64) __builtin_prefetch(jobs[i].data + at);
}

void digest_blocks(const struct digest_job *jobs, size_t count, size_t block_bytes)
{
    const struct digest_job *waiting = NULL; /* for a second to be hashed with */
    pthread_once(&tables.once, tables_fill);
    for (size_t i = 0; i < count; i++) {
        const struct digest_job *job = &jobs[i];
        if (known_zeros(job, block_bytes)) continue;
        if (!tables.pair || !job->hash) {
            measure(job, block_bytes);
        } else if (waiting) {
            prefetch(job + 1, count - i - 1);
            measure_pair(waiting, job, block_bytes);
            waiting = NULL;
        } else {
            waiting = job;
        }
    }
    if (waiting) measure(waiting, block_bytes);
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

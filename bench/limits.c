/* What no recorder on this machine can go below: hashing and measuring a block, and writing to the disk it writes to.
 *
 *   limits DIR      one JSON object: digest_us (a block, one core, caches cold), direct_mb_s (past the page cache) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "chronovisor/store.h"

enum { BLOCK = 4096, BLOCKS = 32768, PIECE = 1 << 20, PIECES = 1024 };

static int fail(const char *what)
{
    fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
    return 2;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: limits DIR\n");
        return 2;
    }
    uint8_t *data = aligned_alloc(BLOCK, (size_t)BLOCKS * BLOCK);
    uint8_t(*hashes)[CHV_HASH_BYTES] = malloc(BLOCKS * sizeof *hashes);
    uint16_t *entropies = malloc(BLOCKS * sizeof *entropies);
    if (!data || !hashes || !entropies) return fail("memory");
    uint64_t x = 1;
    for (size_t i = 0; i < (size_t)BLOCKS * BLOCK / 8; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(data + 8 * i, &x, 8);
    }
    double digest_us = 0;
    for (int round = 0; round < 3; round++) {
        uint64_t begun = clock_monotonic_ns();
        chv_digest_blocks(data, BLOCK, BLOCKS, hashes, entropies);
        double us = (double)(clock_monotonic_ns() - begun) / 1000 / BLOCKS;
        if (round == 0 || us < digest_us) digest_us = us;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/limits.tmp", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (fd < 0) return fail(path);
    unlink(path);
    uint64_t begun = clock_monotonic_ns();
    for (int i = 0; i < PIECES; i++)
        if (pwrite(fd, data + (size_t)(i % 64) * PIECE, PIECE, (off_t)i * PIECE) != PIECE) return fail(path);
    if (fdatasync(fd) < 0) return fail(path);
    double seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    printf("{\"digest_us\": %.3f, \"direct_mb_s\": %.0f}\n", digest_us, (double)PIECE * PIECES / 1e6 / seconds);
    close(fd);
    free(entropies);
    free(hashes);
    free(data);
    return 0;
}

#include "sensor/capture/blocks.h"

#include <errno.h>
#include <stdlib.h>

int blocks_init(struct blocks *b, uint64_t count)
{
    uint64_t words = count / 64 + 1;
    *b = (struct blocks){.count = count, .words = words};
    b->known = calloc(words, sizeof *b->known);
    b->suspect = calloc(words, sizeof *b->suspect);
    if (b->known && b->suspect) return 0;
    blocks_fini(b);
    return -ENOMEM;
}

void blocks_fini(struct blocks *b)
{
    free(b->known);
    free(b->suspect);
    *b = (struct blocks){0};
}

static uint64_t word(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

enum block_state blocks_get(const struct blocks *b, uint64_t block)
{
    uint64_t bit = UINT64_C(1) << block % 64;
    if (word(&b->suspect[block / 64]) & bit) return BLOCK_SUSPECT;
    return word(&b->known[block / 64]) & bit ? BLOCK_KNOWN : BLOCK_NONE;
}

static void assign(uint64_t *p, uint64_t mask, int on)
{
    uint64_t old = word(p);
    if (on && (old & mask) != mask) __atomic_fetch_or(p, mask, __ATOMIC_RELAXED);
    if (!on && (old & mask)) __atomic_fetch_and(p, ~mask, __ATOMIC_RELAXED);
}

void blocks_set(struct blocks *b, uint64_t first, uint64_t end, enum block_state state)
{
    while (first < end) {
        uint64_t low = first % 64, n = 64 - low < end - first ? 64 - low : end - first;
        uint64_t mask = (n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << low;
        uint64_t was = word(&b->suspect[first / 64]) & mask;
        assign(&b->known[first / 64], mask, state == BLOCK_KNOWN);
        assign(&b->suspect[first / 64], mask, state == BLOCK_SUSPECT);
        uint64_t now = state == BLOCK_SUSPECT ? mask : 0;
        if (was != now)
            __atomic_fetch_add(&b->suspects,
                               (uint64_t)__builtin_popcountll(now) - (uint64_t)__builtin_popcountll(was),
                               __ATOMIC_RELAXED);
        first += n;
    }
}

uint64_t blocks_run(const struct blocks *b, uint64_t first, uint64_t end, enum block_state *state)
{
    *state = blocks_get(b, first);
    uint64_t known = *state == BLOCK_KNOWN ? ~UINT64_C(0) : 0, suspect = *state == BLOCK_SUSPECT ? ~UINT64_C(0) : 0;
    for (uint64_t at = first; at < end; at = (at / 64 + 1) * 64) {
        uint64_t differ = (word(&b->known[at / 64]) ^ known) | (word(&b->suspect[at / 64]) ^ suspect);
        differ &= ~UINT64_C(0) << at % 64;
        if (differ) {
            uint64_t found = at / 64 * 64 + (uint64_t)__builtin_ctzll(differ);
            return found < end ? found : end;
        }
    }
    return end;
}

#include "detect/cipher.h"

#define BLANK 1311u /* 0.02: as in features.c */
#define WHOLE 65161u /* 0.9943: 4 KiB of random bytes, on average; the standard deviation is 0.0005 */
#define NEAR 328u   /* 0.005: six standard deviations and more of each of these */

/* Means over 800 draws: 1 to 7 sectors of random bytes in a block of zeros. (They sum to no short formula: of one sector
 * each value comes twice on average, and the entropy of a sample is less than that of what it was drawn from.) */
static const uint16_t parts[] = {12180, 22552, 31891, 40433, 48230, 55239, 61239};

/* The least of so many sectors alone: 0.929, 0.966, 0.980. */
static uint16_t least(uint32_t sectors)
{
    return sectors == 1 ? 60900 : sectors == 2 ? 63300 : 64225;
}

bool cipher_like(uint16_t entropy, uint32_t sectors)
{
    if (entropy >= least(sectors)) return true;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        if (entropy + NEAR >= parts[i] && entropy <= parts[i] + NEAR) return true;
    return false;
}

void cipher_gate_push(struct cipher_gate *g, const struct access *a)
{
    bool written = a->kind == ACCESS_WRITE && (a->flags & ACCESS_ENTROPY);
    /* what is read as zeros may never have been written */
    bool read = a->kind == ACCESS_READ && (a->flags & ACCESS_OLD_ENTROPY) && a->old_entropy > BLANK;
    if (!written && !read) return;
    g->pieces++;
    g->plain += !cipher_like(written ? a->entropy : a->old_entropy, a->sectors);
    if (g->pieces == CIPHER_MEMORY) {
        g->pieces /= 2;
        g->plain /= 2;
    }
    if (g->encrypted)
        g->encrypted = g->plain * CIPHER_OFF <= g->pieces;
    else
        g->encrypted = g->pieces >= CIPHER_LEAST && g->plain * CIPHER_ON <= g->pieces;
}

bool cipher_view(struct access *a)
{
    if (a->kind == ACCESS_DISCARD) return false;
    if (a->flags & ACCESS_ENTROPY) a->entropy = WHOLE;
    if (a->flags & ACCESS_DEDUP) a->flags |= ACCESS_NOVEL; /* the same plaintext elsewhere is another ciphertext */
    if (a->flags & ACCESS_OLD_ENTROPY) {
        if (a->old_entropy > BLANK)
            a->old_entropy = WHOLE;
        else
            a->flags &= (uint8_t)~ACCESS_OLD_ENTROPY;
    }
    return true;
}

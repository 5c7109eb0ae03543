/* Which blocks can tell one file from another.
 *
 * The rules for 4-byte words (ramp, white space, histogram) are those of S. Garfinkel and M. McCarrin,
 * "Hash-based carving", Digital Investigation 14 (2015), scaled to the length of the content. */
#include <math.h>
#include <string.h>

#include "search/search.h"

#define SHORT_BYTES 16      /* fewer bytes than this before the padding say little */
#define PERIOD_BYTES 256
#define LOW_ENTROPY_BITS 1.0

static bool has_period(const uint8_t *data, size_t bytes, size_t period)
{
    return bytes >= 2 * period && memcmp(data, data + period, bytes - period) == 0;
}

static bool is_periodic(const uint8_t *data, size_t bytes)
{
    for (size_t period = 2; period <= PERIOD_BYTES && 2 * period <= bytes; period++)
        if (data[0] == data[period] && has_period(data, bytes, period)) return true;
    return false;
}

static double byte_entropy(const size_t counts[256], size_t bytes)
{
    double bits = 0;
    for (size_t i = 0; i < 256; i++) {
        if (counts[i] == 0) continue;
        double p = (double)counts[i] / (double)bytes;
        bits -= p * log2(p);
    }
    return bits;
}

static uint32_t word_at(const uint8_t *data, size_t i)
{
    uint32_t w;
    memcpy(&w, data + 4 * i, 4);
    return w;
}

/* One word in more than a quarter of the block? A candidate for such a majority survives among three
 * counters (Misra and Gries), so one pass finds it and a second one counts. */
static bool has_dominant_word(const uint8_t *data, size_t words)
{
    uint32_t value[3] = {0};
    size_t count[3] = {0};
    for (size_t i = 0; i < words; i++) {
        uint32_t w = word_at(data, i);
        size_t k;
        for (k = 0; k < 3 && !(count[k] && value[k] == w); k++) {}
        if (k == 3)
            for (k = 0; k < 3 && count[k]; k++) {}
        if (k < 3) {
            value[k] = w;
            count[k]++;
        } else {
            for (k = 0; k < 3; k++) count[k]--;
        }
    }
    for (size_t k = 0; k < 3; k++) {
        size_t exact = 0;
        if (!count[k]) continue;
        for (size_t i = 0; i < words; i++) exact += word_at(data, i) == value[k];
        if (4 * exact > words) return true;
    }
    return false;
}

static bool is_ramp(const uint8_t *data, size_t words)
{
    size_t steps = 0;
    for (size_t i = 1; i < words; i++) steps += word_at(data, i) == word_at(data, i - 1) + 1;
    return words >= 16 && 2 * steps > words;
}

enum block_kind block_kind(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) return BLOCK_CONSTANT;
    size_t counts[256] = {0};
    for (size_t i = 0; i < bytes; i++) counts[data[i]]++;
    if (counts[data[0]] == bytes) return BLOCK_CONSTANT;
    if (bytes < SHORT_BYTES) return BLOCK_SHORT;
    if (is_periodic(data, bytes)) return BLOCK_PERIODIC;
    size_t blank = counts[' '] + counts['\t'] + counts['\n'] + counts['\r'];
    if (4 * blank > 3 * bytes) return BLOCK_BLANK;
    if (byte_entropy(counts, bytes) < LOW_ENTROPY_BITS) return BLOCK_LOW_ENTROPY;
    size_t words = bytes / 4;
    if (is_ramp(data, words)) return BLOCK_RAMP;
    if (words >= 64 && has_dominant_word(data, words)) return BLOCK_LOW_ENTROPY;
    return BLOCK_PROBATIVE;
}

const char *block_kind_name(enum block_kind kind)
{
    static const char *const names[BLOCK_KINDS] = {
        "probative", "constant", "periodic", "low-entropy", "ramp", "blank", "short", "repeated", "common",
    };
    return (unsigned)kind < BLOCK_KINDS ? names[kind] : "?";
}

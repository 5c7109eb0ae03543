#include "detect/feature_table.h"

#include <string.h>

enum form {
    RATE,     /* num a second */
    LOGRATE,  /* lg(1 + num a window) */
    SHARE,    /* num of den; 0 of nothing */
    MEAN,     /* SHARE of a sum of 0..65535 */
    LEAST,    /* lg(1 + the lesser of num and den): as much of one as of the other */
    SIZE,     /* lg of num a den; 64, without end, of nothing */
    VARIANCE, /* of addresses of side num, in blocks squared */
    DEVIATION, /* lg of it */
    REGIONS,  /* lg of the 1 MiB regions that side num touched */
    SPREAD,   /* regions a MiB */
    TURNED,   /* lg of the plain pieces read, but no more than num exceeds den: so much was read plain and written as num */
    TURNED_SHARE, /* of the plain pieces read */
    EVEN,     /* the lesser of both by the greater: 1 where as much was read plain as num exceeds den */
};

enum in {
    PAPER = 1 << FEATURES_PAPER,
    FULL = 1 << FEATURES_DEFAULT,
    READ = 1 << FEATURES_READ,
    WIDE = 1 << FEATURES_WIDE,
    CONTENT = 1 << FEATURES_CONTENT,
    BOTH = WIDE | CONTENT,
};

struct feature {
    const char *name;
    enum form form;
    unsigned num, den;
    enum window window;
    unsigned sets;
};

#define ON(w, name, form, num, den, sets) {name "_w" #w, form, num, den, W##w, sets}
#define SLOW(name, form, num, den, sets) ON(10, name, form, num, den, sets), ON(30, name, form, num, den, sets)
#define ANY(name, form, num, den, sets) ON(1, name, form, num, den, sets), SLOW(name, form, num, den, sets)

/* Models are trained by these names: a changed meaning is a new name. */
static const struct feature feature[] = {
    {"write_bytes_s_w10", RATE, COUNT_BYTES_W, 0, W10, PAPER},
    {"read_bytes_s_w10", RATE, COUNT_BYTES, 0, W10, PAPER},
    {"write_lba_variance_w10", VARIANCE, 1, 0, W10, PAPER},
    {"read_lba_variance_w10", VARIANCE, 0, 0, W10, PAPER},
    {"write_entropy_mean_w10", MEAN, COUNT_ENTROPY, COUNT_ENTROPY_KNOWN, W10, PAPER},

    /* Monotone: a file encrypted in place is read and overwritten, and what overwrites it looks random; one encrypted
     * elsewhere is read, as much is written, and then it goes. */
    ANY("scrambles", LOGRATE, COUNT_SCRAMBLES, 0, FULL | BOTH),
    ANY("rising", LOGRATE, COUNT_RISING, 0, FULL | BOTH),
    SLOW("exchanges", LEAST, COUNT_SEALED, COUNT_THROUGH, FULL | BOTH),
    SLOW("discarded", LEAST, COUNT_SEALED, COUNT_DISCARDS_CROSSED, FULL | BOTH),
    /* Files small and large gone through to their end; others read one kind, or parts of the other. */
    SLOW("whole", LEAST, COUNT_SMALL, COUNT_ENDED, READ | WIDE),
    SLOW("through", LOGRATE, COUNT_THROUGH, 0, READ | WIDE),
    SLOW("read_run", SIZE, COUNT_BYTES, COUNT_RUNS, FULL | READ | WIDE), /* the one where less is worse */
    /* Not monotone from here on. */
    ANY("read_lg", LOGRATE, COUNT_BYTES, 0, BOTH),
    ON(1, "read_run", SIZE, COUNT_BYTES, COUNT_RUNS, WIDE),
    SLOW("read_forward", SHARE, COUNT_FORWARD, COUNT_RUNS, WIDE),
    SLOW("read_back", SHARE, COUNT_BACK, COUNT_RUNS, WIDE),
    SLOW("read_other", SHARE, COUNT_OTHER, COUNT_COMMANDS, WIDE),
    SLOW("read_small", SHARE, COUNT_SMALL, COUNT_RUNS, WIDE),
    SLOW("read_ended", SHARE, COUNT_ENDED, COUNT_RUNS, WIDE),
    SLOW("read_head", SHARE, COUNT_HEAD, COUNT_RUNS, WIDE),
    SLOW("read_depth0", SHARE, COUNT_DEPTH0, COUNT_PIECES, WIDE),
    SLOW("read_depth1", SHARE, COUNT_DEPTH1, COUNT_PIECES, WIDE),
    SLOW("read_depth2", SHARE, COUNT_DEPTH2, COUNT_PIECES, WIDE),
    SLOW("read_again", SHARE, COUNT_AGAIN, COUNT_PIECES, BOTH),
    SLOW("read_deviation", DEVIATION, 0, 0, WIDE),
    SLOW("read_spread", SPREAD, 0, COUNT_BYTES, WIDE),
    ANY("write_lg", LOGRATE, COUNT_BYTES_W, 0, BOTH),
    ANY("write_run", SIZE, COUNT_BYTES_W, COUNT_RUNS_W, WIDE),
    SLOW("write_depth0", SHARE, COUNT_DEPTH0_W, COUNT_PIECES_W, WIDE),
    SLOW("write_again", SHARE, COUNT_AGAIN_W, COUNT_PIECES_W, BOTH),
    ANY("write_crossed", SHARE, COUNT_CROSSED_W, COUNT_PIECES_W, BOTH),
    SLOW("write_crossed_lg", LOGRATE, COUNT_CROSSED_W, 0, BOTH),
    SLOW("write_overwrites", LOGRATE, COUNT_OVERWRITES, 0, BOTH),
    SLOW("write_quick", SHARE, COUNT_QUICK, COUNT_CROSSED_W, BOTH),
    SLOW("write_delay", SIZE, COUNT_DELAY, COUNT_CROSSED_W, BOTH),
    ANY("write_entropy", MEAN, COUNT_ENTROPY, COUNT_ENTROPY_KNOWN, BOTH),
    ANY("write_high", SHARE, COUNT_HIGH, COUNT_ENTROPY_KNOWN, BOTH),
    SLOW("write_plain", SHARE, COUNT_PLAIN, COUNT_ENTROPY_KNOWN, BOTH),
    SLOW("write_crossed_high", SHARE, COUNT_CROSSED_HIGH, COUNT_CROSSED_KNOWN, BOTH),
    SLOW("write_deviation", DEVIATION, 1, 0, WIDE),
    SLOW("write_spread", SPREAD, 1, COUNT_BYTES_W, WIDE),
    SLOW("write_regions", REGIONS, 1, 0, WIDE),
    SLOW("write_novel", SHARE, COUNT_NOVEL, COUNT_DEDUP_KNOWN, BOTH),
    ANY("destroyed", LOGRATE, COUNT_DESTROYED, 0, BOTH),
    ANY("spoiled", LOGRATE, COUNT_SPOILED, 0, BOTH),
    SLOW("destroyed_share", SHARE, COUNT_DESTROYED, COUNT_OLD_KNOWN, BOTH),
    SLOW("blanked", LOGRATE, COUNT_BLANKED, 0, BOTH),
    SLOW("dropped", LOGRATE, COUNT_DISCARDS_FULL, 0, BOTH),
    SLOW("alike", LOGRATE, COUNT_ALIKE, 0, BOTH),
    SLOW("alike_share", SHARE, COUNT_ALIKE, COUNT_RUNS_W, BOTH),
    SLOW("read_entropy", MEAN, COUNT_READ_ENTROPY, COUNT_READ_KNOWN, BOTH),
    SLOW("read_plain", SHARE, COUNT_READ_PLAIN, COUNT_READ_KNOWN, BOTH),
    SLOW("switch", SHARE, COUNT_SWITCH, COUNT_COMMANDS, WIDE),
    /* Of contents alone, wherever they lie: what was read plain and written as if random; what was written as base64 of such. */
    SLOW("turned", TURNED, COUNT_HIGH, COUNT_READ_HIGH, CONTENT),
    SLOW("turned_share", TURNED_SHARE, COUNT_HIGH, COUNT_READ_HIGH, CONTENT),
    SLOW("even", EVEN, COUNT_HIGH, COUNT_READ_HIGH, CONTENT),
    SLOW("traded", LEAST, COUNT_HIGH, COUNT_PIECES, CONTENT),
    SLOW("flat_share", SHARE, COUNT_FLAT, COUNT_ENTROPY_KNOWN, CONTENT),
    SLOW("flat_read", LEAST, COUNT_FLAT, COUNT_PIECES, CONTENT),
};
#define MONOTONE_SETS (FULL | READ)
#define FEATURES (sizeof feature / sizeof *feature)
_Static_assert(FEATURES <= FEATURES_MAX, "a row holds them all");

static const char *const set_name[FEATURE_SETS] = {"paper", "default", "read", "wide", "content"};

const char *feature_set_name(enum feature_set set)
{
    return (unsigned)set < FEATURE_SETS ? set_name[set] : NULL;
}

/* 4 MiB: files are lost meanwhile. The others are rates a second, or compared with figures that are. */
unsigned feature_set_fill(enum feature_set set)
{
    return set == FEATURES_WIDE || set == FEATURES_CONTENT ? 1024 : UINT32_MAX;
}

int feature_set_find(const char *name)
{
    for (int set = 0; set < FEATURE_SETS; set++)
        if (strcmp(name, set_name[set]) == 0)
            return set;
    return -1;
}

size_t features_count(enum feature_set set)
{
    size_t n = 0;

    for (size_t i = 0; (unsigned)set < FEATURE_SETS && i < FEATURES; i++)
        n += feature[i].sets >> set & 1;
    return n;
}

const char *features_name(enum feature_set set, size_t index)
{
    for (size_t i = 0; (unsigned)set < FEATURE_SETS && i < FEATURES; i++)
        if ((feature[i].sets >> set & 1) && index-- == 0)
            return feature[i].name;
    return NULL;
}

/* The sets are chosen so: what is not monotone is in none of those two. */
int features_monotone(enum feature_set set, size_t index)
{
    const char *name = features_name(set, index);

    if (!name || !(MONOTONE_SETS >> set & 1)) return 0;
    return strncmp(name, "read_run_", 9) == 0 ? -1 : 1;
}

/* Chosen on RanSAP with each harmless program left out in turn (RESULTS.md). */
double features_margin(enum feature_set set)
{
    return set == FEATURES_READ ? 0.25 : 2;
}

/* Logarithm to the base 2 of 1 + v, straight between powers of two: exact in a double up to 2^52, no libm to differ. */
static double lg(uint64_t v)
{
    unsigned e;

    if (++v == 0)
        return 64;
    e = 63 - (unsigned)__builtin_clzll(v);
    return (double)e + ((double)v - (double)(UINT64_C(1) << e)) / (double)(UINT64_C(1) << e);
}

static double share(uint64_t num, uint64_t den)
{
    return den ? (double)num / (double)den : 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a < b ? b : a;
}

/* How much more was written of one kind than was read of it. */
static uint64_t excess(const uint64_t *sum, const struct feature *f)
{
    return sum[f->num] > sum[f->den] ? sum[f->num] - sum[f->den] : 0;
}

static double value(const struct windows *w, const struct feature *f)
{
    const uint64_t *sum = w->sum[f->window], plain = sum[COUNT_READ_PLAIN];
    unsigned ticks = window_ticks[f->window];
    double variance;

    switch (f->form) {
    case RATE: return (double)sum[f->num] / ticks;
    case LOGRATE: return lg(sum[f->num]);
    case SHARE: return share(sum[f->num], sum[f->den]);
    case MEAN: return share(sum[f->num], sum[f->den]) / 65535;
    case LEAST: return lg(lesser(sum[f->num], sum[f->den]));
    case TURNED: return lg(lesser(excess(sum, f), plain));
    case TURNED_SHARE: return share(lesser(excess(sum, f), plain), plain);
    case EVEN: return share(lesser(excess(sum, f), plain), greater(excess(sum, f), plain));
    case SIZE: return sum[f->den] ? lg(sum[f->num] / sum[f->den]) : 64;
    case VARIANCE: return moment_variance(&w->lba[f->window][f->num]);
    case DEVIATION:
        variance = moment_variance(&w->lba[f->window][f->num]);
        return lg(variance < 0x1p62 ? (uint64_t)variance : UINT64_C(1) << 62);
    case REGIONS: return lg(windows_regions(w, (int)f->num, ticks));
    case SPREAD: return (double)windows_regions(w, (int)f->num, ticks) / ((double)sum[f->den] / 1048576 + 1);
    }
    return 0;
}

void feature_table_row(const struct windows *w, enum feature_set set, double *x)
{
    for (size_t i = 0; i < FEATURES; i++)
        if (feature[i].sets >> set & 1)
            *x++ = value(w, &feature[i]);
}

/* Probativeness, sampling, ticks and colours: what needs no store. */
#include <math.h>

#include "search/plot/plot.h"
#include "search/search.h"
#include "tests/unit.h"

static void kinds(uint64_t *seed)
{
    uint8_t b[4096];
    static const uint8_t word[4] = {'w', 'o', 'r', 'd'};
    memset(b, 0, sizeof b);
    CHECK(block_kind(b, sizeof b) == BLOCK_CONSTANT);
    memset(b, 0xf6, sizeof b);
    CHECK(block_kind(b, sizeof b) == BLOCK_CONSTANT);
    b[17] = 1;
    CHECK(block_kind(b, sizeof b) == BLOCK_LOW_ENTROPY);
    for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)"abcdefg"[i % 7];
    CHECK(block_kind(b, sizeof b) == BLOCK_PERIODIC);
    for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)(i % 256);
    CHECK(block_kind(b, sizeof b) == BLOCK_PERIODIC);
    for (uint32_t i = 0; i < 1024; i++) {
        uint32_t v = 70000 + i;
        memcpy(b + 4 * i, &v, 4);
    }
    CHECK(block_kind(b, sizeof b) == BLOCK_RAMP);
    for (size_t i = 0; i < sizeof b; i++) b[i] = unit_random(seed) % 10 < 8 ? ' ' : (uint8_t)('a' + unit_random(seed) % 26);
    CHECK(block_kind(b, sizeof b) == BLOCK_BLANK);
    /* one word in more than a quarter, in less than a quarter */
    for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)unit_random(seed);
    CHECK(block_kind(b, sizeof b) == BLOCK_PROBATIVE);
    for (size_t i = 0; i < 1024; i += 5) memcpy(b + 4 * i, word, 4);
    CHECK(block_kind(b, sizeof b) == BLOCK_PROBATIVE);
    for (size_t i = 1; i < 1024; i += 15) memcpy(b + 4 * i, word, 4);
    CHECK(block_kind(b, sizeof b) == BLOCK_LOW_ENTROPY);
    /* a short tail of text is judged by its text, not by its padding */
    const char *text = "password: correct horse battery staple";
    CHECK(block_kind((const uint8_t *)text, strlen(text)) == BLOCK_PROBATIVE);
    CHECK(block_kind((const uint8_t *)text, 15) == BLOCK_SHORT);
    CHECK(block_kind((const uint8_t *)text, 0) == BLOCK_CONSTANT);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void draws(uint64_t *seed)
{
    for (int round = 0; round < 300; round++) {
        uint64_t population = 1 + unit_random(seed) % 200, count = unit_random(seed) % (population + 1);
        uint64_t out[200], again[200], s = unit_random(seed);
        CHECK(sample_draw(population, count, s, out) == 0);
        CHECK(sample_draw(population, count, s, again) == 0);
        CHECK(memcmp(out, again, count * sizeof *out) == 0);
        for (uint64_t i = 0; i < count; i++) CHECK(out[i] < population && (i == 0 || out[i] > out[i - 1]));
    }
    uint64_t one[1];
    CHECK(sample_draw(3, 4, 1, one) == -22);
    /* every number as likely as another: 5 of 20, 20000 times, each expected 5000 times (sd 61) */
    uint64_t hits[20] = {0}, out[5];
    for (uint64_t s = 0; s < 20000; s++) {
        CHECK(sample_draw(20, 5, s * 977 + 1, out) == 0);
        for (int i = 0; i < 5; i++) hits[out[i]]++;
    }
    qsort(hits, 20, sizeof *hits, compare);
    CHECK(hits[0] > 4650 && hits[19] < 5350);
}

static void misses(uint64_t *seed)
{
    CHECK(fabs(sample_miss(1, 100, 10) - pow(0.99, 10)) < 1e-12);
    CHECK(fabs(sample_miss(20000, 2000000000, 300000) - pow(1 - 1e-5, 300000)) < 1e-9);
    CHECK(sample_miss(0, 100, 10) == 1 && sample_miss(100, 100, 1) == 0 && sample_miss(50, 100, 0) == 1);
    /* without replacement: product of (N-M-i)/(N-i); never above the bound */
    for (int round = 0; round < 200; round++) {
        uint64_t N = 2 + unit_random(seed) % 500, M = unit_random(seed) % (N + 1), n = unit_random(seed) % (N + 1);
        double p = 1;
        for (uint64_t i = 0; i < n; i++) p *= N - M > i ? (double)(N - M - i) / (double)(N - i) : 0;
        CHECK(fabs(sample_miss_exact(M, N, n) - p) < 1e-9);
        CHECK(p <= sample_miss((double)M, (double)N, (double)n) + 1e-12);
    }
    uint64_t M = sample_least(1000000, 500, 0.05);
    CHECK(sample_miss((double)M, 1e6, 500) <= 0.05 && sample_miss((double)(M - 1), 1e6, 500) > 0.05);
    /* and it is what happens: 30 of 300 marked, 20 draws, 20000 trials */
    unsigned missed = 0;
    uint64_t out[20];
    for (uint64_t s = 0; s < 20000; s++) {
        CHECK(sample_draw(300, 20, s * 31 + 7, out) == 0);
        bool met = false;
        for (int i = 0; i < 20; i++) met |= out[i] % 10 == 3;
        missed += !met;
    }
    CHECK(fabs(missed / 20000.0 - sample_miss_exact(30, 300, 20)) < 0.012);
}

static void label(uint64_t time_ns, uint64_t step_ns, const char *want)
{
    char text[64];
    axis_time_label(time_ns, step_ns, text, sizeof text);
    if (strcmp(text, want) != 0) fprintf(stderr, "'%s' is not '%s'\n", text, want);
    CHECK(strcmp(text, want) == 0);
}

static void axes(void)
{
    const uint64_t s = UINT64_C(1000000000), t = UINT64_C(1795344067) * s;
    CHECK(axis_step(10, 5) == 2 && axis_step(1, 4) == 0.5 && axis_step(97, 10) == 10 && axis_step(0, 5) == 1);
    CHECK(axis_time_step(60 * s, 6) == 10 * s);
    CHECK(axis_time_step(3600 * s, 8) == 600 * s);
    CHECK(axis_time_step(86400 * s, 8) == 10800 * s);
    CHECK(axis_time_step(2 * s, 10) == s / 5);
    CHECK(axis_time_step(0, 10) >= 1 && axis_time_step(UINT64_MAX, 1) >= UINT64_MAX / 2);
    label(t, 10 * s, "10:41:07");
    label(t, 60 * s, "10:41");
    label(t, 3600 * s, "22 Nov 10:41");
    label(t, 86400 * s, "22 Nov");
    label(t + s / 2, s / 5, "10:41:07.5");
    label(t + s / 4, s / 20, "10:41:07.25");
    char text[32];
    axis_bytes_label(4096, text, sizeof text);
    CHECK(strcmp(text, "4 KiB") == 0);
    axis_bytes_label(1.5 * 1024 * 1024 * 1024, text, sizeof text);
    CHECK(strcmp(text, "1.50 GiB") == 0);
}

/* Even to the eye: lightness falls in equal steps, and neighbours are about equally far apart. */
static void colours(void)
{
    double before[3] = {0}, rgb[3], lab[3], least = 1, most = 0;
    for (int i = 0; i <= 64; i++) {
        colour_scale(i / 64.0, rgb);
        for (int k = 0; k < 3; k++) CHECK(rgb[k] >= 0 && rgb[k] <= 1);
        colour_oklab(rgb, lab);
        if (i > 0) {
            double dl = before[0] - lab[0], da = lab[1] - before[1], db = lab[2] - before[2];
            double d = sqrt(dl * dl + da * da + db * db);
            CHECK(fabs(dl - 0.62 / 64) < 0.002);
            least = d < least ? d : least;
            most = d > most ? d : most;
        }
        memcpy(before, lab, sizeof lab);
    }
    CHECK(most < 1.6 * least);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    kinds(&seed);
    draws(&seed);
    misses(&seed);
    axes();
    colours();
    return 0;
}

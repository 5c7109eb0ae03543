/* Random sampling: which blocks, and what an empty answer is worth. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "search/search.h"

/* splitmix64: any seed will do, the same seed draws the same blocks everywhere. */
static uint64_t draw_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Uniform below `bound` (> 0), without modulo bias. */
static uint64_t draw_below(uint64_t *state, uint64_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t x;
    do x = draw_next(state);
    while (x >= limit);
    return x % bound;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int sample_draw(uint64_t population, uint64_t count, uint64_t seed, uint64_t *out)
{
    if (count > population) return -EINVAL;
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    uint64_t *table = calloc(slots, sizeof *table); /* open addressing, values + 1 */
    if (!table) return -ENOMEM;
    size_t n = 0;
    for (uint64_t j = population - count; j < population; j++) {
        uint64_t value = draw_below(&seed, j + 1);
        for (int again = 0; again < 2; again++) {
            size_t at = (size_t)(value * UINT64_C(0x9e3779b97f4a7c15)) & (slots - 1);
            while (table[at] && table[at] != value + 1) at = (at + 1) & (slots - 1);
            if (!table[at]) {
                table[at] = value + 1;
                break;
            }
            value = j; /* drawn before: take j, which cannot have been */
        }
        out[n++] = value;
    }
    free(table);
    qsort(out, n, sizeof *out, compare_u64);
    return 0;
}

double sample_miss(double M, double N, double n)
{
    if (n <= 0 || N <= 0 || M <= 0) return 1;
    if (M >= N) return 0;
    return exp(n * log1p(-M / N));
}

double sample_miss_exact(uint64_t M, uint64_t N, uint64_t n)
{
    if (n == 0 || M == 0 || N == 0) return 1;
    if (M >= N || n > N - M) return 0;
    /* C(N-M, n) / C(N, n) */
    double d = lgamma((double)(N - M) + 1) - lgamma((double)(N - M - n) + 1) - lgamma((double)N + 1) +
               lgamma((double)(N - n) + 1);
    return exp(d > 0 ? 0 : d);
}

uint64_t sample_least(uint64_t N, uint64_t n, double p)
{
    if (n == 0) return N;
    double m = (double)N * -expm1(log(p) / (double)n);
    uint64_t least = (uint64_t)ceil(m);
    return least > N ? N : least;
}

/* Made-up events that any program can compute from their number: for the look-up benchmarks. */
#ifndef CHV_BENCH_SYNTH_H
#define CHV_BENCH_SYNTH_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#define SYNTH_BLOCKS (UINT64_C(1) << 24) /* a disk of 64 GiB */
#define SYNTH_START_NS UINT64_C(1767225600000000000)
#define SYNTH_STEP_NS UINT64_C(20000)
#define SYNTH_NEVER (UINT64_C(1) << 40) /* numbers from here on are never stored */

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t synth_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline void synth_hash(uint64_t number, uint8_t hash[32])
{
    for (uint64_t word = 0; word < 4; word++) {
        uint64_t bits = synth_mix(number * 4 + word);
        memcpy(hash + 8 * word, &bits, 8);
    }
}

static inline uint64_t synth_block(uint64_t number)
{
    return synth_mix(number ^ UINT64_C(0x626c6f636b)) % SYNTH_BLOCKS;
}

static inline uint64_t synth_time(uint64_t number)
{
    return SYNTH_START_NS + number * SYNTH_STEP_NS;
}

static inline double synth_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif

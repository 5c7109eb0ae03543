/* The whole unit test framework: CHECK stops the test at the first fault and says where. */
#ifndef CHV_TESTS_UNIT_H
#define CHV_TESTS_UNIT_H

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond); \
            exit(1); \
        } \
    } while (0)

/* A call that returns < 0 and fills `err`. */
#define CHECK_OK(call, err) \
    do { \
        long long chk_r = (long long)(call); \
        if (chk_r < 0) { \
            fprintf(stderr, "%s:%d: %s = %lld: %s\n", __FILE__, __LINE__, #call, chk_r, (err).text); \
            exit(1); \
        } \
    } while (0)

static int unit_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

__attribute__((unused)) static void unit_remove_tree(const char *path)
{
    nftw(path, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A fresh directory under $TMPDIR; the caller removes it. */
__attribute__((unused)) static const char *unit_temp_dir(char buf[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(buf, 256, "%s/chv-test-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(buf));
    return buf;
}

/* The seed of a randomized test: argv[1], else $CHV_SEED, else the clock; always printed. */
__attribute__((unused)) static uint64_t unit_seed(int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : getenv("CHV_SEED");
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 20;
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

/* xorshift64*: tests only. */
__attribute__((unused)) static uint64_t unit_random(uint64_t *state)
{
    uint64_t x = *state ? *state : 88172645463325252ull;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    *state = x;
    return x * 2685821657736338717ull;
}

#endif

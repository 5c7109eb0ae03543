/* detector MODEL [RANSAP_DIR]: what watching costs. One line of JSON: CPU nanoseconds an access for the features alone and for
 * features, model and decision, over a made-up stream and, where there is a folder, the runs of a data set; bytes a space. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "detect/dataset.h"
#include "detect/detector.h"

enum { ACCESSES = 1 << 21, KEPT_MOST = 1 << 23 };

struct stream {
    struct access *access;
    size_t count;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "detector: %s: %s\n", what, why);
    exit(2);
}

static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ (x >> 27);
}

/* Files of 4 to 256 KiB anywhere on a terabyte, read, and every other one overwritten; 20,000 pieces a second. */
static struct stream make(void)
{
    struct stream s = {malloc(ACCESSES * sizeof(struct access)), 0};
    uint64_t state = 1;
    if (!s.access) die("making accesses", "out of memory");
    while (s.count < ACCESSES) {
        uint64_t lba = next(&state) % (UINT64_C(1) << 28) * 8, blocks = 1 + next(&state) % 64;
        bool overwritten = next(&state) & 1;
        for (int pass = 0; pass <= overwritten; pass++)
            for (uint64_t b = 0; b < blocks && s.count < ACCESSES; b++) {
                struct access a = {.time_ns = s.count * 50000, .lba = lba + b * 8, .sectors = 8};
                a.kind = pass ? ACCESS_WRITE : ACCESS_READ;
                a.flags = (uint8_t)((b % 16 ? ACCESS_CONTINUED : 0) | (pass ? ACCESS_ENTROPY | ACCESS_OLD_ENTROPY : 0));
                a.entropy = pass ? (uint16_t)(next(&state) | 0x8000) : 0;
                s.access[s.count++] = a;
            }
    }
    return s;
}

static int keep(void *arg, const struct access *a)
{
    struct stream *s = arg;
    if (s->count == KEPT_MOST) return 1;
    s->access[s->count] = *a;
    /* one run after the other */
    if (s->count && a->time_ns < s->access[s->count - 1].time_ns) s->access[s->count].time_ns = s->access[s->count - 1].time_ns;
    s->count++;
    return 0;
}

static struct stream real(const char *dir)
{
    struct stream s = {malloc(KEPT_MOST * sizeof(struct access)), 0};
    struct chv_err err = {0};
    struct dataset *d;
    if (!s.access || dataset_open(dir, &d, &err) < 0) die(dir, "no data set");
    for (size_t i = 0; i < dataset_count(d) && s.count < KEPT_MOST; i += 7) {
        struct dataset_options options = {0};
        struct dataset_report report = {0};
        if (dataset_read(d, i, &options, keep, &s, &report, &err) < 0) die(dir, "unreadable");
    }
    dataset_close(d);
    return s;
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void count_row(void *arg, const struct feature_row *row)
{
    *(double *)arg += row->x[0];
}

static void ignore(void *arg, const struct detector_alarm *alarm)
{
}

static double features_ns(const struct stream *s, enum feature_set set)
{
    struct features *f = features_new(set);
    double sum = 0, begun = cpu_ns();
    if (!f) die("features", "out of memory");
    for (size_t i = 0; i < s->count; i++) features_push(f, &s->access[i], count_row, &sum);
    features_finish(f, count_row, &sum);
    begun = cpu_ns() - begun;
    features_free(f);
    return begun / (double)s->count;
}

static double detector_ns(const struct stream *s, const struct model *m)
{
    struct detector *d = detector_new(m, ignore, NULL);
    double begun = cpu_ns();
    if (!d) die("detector", "out of memory");
    for (size_t i = 0; i < s->count; i++) detector_push(d, &s->access[i]);
    detector_finish(d);
    begun = cpu_ns() - begun;
    detector_free(d);
    return begun / (double)s->count;
}

static void report(const char *name, const struct stream *s, const struct model *m)
{
    printf("\"%s\":{\"accesses\":%zu,\"default_ns\":%.1f,\"wide_ns\":%.1f,\"content_ns\":%.1f,\"detector_ns\":%.1f}", name, s->count,
           features_ns(s, FEATURES_DEFAULT), features_ns(s, FEATURES_WIDE), features_ns(s, FEATURES_CONTENT), detector_ns(s, m));
}

int main(int argc, char **argv)
{
    struct chv_err err = {0};
    struct model *m;
    if (argc < 2) die("usage", "detector MODEL [RANSAP_DIR]");
    if (model_load(argv[1], &m, &err) < 0) die(argv[1], "no model");
    struct stream made = make();
    printf("{\"space_bytes\":%zu,\"set\":\"%s\",", features_memory(), feature_set_name(model_feature_set(m)));
    report("synthetic", &made, m);
    if (argc > 2) {
        struct stream kept = real(argv[2]);
        printf(",");
        report("ransap", &kept, m);
        free(kept.access);
    }
    puts("}");
    free(made.access);
    model_free(m);
    return 0;
}

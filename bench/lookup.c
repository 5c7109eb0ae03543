/* lookup STORE EVENTS miss|hit COUNT: look-ups of made-up hashes (bench/makestore.c) through the public API
 * from one thread. Prints one JSON object: look-ups a CPU second (all threads of the process) and a wall second. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/synth.h"
#include "chronovisor/chronovisor.h"

struct answer {
    uint64_t found, time_ns, lba;
};

static int take(void *arg, const struct chv_event *event)
{
    struct answer *a = arg;
    a->found++;
    a->time_ns = event->time_ns;
    a->lba = chv_event_lba(event);
    return 0;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, CHV_HASH_BYTES);
}

struct job {
    struct chv_store *store;
    uint64_t events, count;
    int hit;
    uint64_t *numbers;
    uint8_t (*hashes)[CHV_HASH_BYTES];
};

static void wrong(const struct job *j, const char *what)
{
    (void)j;
    fprintf(stderr, "lookup: wrong answer: %s\n", what);
    exit(1);
}

/* One look-up after the other, in random order; every answer is checked. */
static void singly(struct job *j)
{
    struct chv_err err;
    for (uint64_t i = 0; i < j->count; i++) {
        struct answer a = {0};
        int64_t n = chv_store_sightings(j->store, (const uint8_t *)j->hashes[i], 0, take, &a, &err);
        if (n < 0) {
            fprintf(stderr, "lookup: %s\n", err.text);
            exit(2);
        }
        if (!j->hit ? a.found != 0
                    : a.found != 1 || a.time_ns != synth_time(j->numbers[i]) ||
                          a.lba != synth_block(j->numbers[i]) * 8)
            wrong(j, "sightings");
    }
}

/* The same look-ups as one batch: sorted (counted in the time), answered in order. */
static void sorted(struct job *j)
{
    struct chv_err err;
    struct answer a = {0};
    qsort(j->hashes, j->count, CHV_HASH_BYTES, by_hash);
    for (uint64_t i = 0; i < j->count; i++)
        if (chv_store_sightings(j->store, (const uint8_t *)j->hashes[i], 0, take, &a, &err) < 0)
            exit(2);
    if (a.found != (j->hit ? j->count : 0))
        wrong(j, "sorted sightings");
}

/* How many sightings each hash has, as a batch: what a search asks first. */
static void counted(struct job *j)
{
    uint64_t *counts = calloc(j->count, sizeof *counts), sum = 0;
    if (!counts)
        exit(2);
    qsort(j->hashes, j->count, CHV_HASH_BYTES, by_hash);
    chv_store_sighting_counts(j->store, (const uint8_t(*)[CHV_HASH_BYTES])j->hashes, j->count, counts);
    for (uint64_t i = 0; i < j->count; i++)
        sum += counts[i];
    if (sum != (j->hit ? j->count : 0))
        wrong(j, "counts");
    free(counts);
}

static void choose(struct job *j, uint64_t seed)
{
    for (uint64_t i = 0; i < j->count; i++) {
        j->numbers[i] = synth_mix(seed + i) % (j->hit ? j->events : SYNTH_NEVER) + (j->hit ? 0 : SYNTH_NEVER);
        synth_hash(j->numbers[i], j->hashes[i]);
    }
}

static void measure(struct job *j, const char *name, void (*work)(struct job *), uint64_t seed)
{
    choose(j, seed);
    double wall = synth_seconds(CLOCK_MONOTONIC), cpu = synth_seconds(CLOCK_PROCESS_CPUTIME_ID);
    work(j);
    cpu = synth_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = synth_seconds(CLOCK_MONOTONIC) - wall;
    printf("\"%s\": %.0f, \"%s_wall\": %.0f, ", name, (double)j->count / cpu, name, (double)j->count / wall);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: lookup STORE EVENTS miss|hit COUNT\n");
        return 2;
    }
    struct chv_err err;
    struct job j = {.events = strtoull(argv[2], NULL, 0), .hit = !strcmp(argv[3], "hit"),
                    .count = strtoull(argv[4], NULL, 0)};
    if (chv_store_open(argv[1], &j.store, &err) < 0) {
        fprintf(stderr, "lookup: %s\n", err.text);
        return 2;
    }
    struct chv_store_info info;
    chv_store_info(j.store, &info);
    j.numbers = calloc(j.count, sizeof *j.numbers);
    j.hashes = calloc(j.count, sizeof *j.hashes);
    if (!j.numbers || !j.hashes)
        return 2;
    printf("{");
    choose(&j, 1);
    singly(&j); /* once unmeasured: page cache and caches are warm for everybody */
    measure(&j, "single", singly, 2);
    measure(&j, "batch", sorted, 3);
    measure(&j, "counts", counted, 4);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("\"index_bytes\": %llu, \"unindexed\": %llu, \"peak_mib\": %ld}\n", (unsigned long long)info.index_bytes,
           (unsigned long long)info.unindexed_events, used.ru_maxrss / 1024);
    free(j.numbers);
    free(j.hashes);
    chv_store_close(j.store);
    return 0;
}

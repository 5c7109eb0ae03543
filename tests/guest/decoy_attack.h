/* decoy: what the patterns (decoy_attack.c) and what is done to one file (decoy_file.c) share. */
#ifndef CHV_TESTS_GUEST_DECOY_ATTACK_H
#define CHV_TESTS_GUEST_DECOY_ATTACK_H

#include "decoy.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CHUNK_MAX = 1 << 20, STRIPE = 16 << 10, SUFFIX_BYTES = 7 };
#define SUFFIX ".locked"

/* REPLACE: a new file that is renamed over the old one. MAPPED: in place, through a mapping into memory. */
enum method { IN_PLACE, COPY, COPY_WIPE, ENCODE, WIPE, REPLACE, MAPPED };
enum order { ANY, LARGE_FIRST, SHUFFLED };

struct pattern {
    const char *name, *what;
    enum method method;
    enum order order;
    bool rename, stripes, head_only, interleave, slow;
    unsigned threads;
};

struct target {
    int dir; /* owned by the run until it ends */
    off_t size;
    char name[256];
};

struct run {
    struct tree tree;
    const struct pattern *pattern;
    bool mark, started, sync_file, zeros;
    size_t chunk;
    off_t head;
    unsigned sync_every, pause_ms, threads, rate; /* rate in MiB/s; 0: as fast as it goes */
    unsigned seconds;                             /* ends after so many; 0: when all files are done */
    uint64_t order_seed;
    struct target *targets;
    size_t count;
    atomic_size_t next;
    pthread_mutex_t lock; /* of started, files, bytes, told_ns and the console */
    unsigned files;
    uint64_t bytes, told_ns, begun_ns;
};

/* --- decoy_attack.c --- */
void changing(struct run *run); /* before any change of a file: the host notes the time and answers */

/* --- decoy_file.c --- */
/* Do to one file what the pattern says. buf has CHUNK_MAX bytes. Returns how many bytes of the decoy were changed. */
uint64_t treat(struct run *run, const struct target *t, uint64_t *buf);

#endif

/* decoy: the patterns, that is, how the storage accesses of published ransomware families look from below. What
 * differs between families is in the table; what differs between samples of one comes from the seed. Sources of the
 * patterns: the papers and reports that corpus/README.md names. */
#include "decoy_attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS_MAX = 65536, THREADS_MAX = 8, SLOW_SECONDS = 50 };

static const struct pattern patterns[] = {
    {.name = "inplace", .what = "overwrites in place, names stay", .method = IN_PLACE},
    {.name = "copy", .what = "writes a new file, deletes the old one", .method = COPY},
    {.name = "copywipe", .what = "writes a new file, overwrites the old one with noise, deletes it", .method = COPY_WIPE},
    {.name = "rename", .what = "overwrites in place, then renames", .method = IN_PLACE, .rename = true},
    {.name = "partial", .what = "only the first N KiB of each file", .method = IN_PLACE, .rename = true, .head_only = true},
    {.name = "intermittent", .what = "every other 16 KiB", .method = IN_PLACE, .rename = true, .stripes = true},
    {.name = "large", .what = "large files first", .method = IN_PLACE, .order = LARGE_FIRST, .rename = true},
    {.name = "threads", .what = "several threads at once", .method = IN_PLACE, .rename = true, .threads = 4},
    {.name = "slow", .what = "one file now and then", .method = IN_PLACE, .rename = true, .slow = true},
    {.name = "encoded", .what = "a new file in base64, which has less entropy; deletes the old one", .method = ENCODE},
    {.name = "wipe", .what = "overwrites with zeros or noise, deletes", .method = WIPE},
    {.name = "replace", .what = "writes a new file, renames it over the old one", .method = REPLACE},
    {.name = "mmap", .what = "overwrites in place through memory, then renames", .method = MAPPED, .rename = true},
    {.name = "interleave", .what = "the same, 16 bytes of 32", .method = MAPPED, .rename = true, .interleave = true},
    {.name = "shuffle", .what = "overwrites in place in random order, then renames", .method = IN_PLACE, .order = SHUFFLED,
     .rename = true},
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- what the host is told --------------------------------------------------------------------- */

void changing(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    if (!run->started && run->mark) {
        puts("@@ mark malicious");
        fflush(stdout);
        for (int c = getchar(); c != EOF && c != '\n'; c = getchar()) {}
    }
    run->started = true;
    pthread_mutex_unlock(&run->lock);
}

static void done_with(struct run *run, const struct target *t, uint64_t bytes)
{
    pthread_mutex_lock(&run->lock);
    unsigned files = ++run->files;
    run->bytes += bytes;
    uint64_t now = now_ns();
    if (run->mark && now - run->told_ns > 200000000u) {
        run->told_ns = now;
        printf("@@ hit %u %" PRIu64 "\n", run->files, run->bytes);
        fflush(stdout);
    }
    pthread_mutex_unlock(&run->lock);
    if (run->sync_every && files % run->sync_every == 0) syncfs(t->dir);
}

/* --- one file after the other -------------------------------------------------------------------- */

/* A cipher takes time, a slow one or on a slow machine much of it. */
static void pace(struct run *run)
{
    if (!run->rate) return;
    pthread_mutex_lock(&run->lock);
    uint64_t due = run->begun_ns + run->bytes * 1000 / run->rate * 1000000 / (1 << 20);
    pthread_mutex_unlock(&run->lock);
    uint64_t now = now_ns();
    if (due > now) usleep((useconds_t)((due - now) / 1000));
}

static void *work(void *arg)
{
    struct run *run = arg;
    uint64_t *buf = malloc(CHUNK_MAX);
    if (!buf) die(2, "out of memory");
    for (size_t i; (i = atomic_fetch_add(&run->next, 1)) < run->count;) {
        done_with(run, &run->targets[i], treat(run, &run->targets[i], buf));
        if (run->pause_ms) usleep(run->pause_ms * 1000);
        pace(run);
        if (run->seconds && now_ns() - run->begun_ns > (uint64_t)run->seconds * 1000000000u) break;
    }
    free(buf);
    return NULL;
}

/* --- which files ------------------------------------------------------------------------------- */

/* Takes over fd, a folder of the tree. All names first, then changes: a renamed entry could come up again. */
static void collect(struct run *run, int fd, unsigned depth)
{
    int list = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *d = list < 0 ? NULL : fdopendir(list);
    if (!d) die(2, "opendir: %s", strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        size_t length = strlen(e->d_name);
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, MARKER)) continue;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != run->tree.device) continue;
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                                   .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
            int sub = (int)syscall(SYS_openat2, fd, e->d_name, &how, sizeof how);
            if (sub >= 0) collect(run, sub, depth + 1);
        } else if (S_ISREG(st.st_mode) && st.st_nlink == 1 && run->count < TARGETS_MAX &&
                   !(length > SUFFIX_BYTES && strcmp(e->d_name + length - SUFFIX_BYTES, SUFFIX) == 0)) {
            struct target *t = &run->targets[run->count++];
            t->dir = fd;
            t->size = st.st_size;
            snprintf(t->name, sizeof t->name, "%s", e->d_name);
        }
    }
    closedir(d);
}

static int larger_first(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    return (x->size < y->size) - (x->size > y->size);
}

static void shuffle(struct run *run) /* Fisher, Yates */
{
    for (size_t i = run->count; i > 1; i--) {
        size_t other = next(&run->order_seed) % i;
        struct target t = run->targets[i - 1];
        run->targets[i - 1] = run->targets[other];
        run->targets[other] = t;
    }
}

static void run_all(struct run *run, const char *dir)
{
    tree_open(dir, &run->tree);
    pthread_mutex_init(&run->lock, NULL);
    run->targets = calloc(TARGETS_MAX, sizeof *run->targets);
    if (!run->targets) die(2, "out of memory");
    collect(run, run->tree.fd, 0);
    if (run->pattern->order == LARGE_FIRST) qsort(run->targets, run->count, sizeof *run->targets, larger_first);
    if (run->pattern->order == SHUFFLED) shuffle(run);
    run->begun_ns = now_ns();
    pthread_t thread[THREADS_MAX];
    for (unsigned i = 1; i < run->threads; i++)
        if (pthread_create(&thread[i], NULL, work, run)) die(2, "no thread");
    work(run);
    for (unsigned i = 1; i < run->threads; i++) pthread_join(thread[i], NULL);
    free(run->targets);
}

/* --- what the program calls -------------------------------------------------------------------- */

static const struct pattern *pattern_find(const char *name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(patterns[i].name, name) == 0) return &patterns[i];
    die(2, "no pattern '%s'; `decoy patterns` lists them", name);
}

void attack(const char *dir, const char *pattern, uint64_t seed, bool mark, unsigned seconds)
{
    static const unsigned syncs[] = {0, 0, 4, 16}, rates[] = {0, 3, 6, 16};
    struct run run = {.pattern = pattern_find(pattern), .mark = mark, .seconds = seconds};
    uint64_t state = seed;
    for (const char *c = pattern; *c; c++) state = (state ^ (unsigned char)*c) * 0x100000001b3u; /* families differ */
    run.chunk = (size_t)4096 << 2 * (next(&state) % 5); /* 4 KiB .. 1 MiB */
    run.sync_file = next(&state) % 3 == 0;
    run.sync_every = syncs[next(&state) % 4];
    run.head = (off_t)(4096u << next(&state) % 7); /* 4 .. 256 KiB */
    run.zeros = next(&state) % 2;
    run.rate = rates[next(&state) % 4];
    if (run.pattern->slow) {
        run.rate = 0;
        run.pause_ms = 300 + (unsigned)(next(&state) % 1200);
        run.sync_file = true;
        run.seconds = SLOW_SECONDS;
    }
    run.threads = run.pattern->threads ? 2 + (unsigned)(next(&state) % (THREADS_MAX - 1)) : 1;
    run.order_seed = state;
    printf("@@ note params chunk=%zu sync_file=%d sync_every=%u head=%lld zeros=%d rate=%u pause_ms=%u threads=%u\n",
           run.chunk, run.sync_file, run.sync_every, (long long)run.head, run.zeros, run.rate, run.pause_ms, run.threads);
    fflush(stdout);
    run_all(&run, dir);
    if (mark) printf("@@ hit %u %" PRIu64 "\n", run.files, run.bytes);
    printf("attacked %u decoy files, %" PRIu64 " KiB\n", run.files, run.bytes >> 10);
}

void attack_lock(const char *dir)
{
    /* 8 files, then a sync: what is written reaches the disk while it goes on */
    struct run run = {.pattern = pattern_find("rename"), .chunk = 64 << 10, .sync_every = 8, .threads = 1};
    run_all(&run, dir);
    printf("locked %u decoy files, %" PRIu64 " KiB\n", run.files, run.bytes >> 10);
}

void attack_list(void)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) printf("%-13s %s\n", patterns[i].name, patterns[i].what);
}

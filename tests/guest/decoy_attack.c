/* decoy: the patterns, that is, how the storage accesses of published ransomware families look from below. What
 * differs between families is in the table; what differs between samples of one comes from the seed. Sources of the
 * patterns: the papers and reports that corpus/README.md names. */
#include "decoy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum method { IN_PLACE, COPY, COPY_WIPE, ENCODE, WIPE };
enum order { ANY, LARGE_FIRST };
enum { TARGETS_MAX = 65536, THREADS_MAX = 8, CHUNK_MAX = 1 << 20, STRIPE = 16 << 10, SLOW_SECONDS = 50, SUFFIX_BYTES = 7 };
#define SUFFIX ".locked"

struct pattern {
    const char *name, *what;
    enum method method;
    enum order order;
    bool rename, stripes, head_only, slow;
    unsigned threads;
};
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
    struct target *targets;
    size_t count;
    atomic_size_t next;
    pthread_mutex_t lock; /* of started, files, bytes, told_ns and the console */
    unsigned files;
    uint64_t bytes, told_ns, begun_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- what the host is told --------------------------------------------------------------------- */

/* Before any change of a file. The host notes the time and answers. */
static void changing(struct run *run)
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

static unsigned done_with(struct run *run, uint64_t bytes)
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
    return files;
}

/* --- what is done to one file ------------------------------------------------------------------ */

/* XOR with the keystream of this tree and file name at this place; the same again undoes it. */
static void scramble(const struct run *run, const char *name, uint64_t *words, size_t bytes, off_t at)
{
    uint64_t state = run->tree.key;
    size_t length = strlen(name);
    if (length > SUFFIX_BYTES && strcmp(name + length - SUFFIX_BYTES, SUFFIX) == 0) length -= SUFFIX_BYTES;
    for (size_t i = 0; i < length; i++) state = (state ^ (unsigned char)name[i]) * 0x100000001b3u; /* FNV-1a */
    state += (uint64_t)at / 8 * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < (bytes + 7) / 8; i++) words[i] ^= next(&state);
}

static int target_open(const struct target *t, int flags)
{
    int fd = openat(t->dir, t->name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) die(2, "%s: %s", t->name, strerror(errno));
    return fd;
}

static uint64_t in_place(struct run *run, const struct target *t, uint64_t *buf)
{
    const struct pattern *p = run->pattern;
    int fd = target_open(t, O_RDWR);
    off_t end = p->head_only && t->size > run->head ? run->head : t->size;
    size_t chunk = p->stripes ? STRIPE : run->chunk;
    uint64_t bytes = 0;
    for (off_t at = 0; at < end;) {
        size_t want = end - at < (off_t)chunk ? (size_t)(end - at) : chunk;
        ssize_t n = pread(fd, buf, want, at);
        if (n <= 0) break;
        scramble(run, t->name, buf, (size_t)n, at);
        changing(run);
        write_all(fd, buf, (size_t)n, at, t->name);
        bytes += (uint64_t)n;
        at += p->stripes ? 2 * n : n;
    }
    if (run->sync_file) fsync(fd);
    close(fd);
    return bytes;
}

static uint64_t overwrite(struct run *run, const struct target *t, uint64_t *buf, bool zeros)
{
    int fd = target_open(t, O_WRONLY);
    for (off_t at = 0; at < t->size;) {
        size_t want = t->size - at < (off_t)run->chunk ? (size_t)(t->size - at) : run->chunk;
        memset(buf, 0, want);
        if (!zeros) scramble(run, t->name, buf, want, at);
        changing(run);
        write_all(fd, buf, want, at, t->name);
        at += (off_t)want;
    }
    fsync(fd); /* or the deletion that follows would leave nothing to write */
    close(fd);
    return (uint64_t)t->size;
}

static size_t base64(const unsigned char *in, size_t bytes, char *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < bytes ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < bytes ? in[i + 2] : 0);
        for (int shift = 18; shift >= 0; shift -= 6) out[n++] = digit[v >> shift & 63];
    }
    return n;
}

/* Write NAME.locked, scrambled and perhaps encoded; the old one is the caller's to get rid of. */
static uint64_t copy(struct run *run, const struct target *t, uint64_t *buf)
{
    char name[300], *text = NULL;
    bool encode = run->pattern->method == ENCODE;
    snprintf(name, sizeof name, "%s" SUFFIX, t->name);
    if (encode && !(text = malloc(CHUNK_MAX * 4 / 3 + 8))) die(2, "out of memory");
    int in = target_open(t, O_RDONLY), out = -1;
    size_t chunk = encode ? run->chunk / 24 * 24 : run->chunk; /* whole words and whole groups of base64 */
    off_t at = 0, to = 0;
    for (;;) {
        ssize_t n = pread(in, buf, chunk, at);
        if (n < 0) die(2, "%s: %s", t->name, strerror(errno));
        changing(run);
        if (out < 0) out = openat(t->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out < 0) die(2, "%s: %s", name, strerror(errno));
        if (n == 0) break;
        scramble(run, t->name, buf, (size_t)n, at);
        size_t bytes = encode ? base64((unsigned char *)buf, (size_t)n, text) : (size_t)n;
        write_all(out, encode ? text : (char *)buf, bytes, to, name);
        at += n;
        to += (off_t)bytes;
    }
    if (run->sync_file) fsync(out);
    close(out);
    close(in);
    free(text);
    return (uint64_t)at;
}

static void treat(struct run *run, const struct target *t, uint64_t *buf)
{
    const struct pattern *p = run->pattern;
    uint64_t bytes = 0;
    switch (p->method) {
    case IN_PLACE: bytes = in_place(run, t, buf); break;
    case COPY:
    case ENCODE: bytes = copy(run, t, buf); break;
    case COPY_WIPE:
        bytes = copy(run, t, buf);
        overwrite(run, t, buf, run->zeros);
        break;
    case WIPE: bytes = overwrite(run, t, buf, run->zeros); break;
    }
    changing(run);
    if (p->method != IN_PLACE && unlinkat(t->dir, t->name, 0) < 0) die(2, "%s: %s", t->name, strerror(errno));
    if (p->rename) {
        char locked[300];
        snprintf(locked, sizeof locked, "%.255s" SUFFIX, t->name);
        if (renameat(t->dir, t->name, t->dir, locked) < 0) die(2, "%s: %s", t->name, strerror(errno));
    }
    unsigned files = done_with(run, bytes);
    if (run->sync_every && files % run->sync_every == 0) syncfs(t->dir);
}

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
        treat(run, &run->targets[i], buf);
        if (run->pause_ms) usleep(run->pause_ms * 1000);
        pace(run);
        if (run->pattern->slow && now_ns() - run->begun_ns > (uint64_t)SLOW_SECONDS * 1000000000u) break;
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

static void run_all(struct run *run, const char *dir)
{
    tree_open(dir, &run->tree);
    pthread_mutex_init(&run->lock, NULL);
    run->targets = calloc(TARGETS_MAX, sizeof *run->targets);
    if (!run->targets) die(2, "out of memory");
    collect(run, run->tree.fd, 0);
    if (run->pattern->order == LARGE_FIRST) qsort(run->targets, run->count, sizeof *run->targets, larger_first);
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

void attack(const char *dir, const char *pattern, uint64_t seed, bool mark)
{
    static const unsigned syncs[] = {0, 0, 4, 16}, rates[] = {0, 3, 6, 16};
    struct run run = {.pattern = pattern_find(pattern), .mark = mark};
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
    }
    run.threads = run.pattern->threads ? 2 + (unsigned)(next(&state) % (THREADS_MAX - 1)) : 1;
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

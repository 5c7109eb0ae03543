#include "sensor/memory/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "sensor/memory/layout.h"

#define SHARD_BYTES (UINT64_C(4) << 20)
#define THREADS_MAX 8u
#define SPARE_BYTES (UINT64_C(256) << 20) /* that the host keeps for itself */

/* Call fn for each stretch of data in [offset, offset + bytes) of a file. */
typedef int data_fn(struct copy_piece *piece, uint64_t at, uint64_t bytes);
static int each_data(struct copy_piece *piece, uint64_t at, uint64_t bytes, data_fn *fn, uint64_t *sum)
{
    const uint64_t base = piece->from.offset, end = base + at + bytes;
    int r = 0;
    for (uint64_t offset = base + at; r == 0 && offset < end;) {
        off_t data = lseek(piece->from.fd, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data < 0) data = (off_t)offset; /* knows no holes */
        if ((uint64_t)data >= end) break;
        uint64_t to = ((uint64_t)data | (SCAN_STRETCH_BYTES - 1)) + 1;
        if (to > end) to = end;
        *sum += to - (uint64_t)data;
        if (fn) r = fn(piece, (uint64_t)data - base, to - (uint64_t)data);
        offset = to;
    }
    return r;
}

/* --- the guest's file, mapped ----------------------------------------------------------------------------
 *
 * Twice as fast as pread, which goes page by page. Only a file that is sealed against shrinking, as QEMU's memfds are: of any other a read
 * could end in SIGBUS. And only pages that are there: reading a hole would allocate it. A page that is swapped out does not look
 * as if it were there either, so what is not gets a pread, which knows holes from swap.
 */

static void map_source(struct copy_piece *piece)
{
    int seals = fcntl(piece->from.fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) return;
    void *map = mmap(NULL, piece->from.bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, piece->from.fd, (off_t)piece->from.offset);
    if (map != MAP_FAILED) piece->source = map;
}

/* Call fn for each run of pages that are there, other for the rest; at most SHARD_BYTES. */
static int each_run(struct copy_piece *piece, uint64_t at, uint64_t bytes, data_fn *fn, data_fn *other, uint64_t *sum)
{
    unsigned char there[SHARD_BYTES / LAYOUT_PAGE_BYTES];
    const size_t pages = (size_t)(bytes / LAYOUT_PAGE_BYTES);
    int r = 0;
    if (mincore(piece->source + at, bytes, there) < 0) memset(there, 0, pages);
    for (size_t i = 0, end; r == 0 && i < pages; i = end) {
        for (end = i + 1; end < pages && (there[end] & 1) == (there[i] & 1);) end++;
        uint64_t from = at + i * LAYOUT_PAGE_BYTES, n = (end - i) * LAYOUT_PAGE_BYTES;
        if (!(there[i] & 1)) {
            r = each_data(piece, from, n, other, sum);
            continue;
        }
        r = fn(piece, from, n);
        *sum += n;
    }
    return r;
}

static int populate(struct copy_piece *piece, uint64_t at, uint64_t bytes)
{
    return madvise(piece->map + at, bytes, MADV_POPULATE_WRITE) < 0 && errno != EINVAL ? -errno : 0;
}

static int populate_both(struct copy_piece *piece, uint64_t at, uint64_t bytes)
{
    madvise(piece->source + at, bytes, MADV_POPULATE_READ); /* only saves faults later */
    return populate(piece, at, bytes);
}

/* Room for one stretch of data; what of it is there is made ready to be read as well. */
static int populate_data(struct copy_piece *piece, uint64_t at, uint64_t bytes)
{
    uint64_t sum = 0;
    return piece->source ? each_run(piece, at, bytes, populate_both, populate, &sum) : populate(piece, at, bytes);
}

static uint64_t available_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return UINT64_MAX;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
    fclose(f);
    return kib ? (uint64_t)kib << 10 : UINT64_MAX;
}

static int prepare_piece(struct copy_piece *piece, struct chv_err *err)
{
    uint64_t sum = 0;
    if (piece->from.fd < 0) return 0;
    piece->fd = memfd_create("chronovisor-copy", MFD_CLOEXEC);
    if (piece->fd < 0 || ftruncate(piece->fd, (off_t)piece->from.bytes) < 0)
        return chv_err_set(err, errno, "room for a copy of the memory: %s", strerror(errno));
    void *map = mmap(NULL, piece->from.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, piece->fd, 0);
    if (map == MAP_FAILED) return chv_err_set(err, errno, "room for a copy of the memory: %s", strerror(errno));
    piece->map = map;
    map_source(piece);
    int r = each_data(piece, 0, piece->from.bytes, populate_data, &sum);
    return r < 0 ? chv_err_set(err, -r, "room for a copy of the memory: %s", strerror(-r)) : 0;
}

int copy_prepare(struct copy *copy, const struct scan_piece *pieces, size_t count, bool fills_holes, struct chv_err *err)
{
    uint64_t bytes = 0, available = available_bytes();
    *copy = (struct copy){.count = count, .pieces = calloc(count ? count : 1, sizeof *copy->pieces)};
    if (!copy->pieces) return chv_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        copy->pieces[i] = (struct copy_piece){.from = pieces[i], .fd = -1};
        if (pieces[i].fd < 0) continue;
        if (fills_holes)
            bytes += pieces[i].bytes;
        else
            each_data(&copy->pieces[i], 0, pieces[i].bytes, NULL, &bytes);
    }
    int r = 0;
    if (bytes > available || available - bytes < SPARE_BYTES)
        r = chv_err_set(err, ENOMEM, "a copy of the guest's memory needs %llu MiB, and %llu are available; --mode live needs none",
                        (unsigned long long)(bytes >> 20), (unsigned long long)(available >> 20));
    for (size_t i = 0; r == 0 && i < count; i++) r = prepare_piece(&copy->pieces[i], err);
    if (r < 0) copy_fini(copy);
    return r;
}

struct shared {
    struct copy *copy;
    const volatile sig_atomic_t *stop;
    _Atomic uint64_t next, bytes;
    _Atomic int failed;
};

static int copy_data(struct copy_piece *piece, uint64_t at, uint64_t bytes)
{
    return io_pread_full(piece->from.fd, piece->map + at, bytes, piece->from.offset + at);
}

static int copy_mapped(struct copy_piece *piece, uint64_t at, uint64_t bytes)
{
    memcpy(piece->map + at, piece->source + at, bytes);
    return 0;
}

/* A shard that is one hole is not looked at page by page. */
static int copy_shard(struct copy_piece *piece, uint64_t at, uint64_t bytes, uint64_t *sum)
{
    if (!piece->source) return each_data(piece, at, bytes, copy_data, sum);
    const uint64_t begin = piece->from.offset + at;
    off_t data = lseek(piece->from.fd, (off_t)begin, SEEK_DATA);
    if ((data < 0 && errno == ENXIO) || (data >= 0 && (uint64_t)data >= begin + bytes)) return 0;
    return each_run(piece, at, bytes, copy_mapped, copy_data, sum);
}

static void *copy_main(void *arg)
{
    struct shared *s = arg;
    uint64_t before = 0; /* shards of the pieces before p */
    for (size_t p = 0; !atomic_load(&s->failed);) {
        uint64_t shard = atomic_fetch_add(&s->next, 1), of_piece = 0;
        for (; p < s->copy->count; p++, before += of_piece) {
            of_piece = s->copy->pieces[p].from.fd < 0 ? 0 : (s->copy->pieces[p].from.bytes + SHARD_BYTES - 1) / SHARD_BYTES;
            if (shard - before < of_piece) break;
        }
        if (p == s->copy->count) break;
        struct copy_piece *piece = &s->copy->pieces[p];
        uint64_t at = (shard - before) * SHARD_BYTES, left = piece->from.bytes - at, sum = 0;
        int r = s->stop && *s->stop ? -EINTR : copy_shard(piece, at, left < SHARD_BYTES ? left : SHARD_BYTES, &sum);
        if (r < 0) atomic_store(&s->failed, r);
        atomic_fetch_add(&s->bytes, sum);
    }
    return NULL;
}

int copy_run(struct copy *copy, const volatile sig_atomic_t *stop, struct chv_err *err)
{
    struct shared shared = {.copy = copy, .stop = stop};
    pthread_t threads[THREADS_MAX];
    unsigned started = 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, copy_main, &shared) == 0) started++;
    copy_main(&shared);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
    copy->bytes = atomic_load(&shared.bytes);
    int r = atomic_load(&shared.failed);
    return r == 0 ? 0 : chv_err_set(err, -r, "copying the memory: %s", r == -EINTR ? "interrupted" : strerror(-r));
}

void copy_pieces(const struct copy *copy, struct scan_piece *out)
{
    for (size_t i = 0; i < copy->count; i++) {
        out[i] = copy->pieces[i].from;
        out[i].fd = copy->pieces[i].fd;
        out[i].offset = 0;
    }
}

void copy_fini(struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        if (copy->pieces[i].source) munmap(copy->pieces[i].source, copy->pieces[i].from.bytes);
        if (copy->pieces[i].map) munmap(copy->pieces[i].map, copy->pieces[i].from.bytes);
        if (copy->pieces[i].fd >= 0) close(copy->pieces[i].fd);
    }
    free(copy->pieces);
    *copy = (struct copy){0};
}

#include "store/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/run_file.h"
#include "store/sha.h"

#define DIGEST_BYTES (32u << 20)  /* of a run file, resident at a time */
#define FD_BYTES (4u << 20)       /* a file of as much is read, when its pages would not stay; smaller ones are few */

static const size_t widths[RUN_KINDS] = {16, 16, 40};

size_t run_width(enum run_kind kind)
{
    return widths[kind];
}

void run_put64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

void run_addr_key(uint8_t key[16], uint16_t space, unsigned level, uint64_t node, uint64_t seq)
{
    run_put64(key, (uint64_t)space << 48 | (uint64_t)level << 44 | node >> 4);
    run_put64(key + 8, node << 60 | (seq & RUN_SEQ_MAX));
}

static uint64_t bound_in(const struct run *run, uint64_t low, uint64_t high, const uint8_t *key, size_t key_bytes)
{
    size_t width = widths[run->kind];
    uint64_t first = run_get64(key);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const uint8_t *entry = run_entry(run, middle, width);
        uint64_t other = run_get64(entry);
        bool less = other != first ? other < first : memcmp(entry + 8, key + 8, key_bytes - 8) < 0;
        if (less)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t bound_by_fences(const struct run *run, const uint8_t *key, size_t key_bytes)
{
    uint64_t low = 0, high = run->fence_count, first = run_get64(key);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const uint8_t *fence = run->fences + middle * 16;
        uint64_t other = run_get64(fence);
        bool less = other != first ? other < first : memcmp(fence + 8, key + 8, key_bytes - 8) < 0;
        if (less)
            low = middle + 1;
        else
            high = middle;
    }
    /* the answer lies behind fence low-1 and not behind fence low */
    uint64_t from = low ? (low - 1) * run->stride : 0;
    uint64_t to = low < run->fence_count ? low * run->stride : run->count;
    return bound_in(run, from, to < run->count ? to : run->count, key, key_bytes);
}

uint64_t run_lower_bound(const struct run *run, const uint8_t *key, size_t key_bytes)
{
    if (run->buckets && run->bucket_bits > 0) {
        uint64_t bucket = run_get64(key) >> (64 - run->bucket_bits);
        /* The file is input: whatever the directory says, stay inside the entries. */
        uint64_t from = run->buckets[bucket], to = run->buckets[bucket + 1];
        if (to > run->count) to = run->count;
        return from < to ? bound_in(run, from, to, key, key_bytes) : to;
    }
    if (run->fences) return bound_by_fences(run, key, key_bytes);
    return bound_in(run, 0, run->count, key, key_bytes);
}

void run_prefetch_bucket(const struct run *run, const uint8_t *key)
{
    if (run->buckets && run->bucket_bits > 0) __builtin_prefetch(&run->buckets[run_get64(key) >> (64 - run->bucket_bits)]);
}

void run_prefetch_entry(const struct run *run, const uint8_t *key)
{
    if (!run->buckets || run->bucket_bits == 0) return;
    /* Prefetching cannot fault, but the address is only computed from a directory entry inside the run. */
    uint64_t from = run->buckets[run_get64(key) >> (64 - run->bucket_bits)];
    if (from < run->count) __builtin_prefetch(run->tags ? run->tags + from : run_entry(run, from, widths[run->kind]));
}

/* --- in memory ---------------------------------------------------------------------------------- */

struct sort_item {
    uint64_t key;
    uint32_t index;
};

/* LSD radix sort by the 64-bit key; stable. */
static struct sort_item *radix(struct sort_item *items, struct sort_item *other, uint64_t count)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint64_t starts[257] = {0};
        for (uint64_t i = 0; i < count; i++) starts[(items[i].key >> shift & 255) + 1]++;
        bool single = false;
        for (int b = 0; b < 256; b++) {
            single |= starts[b + 1] == count;
            starts[b + 1] += starts[b];
        }
        if (single) continue; /* every key has the same byte here */
        for (uint64_t i = 0; i < count; i++) other[starts[items[i].key >> shift & 255]++] = items[i];
        struct sort_item *swap = items;
        items = other;
        other = swap;
    }
    return items;
}

static int compare16(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static int compare40(const void *a, const void *b)
{
    return memcmp(a, b, 40);
}

void run_sort(enum run_kind kind, uint8_t *entries, uint64_t count)
{
    size_t width = widths[kind];
    struct sort_item *items = NULL;
    uint8_t *sorted = NULL;
    if (count > 256 && count <= UINT32_MAX) {
        items = malloc(2 * count * sizeof *items);
        sorted = malloc(count * width);
    }
    if (!items || !sorted) {
        free(items);
        free(sorted);
        if (count > 1) qsort(entries, count, width, kind == RUN_LOC ? compare40 : compare16);
        return;
    }
    struct sort_item *order = items;
    if (width == 16) { /* the rest of the key first: the sort is stable */
        for (uint64_t i = 0; i < count; i++)
            items[i] = (struct sort_item){run_get64(entries + i * 16 + 8), (uint32_t)i};
        order = radix(items, items + count, count);
        for (uint64_t i = 0; i < count; i++) order[i].key = run_get64(entries + (uint64_t)order[i].index * 16);
    } else {
        for (uint64_t i = 0; i < count; i++) items[i] = (struct sort_item){run_get64(entries + i * width), (uint32_t)i};
    }
    order = radix(order, order == items ? items + count : items, count);
    for (uint64_t i = 0; i < count; i++) memcpy(sorted + i * width, entries + order[i].index * width, width);
    if (width == 40) /* hashes that agree in 8 bytes and not in all are rare: put those right */
        for (uint64_t i = 1; i < count; i++)
            if (memcmp(sorted + (i - 1) * 40, sorted + i * 40, 40) > 0) {
                qsort(sorted, count, 40, compare40);
                break;
            }
    memcpy(entries, sorted, count * width);
    free(items);
    free(sorted);
}

static uint16_t levels_of(const uint8_t *entries, uint64_t count)
{
    uint16_t levels = 0;
    for (uint64_t i = 0; i < count; i++) levels |= (uint16_t)(1u << (entries[i * 16 + 2] >> 4));
    return levels;
}

void run_from_memory(struct run *run, enum run_kind kind, uint8_t *entries, uint64_t count)
{
    *run = (struct run){.kind = kind, .entries = entries, .count = count};
    if (kind == RUN_ADDR) run->levels = levels_of(entries, count);
}

/* --- files --------------------------------------------------------------------------------------- */

static int check(const struct run_file *h, enum run_kind kind, uint64_t file_bytes, const char *path, struct chv_err *err)
{
    uint64_t body, directory;
    bool good = memcmp(h->magic, RUN_MAGIC, 8) == 0 && (h->version == 1 || h->version == RUN_VERSION) && h->kind == (uint32_t)kind &&
                h->count <= UINT32_MAX && !__builtin_mul_overflow(h->count, (uint64_t)widths[kind], &body);
    if (good && kind == RUN_ADDR) {
        good = h->stride > 0 && h->stride <= RUN_STRIDE_MAX && h->bucket_bits == 0;
        directory = good ? (h->count + h->stride - 1) / h->stride * 16 : 0;
    } else {
        good = good && h->bucket_bits <= RUN_BUCKET_BITS_MAX;
        directory = good && h->bucket_bits ? ((UINT64_C(1) << h->bucket_bits) + 1) * 4 : 0;
        if (good && h->bucket_bits && h->version > 1) directory += run_tags_bytes(h->count);
    }
    if (!good || file_bytes != RUN_HEADER_BYTES + body + directory)
        return chv_err_set(err, EBADMSG, "%s is damaged; 'chronovisor reindex' makes the index again", path);
    return 0;
}

static void body_digest(const struct run *run, uint8_t digest[32])
{
    struct sha256 sha;
    sha256_init(&sha);
    for (size_t at = RUN_HEADER_BYTES, n; at < run->map_bytes; at += n) {
        n = run->map_bytes - at < DIGEST_BYTES ? run->map_bytes - at : DIGEST_BYTES;
        sha256_update(&sha, (const uint8_t *)run->map + at, n);
        run_release_pages(run);
    }
    sha256_peek(&sha, digest);
}

int run_open(struct run *run, enum run_kind kind, const char *path, bool verify, struct chv_err *err)
{
    struct stat st;
    struct run_file h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return chv_err_set(err, errno, "%s: %s%s", path, strerror(errno),
                           errno == ENOENT ? "; 'chronovisor reindex' makes the index again" : "");
    int r = io_pread_full(fd, &h, sizeof h, 0);
    if (r == 0 && fstat(fd, &st) < 0) r = -errno;
    if (r < 0)
        r = chv_err_set(err, r == -ENODATA ? EBADMSG : -r, "%s: header unreadable; 'chronovisor reindex' makes the index again", path);
    else
        r = check(&h, kind, (uint64_t)st.st_size, path, err);
    void *map = MAP_FAILED;
    if (r == 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        else /* a look is to make pages resident, not megabytes; fails on a kernel that has no huge ones */
            madvise(map, (size_t)st.st_size, MADV_NOHUGEPAGE);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    *run = (struct run){.kind = kind, .entries = (const uint8_t *)map + RUN_HEADER_BYTES, .count = h.count,
                        .levels = (uint16_t)h.levels, .map = map, .map_bytes = (size_t)st.st_size};
    const uint8_t *directory = run->entries + h.count * widths[kind];
    if (kind == RUN_ADDR) {
        run->fences = directory;
        run->stride = h.stride;
        run->fence_count = (h.count + h.stride - 1) / h.stride;
    } else if (h.bucket_bits) {
        run->tags = h.version > 1 ? directory : NULL;
        if (run->tags) directory += run_tags_bytes(h.count);
        run->buckets = (const uint32_t *)(const void *)directory;
        run->bucket_bits = h.bucket_bits;
    }
    if (run->tags && run->map_bytes >= FD_BYTES)
        run->fd = fd; /* 0 is as good as none */
    if (run->fd == 0) close(fd);
    if (verify) {
        uint8_t digest[32];
        body_digest(run, digest);
        if (memcmp(digest, h.digest, 32) != 0) {
            run_close(run);
            return chv_err_set(err, EBADMSG, "%s does not match its digest; 'chronovisor reindex' makes the index again", path);
        }
    }
    return 0;
}

void run_close(struct run *run)
{
    if (run->fd) close(run->fd);
    if (run->map)
        munmap(run->map, run->map_bytes);
    else
        free((void *)(uintptr_t)run->entries);
    *run = (struct run){.kind = run->kind};
}

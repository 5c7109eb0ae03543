/* Writing and merging run files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/run.h"
#include "store/run_file.h"
#include "store/sha.h"

#define BUFFER_BYTES (960u << 10) /* a multiple of every width */
#define BUCKET_ENTRIES 8u
#define FENCES_MAX (UINT64_C(1) << 20)

struct run_writer {
    const struct io *io;
    enum run_kind kind;
    size_t width;
    char *path;
    int fd;
    struct run_file header;
    struct sha256 sha;
    uint64_t added, offset;
    uint8_t *buffer;
    size_t used;
    uint32_t *buckets;
    uint64_t next_bucket;
    uint8_t *fences;
};

static int fail(const struct run_writer *w, int r, struct chv_err *err)
{
    return chv_err_set(err, -r, "%s: %s", w->path, strerror(-r));
}

int run_writer_new(const struct io *io, enum run_kind kind, const char *path, uint64_t count, struct run_writer **out,
                   struct chv_err *err)
{
    if (count > UINT32_MAX)
        return chv_err_set(err, EFBIG, "%s: a run holds at most %u entries", path, UINT32_MAX);
    struct run_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(path)) || !(w->buffer = malloc(BUFFER_BYTES))) goto err_memory;
    w->io = io;
    w->kind = kind;
    w->width = run_width(kind);
    w->offset = RUN_HEADER_BYTES;
    w->header = (struct run_file){.version = RUN_VERSION, .kind = (uint32_t)kind, .count = count};
    memcpy(w->header.magic, RUN_MAGIC, 8);
    sha256_init(&w->sha);
    if (kind == RUN_ADDR) {
        w->header.stride = 64;
        while (count / w->header.stride > FENCES_MAX) w->header.stride *= 2;
        w->fences = malloc((count / w->header.stride + 1) * 16);
        if (!w->fences) goto err_memory;
    } else {
        unsigned bits = 0;
        while (bits < RUN_BUCKET_BITS_MAX && (count >> bits) > BUCKET_ENTRIES) bits++;
        w->header.bucket_bits = bits;
        w->buckets = malloc(((UINT64_C(1) << bits) + 1) * 4);
        if (!w->buckets) goto err_memory;
    }
    w->fd = io->open(io, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (w->fd < 0) {
        int r = fail(w, w->fd, err);
        run_writer_end(w, false, NULL);
        return r;
    }
    *out = w;
    return 0;
err_memory:
    if (w) w->fd = -1;
    run_writer_end(w, false, NULL);
    return chv_err_set(err, ENOMEM, "%s: out of memory", path);
}

static int drain(struct run_writer *w, struct chv_err *err)
{
    if (w->used == 0) return 0;
    sha256_update(&w->sha, w->buffer, w->used);
    int r = w->io->pwrite(w->io, w->fd, w->buffer, w->used, w->offset);
    if (r < 0) return fail(w, r, err);
    w->offset += w->used;
    w->used = 0;
    return 0;
}

static void note(struct run_writer *w, const uint8_t *entry)
{
    if (w->fences) {
        w->header.levels |= 1u << (entry[2] >> 4);
        if (w->added % w->header.stride == 0) memcpy(w->fences + w->added / w->header.stride * 16, entry, 16);
    } else if (w->header.bucket_bits) {
        uint64_t bucket = run_get64(entry) >> (64 - w->header.bucket_bits);
        while (w->next_bucket <= bucket) w->buckets[w->next_bucket++] = (uint32_t)w->added;
    }
}

int run_writer_add(struct run_writer *w, const uint8_t *entries, uint64_t count, struct chv_err *err)
{
    for (uint64_t i = 0; i < count; i++, entries += w->width) {
        if (w->added == w->header.count) return fail(w, -EINVAL, err);
        note(w, entries);
        memcpy(w->buffer + w->used, entries, w->width);
        w->used += w->width;
        w->added++;
        if (w->used + w->width > BUFFER_BYTES) {
            int r = drain(w, err);
            if (r < 0) return r;
        }
    }
    return 0;
}

/* A byte of each entry, from the file: kept meanwhile they would grow with history. */
static int write_tags(struct run_writer *w, struct chv_err *err)
{
    uint8_t *tags = malloc(BUFFER_BYTES / w->width + 4);
    uint64_t from = RUN_HEADER_BYTES, end = w->offset;
    int r = tags ? 0 : -ENOMEM;
    while (r == 0 && from < end) {
        size_t bytes = end - from < BUFFER_BYTES ? (size_t)(end - from) : BUFFER_BYTES, n = 0;
        r = io_pread_full(w->fd, w->buffer, bytes, from);
        for (size_t at = 0; at < bytes; at += w->width) tags[n++] = w->buffer[at + RUN_TAG];
        from += bytes;
        while (from == end && n % 4 != 0) tags[n++] = 0;
        if (r < 0) break;
        sha256_update(&w->sha, tags, n);
        r = w->io->pwrite(w->io, w->fd, tags, n, w->offset);
        w->offset += n;
    }
    free(tags);
    return r < 0 ? fail(w, r, err) : 0;
}

static int finish(struct run_writer *w, struct chv_err *err)
{
    int r = drain(w, err);
    if (r < 0) return r;
    if (w->added != w->header.count) { /* a merge dropped duplicates: the array is shorter than announced */
        w->header.count = w->added;
    }
    const void *directory = w->fences;
    size_t bytes = 0;
    if (w->fences) {
        bytes = (w->added + w->header.stride - 1) / w->header.stride * 16;
    } else if (w->header.bucket_bits) {
        r = write_tags(w, err);
        if (r < 0) return r;
        uint64_t buckets = UINT64_C(1) << w->header.bucket_bits;
        while (w->next_bucket <= buckets) w->buckets[w->next_bucket++] = (uint32_t)w->added;
        directory = w->buckets;
        bytes = (buckets + 1) * 4;
    }
    if (bytes) {
        sha256_update(&w->sha, directory, bytes);
        r = w->io->pwrite(w->io, w->fd, directory, bytes, w->offset);
    }
    sha256_peek(&w->sha, w->header.digest);
    uint8_t page[RUN_HEADER_BYTES] = {0};
    memcpy(page, &w->header, sizeof w->header);
    if (r == 0) r = w->io->pwrite(w->io, w->fd, page, sizeof page, 0);
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    return r < 0 ? fail(w, r, err) : 0;
}

int run_writer_end(struct run_writer *w, bool finish_it, struct chv_err *err)
{
    if (!w) return 0;
    int r = finish_it ? finish(w, err) : 0;
    if (w->fd >= 0) w->io->close(w->io, w->fd);
    if ((r < 0 || !finish_it) && w->fd >= 0) w->io->unlink(w->io, w->path);
    free(w->path);
    free(w->buffer);
    free(w->buckets);
    free(w->fences);
    free(w);
    return r;
}

#define MERGE_MAX 64
#define RELEASE_ENTRIES (UINT64_C(1) << 20)

int run_merge(const struct io *io, enum run_kind kind, const struct run *const *runs, size_t n, const char *path,
              struct chv_err *err)
{
    uint64_t at[MERGE_MAX] = {0}, total = 0, written = 0;
    size_t width = run_width(kind), heap[MERGE_MAX], alive = 0;
    if (n > MERGE_MAX) return chv_err_set(err, EINVAL, "%s: too many runs to merge", path);
    for (size_t i = 0; i < n; i++) {
        total += runs[i]->count;
        if (runs[i]->count) heap[alive++] = i;
    }
    struct run_writer *w;
    int r = run_writer_new(io, kind, path, total, &w, err);
    if (r < 0) return r;
    uint8_t last[32] = {0};
    bool have_last = false;
    while (alive > 0) {
        /* Few runs: a linear look for the least beats a heap. Ties go to the older run. */
        size_t best = 0;
        for (size_t k = 1; k < alive; k++)
            if (memcmp(run_entry(runs[heap[k]], at[heap[k]], width), run_entry(runs[heap[best]], at[heap[best]], width),
                       width) < 0)
                best = k;
        size_t i = heap[best];
        const uint8_t *entry = run_entry(runs[i], at[i], width);
        if (kind != RUN_LOC || !have_last || memcmp(last, entry, 32) != 0) {
            r = run_writer_add(w, entry, 1, err);
            if (r < 0) break;
            if (kind == RUN_LOC) memcpy(last, entry, 32);
            have_last = true;
        }
        if (++at[i] == runs[i]->count) heap[best] = heap[--alive];
        if (++written % RELEASE_ENTRIES == 0)
            for (size_t k = 0; k < n; k++) run_release_pages(runs[k]);
    }
    int ended = run_writer_end(w, r == 0, r == 0 ? err : NULL);
    for (size_t k = 0; k < n; k++) run_release_pages(runs[k]);
    return r < 0 ? r : ended;
}

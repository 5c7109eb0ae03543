/* A file as blocks: in one pass, at every sector offset, or a random sample of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "search/internal.h"

#define CHUNK_BYTES (4u << 20) /* of content read at a time; a multiple of every block size */

struct feeder {
    struct search *search;
    const char *path;
    const struct search_feed *feed;
    struct search_feed_report *report;
    int fd;
    uint64_t size; /* as the file system says; 0: not known */
    size_t block_bytes;
    uint8_t *data;
    uint8_t (*hashes)[CHV_HASH_BYTES];
    uint16_t *entropies;
    struct search_block *blocks;
    size_t block_count;
};

static void feeder_fini(struct feeder *f)
{
    if (f->fd > 0) close(f->fd);
    free(f->data);
    free(f->hashes);
    free(f->entropies);
    free(f->blocks);
}

static int feeder_init(struct feeder *f, struct chv_err *err)
{
    f->block_bytes = (size_t)f->search->unit * CHV_SECTOR_BYTES;
    size_t per_chunk = CHUNK_BYTES / f->block_bytes;
    f->fd = strcmp(f->path, "-") == 0 ? dup(STDIN_FILENO) : open(f->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st) < 0) return chv_err_set(err, errno, "%s: %s", f->path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return chv_err_set(err, EISDIR, "%s: is a directory; name the files to search for", f->path);
    if (S_ISREG(st.st_mode)) f->size = (uint64_t)st.st_size;
    if (S_ISBLK(st.st_mode)) {
        off_t end = lseek(f->fd, 0, SEEK_END);
        if (end > 0) f->size = (uint64_t)end;
        lseek(f->fd, 0, SEEK_SET);
    }
    f->data = malloc(CHUNK_BYTES + f->block_bytes);
    f->hashes = malloc(per_chunk * sizeof *f->hashes);
    f->entropies = malloc(per_chunk * sizeof *f->entropies);
    f->blocks = malloc(per_chunk * sizeof *f->blocks);
    if (!f->data || !f->hashes || !f->entropies || !f->blocks) return chv_err_set(err, ENOMEM, "out of memory");
    return 0;
}

/* Read until `bytes` are there or the file ends. */
static ssize_t read_full(struct feeder *f, uint8_t *buf, size_t bytes, struct chv_err *err)
{
    size_t got = 0;
    while (got < bytes) {
        ssize_t n = read(f->fd, buf + got, bytes - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return chv_err_set(err, errno, "%s: reading failed: %s", f->path, strerror(errno));
        if (n == 0) break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static int flush_blocks(struct feeder *f, struct chv_err *err)
{
    if (f->block_count == 0) return 0;
    int r = search_batch(f->search, f->blocks, f->block_count, err);
    f->block_count = 0;
    return r;
}

/* Hash `count` whole blocks at `data`, which stand at `offset` in the file, and look them up.
 * `last_bytes` is how much of the last one is content (the rest is zero padding). */
static int feed_blocks(struct feeder *f, const uint8_t *data, uint64_t offset, size_t count, size_t last_bytes,
                       struct chv_err *err)
{
    chv_digest_blocks(data, f->block_bytes, count, f->hashes, f->entropies);
    for (size_t i = 0; i < count; i++) {
        struct search_block *b = &f->blocks[f->block_count++];
        b->sector = offset / CHV_SECTOR_BYTES + i * f->search->unit;
        memcpy(b->hash, f->hashes[i], CHV_HASH_BYTES);
        b->kind = (uint8_t)block_kind(data + i * f->block_bytes, i + 1 == count ? last_bytes : f->block_bytes);
        if (f->block_count == CHUNK_BYTES / f->block_bytes) {
            int r = flush_blocks(f, err);
            if (r < 0) return r;
        }
    }
    return 0;
}

/* One chunk at all its alignments. `bytes` are there from `offset` (block-aligned) on; blocks that begin
 * in the first `body` bytes are this chunk's. */
static int feed_chunk(struct feeder *f, uint64_t offset, size_t body, size_t bytes, bool at_end, struct chv_err *err)
{
    size_t bs = f->block_bytes, whole = body / bs, tail = at_end ? body % bs : 0;
    size_t last = bs;
    if (tail) { /* file systems fill the last block with zeros */
        memset(f->data + body, 0, bs - tail);
        whole++;
        last = tail;
    }
    f->report->blocks += whole;
    int r = whole ? feed_blocks(f, f->data, offset, whole, last, err) : 0;
    if (!f->feed->fragment) return r;
    for (size_t shift = CHV_SECTOR_BYTES; r == 0 && shift < bs; shift += CHV_SECTOR_BYTES) {
        size_t available = bytes > shift ? (bytes - shift) / bs : 0;
        size_t mine = body > shift ? (body - shift + bs - 1) / bs : 0;
        size_t count = available < mine ? available : mine;
        if (count) r = feed_blocks(f, f->data + shift, offset + shift, count, bs, err);
    }
    return r;
}

static int feed_all(struct feeder *f, struct chv_err *err)
{
    /* `ahead`: one block beyond the chunk, for blocks that begin in it at another alignment */
    size_t held = 0;
    bool at_end = false;
    for (uint64_t offset = 0; !at_end;) {
        ssize_t n = read_full(f, f->data + held, CHUNK_BYTES + f->block_bytes - held, err);
        if (n < 0) return (int)n;
        size_t bytes = held + (size_t)n;
        at_end = bytes < CHUNK_BYTES + f->block_bytes;
        size_t body = at_end ? bytes : CHUNK_BYTES;
        f->report->bytes = offset + bytes;
        int r = feed_chunk(f, offset, body, bytes, at_end, err);
        if (r < 0) return r;
        held = bytes - body;
        memmove(f->data, f->data + body, held);
        offset += body;
        if (f->feed->progress) f->feed->progress(f->feed->progress_arg, offset, f->size);
    }
    return flush_blocks(f, err);
}

static int feed_sample(struct feeder *f, struct chv_err *err)
{
    if (f->size == 0) return chv_err_set(err, EINVAL, "%s: a sample needs a file of known size", f->path);
    size_t bs = f->block_bytes;
    uint64_t population = (f->size + bs - 1) / bs;
    uint64_t count = f->feed->sample < population ? f->feed->sample : population;
    f->report->bytes = f->size;
    f->report->blocks = population;
    f->report->sampled = count;
    uint64_t *chosen = malloc(count * sizeof *chosen);
    int r = chosen ? sample_draw(population, count, f->feed->seed, chosen) : -ENOMEM;
    if (r < 0) chv_err_set(err, -r, "out of memory: sample fewer blocks");
    for (uint64_t i = 0; i < count && r == 0; i++) {
        uint64_t offset = chosen[i] * bs;
        size_t want = f->size - offset < bs ? (size_t)(f->size - offset) : bs;
        ssize_t n = pread(f->fd, f->data, want, (off_t)offset);
        if (n != (ssize_t)want) {
            r = chv_err_set(err, n < 0 ? errno : EIO, "%s: reading failed at byte %llu%s", f->path,
                            (unsigned long long)offset, n < 0 ? "" : ": the file became shorter");
            break;
        }
        memset(f->data + want, 0, bs - want);
        r = feed_blocks(f, f->data, offset, 1, want, err);
        if (f->feed->progress) f->feed->progress(f->feed->progress_arg, i + 1, count);
    }
    free(chosen);
    return r < 0 ? r : flush_blocks(f, err);
}

int search_feed_file(struct search *search, const char *path, const struct search_feed *feed,
                     struct search_feed_report *report, struct chv_err *err)
{
    *report = (struct search_feed_report){0};
    struct feeder f = {.search = search, .path = path, .feed = feed, .report = report};
    int r = feeder_init(&f, err);
    if (r == 0) r = feed->sample ? feed_sample(&f, err) : feed_all(&f, err);
    feeder_fini(&f);
    return r;
}

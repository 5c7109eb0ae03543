#include "store/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "store/digest.h"
#include "store/sha.h"

#define BLOCK_MAX 4096u
#define RECORD_MAX (sizeof(struct pack_record) + BLOCK_MAX)
#define SCAN_BYTES (1u << 20)

void pack_set_init(struct pack_set *set, const struct meta *meta)
{
    memset(set, 0, sizeof *set);
    set->meta = meta;
    pthread_rwlock_init(&set->lock, NULL);
}

void pack_set_forget(struct pack_set *set)
{
    for (int i = 0; i < PACK_FDS; i++) {
        if (set->fds[i].pack) close(set->fds[i].fd);
        set->fds[i].pack = 0;
    }
}

void pack_set_fini(struct pack_set *set)
{
    pack_set_forget(set);
    pthread_rwlock_destroy(&set->lock);
}

int pack_check_header(const struct meta *meta, uint64_t number, int fd, struct chv_err *err)
{
    struct pack_header h;
    int r = io_pread_full(fd, &h, sizeof h, 0);
    if (r < 0 || memcmp(h.magic, PACK_MAGIC, 8) != 0 || h.version != CHV_FORMAT_VERSION ||
        h.header_bytes != sizeof h || h.number != number || memcmp(h.uuid, meta->uuid, 16) != 0)
        return chv_err_set(err, EBADMSG, "packs/%08llu.pack: header damaged or of another store",
                           (unsigned long long)number);
    return 0;
}

/* With the lock held in either way: the descriptor of a pack, or -1. */
static int set_lookup(const struct pack_set *set, uint64_t pack)
{
    return set->fds[pack % PACK_FDS].pack == pack ? set->fds[pack % PACK_FDS].fd : -1;
}

/* Returns with the lock held for reading and the descriptor, or -errno without it. */
static int set_acquire(struct pack_set *set, uint64_t pack, struct chv_err *err)
{
    for (;;) {
        pthread_rwlock_rdlock(&set->lock);
        int fd = set_lookup(set, pack);
        if (fd >= 0) return fd;
        pthread_rwlock_unlock(&set->lock);
        char path[STORE_PATH_BYTES];
        meta_pack_path(set->meta, pack, path);
        /* The header is not looked at: every block read is checked against its hash, which is more. */
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        pthread_rwlock_wrlock(&set->lock);
        if (set_lookup(set, pack) >= 0) {
            close(fd);
        } else {
            if (set->fds[pack % PACK_FDS].pack) close(set->fds[pack % PACK_FDS].fd);
            set->fds[pack % PACK_FDS].pack = pack;
            set->fds[pack % PACK_FDS].fd = fd;
        }
        pthread_rwlock_unlock(&set->lock);
    }
}

static bool record_sane(const struct pack_record *rec, uint32_t block_bytes)
{
    return rec->raw_bytes == block_bytes && rec->reserved == 0 && rec->stored_bytes > 0 &&
           rec->stored_bytes <= block_bytes &&
           (rec->codec == CODEC_ZSTD || (rec->codec == CODEC_RAW && rec->stored_bytes == block_bytes));
}

/* Unpack stored bytes into out[block_bytes]; true when they are the content that `hash` names. */
static bool unpack(const struct pack_record *rec, const uint8_t *stored, const uint8_t hash[32], uint8_t *out,
                   uint32_t block_bytes)
{
    if (rec->codec == CODEC_RAW)
        memcpy(out, stored, block_bytes);
    else if (ZSTD_decompress(out, block_bytes, stored, rec->stored_bytes) != block_bytes)
        return false;
    uint8_t digest[32];
    sha256_of(out, block_bytes, digest);
    return memcmp(digest, hash, 32) == 0;
}

int pack_read(struct pack_set *set, pack_loc loc, const uint8_t hash[32], void *buf, struct chv_err *err)
{
    uint8_t bytes[RECORD_MAX];
    struct pack_record rec;
    uint32_t block_bytes = set->meta->block_bytes;
    uint64_t offset = pack_loc_offset(loc);
    int fd = set_acquire(set, pack_loc_pack(loc), err);
    if (fd < 0) return fd;
    ssize_t n = pread(fd, bytes, sizeof rec + block_bytes, (off_t)offset); /* the record and, often, some more */
    int failed = n < 0 ? errno : 0;
    pthread_rwlock_unlock(&set->lock);
    if (failed)
        return chv_err_set(err, failed, "packs/%08llu.pack at %llu: %s", (unsigned long long)pack_loc_pack(loc),
                           (unsigned long long)offset, strerror(failed));
    if ((size_t)n >= sizeof rec) {
        memcpy(&rec, bytes, sizeof rec);
        if (record_sane(&rec, block_bytes) && (size_t)n >= sizeof rec + rec.stored_bytes &&
            memcmp(rec.hash, hash, 32) == 0 && unpack(&rec, bytes + sizeof rec, hash, buf, block_bytes))
            return 0;
    }
    return chv_err_set(err, EBADMSG, "packs/%08llu.pack at %llu: the stored block is damaged",
                       (unsigned long long)pack_loc_pack(loc), (unsigned long long)offset);
}

/* --- many at once ----------------------------------------------------------------------------- */

enum { MANY_BYTES = 256 << 10, MANY_GAP_BYTES = 16 << 10, MANY_JOBS = 64 };

static int compare_wants(const void *a, const void *b)
{
    pack_loc x = ((const struct pack_want *)a)->loc, y = ((const struct pack_want *)b)->loc;
    return (x > y) - (x < y);
}

static int damaged(pack_loc loc, struct chv_err *err)
{
    return chv_err_set(err, EBADMSG, "packs/%08llu.pack at %llu: the stored block is damaged",
                       (unsigned long long)pack_loc_pack(loc), (unsigned long long)pack_loc_offset(loc));
}

/* How many of the wants lie so close together that one read brings them all. */
static size_t neighbours(const struct pack_want *wants, size_t count, size_t record_max)
{
    size_t n = 1;
    uint64_t first = pack_loc_offset(wants[0].loc);
    while (n < count && pack_loc_pack(wants[n].loc) == pack_loc_pack(wants[0].loc) &&
           pack_loc_offset(wants[n].loc) - pack_loc_offset(wants[n - 1].loc) <= record_max + MANY_GAP_BYTES &&
           pack_loc_offset(wants[n].loc) - first + record_max <= MANY_BYTES)
        n++;
    return n;
}

static int verify_wants(const struct pack_want *wants, size_t count, size_t block_bytes, struct chv_err *err)
{
    struct digest_job jobs[MANY_JOBS];
    uint8_t hashes[MANY_JOBS][32];
    for (size_t from = 0; from < count; from += MANY_JOBS) {
        size_t n = count - from < MANY_JOBS ? count - from : MANY_JOBS;
        for (size_t i = 0; i < n; i++) jobs[i] = (struct digest_job){.data = wants[from + i].buf, .hash = hashes[i]};
        digest_blocks(jobs, n, block_bytes);
        for (size_t i = 0; i < n; i++)
            if (memcmp(hashes[i], wants[from + i].hash, 32) != 0) return damaged(wants[from + i].loc, err);
    }
    return 0;
}

static int read_neighbours(struct pack_set *set, const struct pack_want *wants, size_t count, uint8_t *window,
                           ZSTD_DCtx *zstd, struct chv_err *err)
{
    const uint32_t block_bytes = set->meta->block_bytes;
    uint64_t first = pack_loc_offset(wants[0].loc);
    size_t bytes = (size_t)(pack_loc_offset(wants[count - 1].loc) - first) + sizeof(struct pack_record) + block_bytes;
    int fd = set_acquire(set, pack_loc_pack(wants[0].loc), err);
    if (fd < 0) return fd;
    ssize_t got = pread(fd, window, bytes, (off_t)first); /* less at the end of the pack */
    int failed = got < 0 ? errno : 0;
    pthread_rwlock_unlock(&set->lock);
    if (failed)
        return chv_err_set(err, failed, "packs/%08llu.pack at %llu: %s", (unsigned long long)pack_loc_pack(wants[0].loc),
                           (unsigned long long)first, strerror(failed));
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)(pack_loc_offset(wants[i].loc) - first);
        struct pack_record rec;
        if (at + sizeof rec > (size_t)got) return damaged(wants[i].loc, err);
        memcpy(&rec, window + at, sizeof rec);
        at += sizeof rec;
        if (!record_sane(&rec, block_bytes) || at + rec.stored_bytes > (size_t)got) return damaged(wants[i].loc, err);
        if (rec.codec == CODEC_RAW)
            memcpy(wants[i].buf, window + at, block_bytes);
        else if (ZSTD_decompressDCtx(zstd, wants[i].buf, block_bytes, window + at, rec.stored_bytes) != block_bytes)
            return damaged(wants[i].loc, err);
    }
    return verify_wants(wants, count, block_bytes, err);
}

int pack_read_many(struct pack_set *set, struct pack_want *wants, size_t count, struct chv_err *err)
{
    size_t record_max = sizeof(struct pack_record) + set->meta->block_bytes;
    uint8_t *window = malloc(MANY_BYTES);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    int r = window && zstd ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    qsort(wants, count, sizeof *wants, compare_wants);
    for (size_t at = 0, n; r == 0 && at < count; at += n) {
        n = neighbours(wants + at, count - at, record_max);
        r = read_neighbours(set, wants + at, n, window, zstd, err);
    }
    ZSTD_freeDCtx(zstd);
    free(window);
    return r;
}

/* *last: where the last record before *end begins, `from` when there is none. */
static int scan(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, bool check_header, bool verify,
                pack_scan_fn *fn, void *arg, uint64_t *last, uint64_t *end, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    uint8_t raw[BLOCK_MAX];
    uint64_t at = from ? from : sizeof(struct pack_header);
    *last = *end = at;
    meta_pack_path(meta, number, path);
    if (from > UINT32_MAX) /* no record begins there: see pack_loc */
        return chv_err_set(err, EBADMSG, "%s: has no offset %llu", path, (unsigned long long)from);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    uint8_t *window = malloc(SCAN_BYTES);
    int r = window ? 0 : chv_err_set(err, ENOMEM, "%s: out of memory", path);
    if (r == 0 && check_header) r = pack_check_header(meta, number, fd, err);
    uint64_t window_at = 0;
    size_t window_bytes = 0;
    while (r == 0 && at < to) {
        if (at < window_at || at + RECORD_MAX > window_at + window_bytes) {
            ssize_t n = pread(fd, window, SCAN_BYTES, (off_t)at);
            if (n < 0) {
                r = chv_err_set(err, errno, "%s at %llu: %s", path, (unsigned long long)at, strerror(errno));
                break;
            }
            window_at = at;
            window_bytes = (size_t)n;
        }
        struct pack_record rec;
        const uint8_t *p = window + (at - window_at);
        size_t left = window_bytes - (size_t)(at - window_at);
        if (left < sizeof rec) break;
        memcpy(&rec, p, sizeof rec);
        if (!record_sane(&rec, meta->block_bytes) || left < sizeof rec + rec.stored_bytes ||
            at + sizeof rec + rec.stored_bytes > to)
            break;
        if (verify && !unpack(&rec, p + sizeof rec, rec.hash, raw, meta->block_bytes)) break;
        r = fn ? fn(arg, &rec, pack_loc_make(number, at)) : 0;
        if (r != 0) break;
        *last = at;
        *end = at += sizeof rec + rec.stored_bytes;
    }
    free(window);
    close(fd);
    return r;
}

int pack_scan(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, bool verify, pack_scan_fn *fn,
              void *arg, uint64_t *end, struct chv_err *err)
{
    uint64_t last;
    return scan(meta, number, from, to, true, verify, fn, arg, &last, end, err);
}

/* The first offset in [from, to) at which a record begins whose content is what its hash says; 0: none. */
static int resync(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, uint64_t *next, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    uint8_t raw[BLOCK_MAX], *window = malloc(SCAN_BYTES);
    meta_pack_path(meta, number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    *next = 0;
    if (!window || fd < 0) r = chv_err_set(err, window ? errno : ENOMEM, "%s: %s", path, strerror(window ? errno : ENOMEM));
    while (r == 0 && *next == 0 && from < to) {
        ssize_t n = pread(fd, window, SCAN_BYTES, (off_t)from);
        if (n < 0) r = chv_err_set(err, errno, "%s at %llu: %s", path, (unsigned long long)from, strerror(errno));
        if (n < (ssize_t)sizeof(struct pack_record)) break;
        size_t bytes = (size_t)n, i;
        for (i = 0; *next == 0 && i + sizeof(struct pack_record) <= bytes; i++) {
            struct pack_record rec;
            if (bytes == SCAN_BYTES && i + RECORD_MAX > bytes) break; /* the next window begins here */
            memcpy(&rec, window + i, sizeof rec);
            if (record_sane(&rec, meta->block_bytes) && rec.stored_bytes <= bytes - i - sizeof rec &&
                from + i + sizeof rec + rec.stored_bytes <= to &&
                unpack(&rec, window + i + sizeof rec, rec.hash, raw, meta->block_bytes))
                *next = from + i;
        }
        from += i;
    }
    free(window);
    if (fd >= 0) close(fd);
    return r;
}

int pack_scan_over(const struct meta *meta, uint64_t number, uint64_t from, uint64_t to, pack_scan_fn *fn, void *arg,
                   struct chv_err *err)
{
    for (;;) {
        uint64_t last, end;
        int r = scan(meta, number, from, to, false, false, fn, arg, &last, &end, err);
        if (r != 0 || end >= to) return r;
        /* nothing begins at `end`: what is damaged may be the length of the record before */
        r = resync(meta, number, last + 1, to, &from, err);
        if (r < 0 || from == 0) return r;
    }
}

int pack_scan_range(const struct meta *meta, uint64_t pack, uint64_t bytes, uint64_t to_pack, uint64_t to_bytes,
                    pack_scan_fn *fn, void *arg, struct chv_err *err)
{
    uint64_t *numbers = NULL, count = 0;
    int r = 0;
    if (pack != to_pack) { /* only those that exist: the numbers are input */
        r = meta_list(meta, "packs", ".pack", &numbers, &count, err);
    } else if (bytes < to_bytes) {
        r = pack_scan_over(meta, pack, bytes, to_bytes, fn, arg, err);
    }
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        if (numbers[i] < pack || numbers[i] > to_pack) continue;
        r = pack_scan_over(meta, numbers[i], numbers[i] == pack ? bytes : 0, numbers[i] == to_pack ? to_bytes : UINT64_MAX, fn,
                           arg, err);
        if (r == -ENOENT) r = 0;
    }
    free(numbers);
    return r == -ENOENT ? 0 : r;
}

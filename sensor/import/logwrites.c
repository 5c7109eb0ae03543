/* Looking at a log before anything is recorded: structure, size, times, and whether every write can be merged. */
#include "sensor/import/logwrites.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define READ_BYTES (UINT32_C(1) << 20)

/* One pass over all entries: counts, extent, and which blocks are ever touched in part. */
static int scan(struct import_log *im, struct chv_err *err)
{
    const uint32_t unit = im->target.block_bytes;
    struct dmlog_entry e;
    int r;
    dmlog_rewind(&im->log);
    while ((r = dmlog_next(&im->log, &e, err)) > 0) {
        uint64_t end = e.offset + e.bytes;
        im->flushes += (e.flags & DMLOG_FLUSH) != 0;
        im->marks += (e.flags & DMLOG_MARK) != 0;
        im->writes += e.bytes > 0 && dmlog_writes(&e);
        im->discards += e.bytes > 0 && !dmlog_writes(&e);
        if (e.bytes > 0 && end > im->end_bytes) {
            im->end_bytes = end;
            im->end_entry = e.index;
        }
        if (e.bytes > 0 && ((e.offset % unit && blockset_add(&im->partial, e.offset / unit) < 0) ||
                            (end % unit && blockset_add(&im->partial, end / unit) < 0)))
            return chv_err_set(err, ENOMEM, "%s: out of memory", im->log.name);
        import_progress(&im->target, "checking", e.index, im->log.entries);
    }
    im->log_bytes = im->log.next_offset;
    if (r == 0 && blockset_seal(&im->partial) < 0) r = chv_err_set(err, ENOMEM, "%s: out of memory", im->log.name);
    return r;
}

static int open_base(struct import_log *im, struct chv_err *err)
{
    const struct chv_space *before = im->target.before;
    const char *path = im->options.base;
    if (path && before)
        return chv_err_set(err, EINVAL, "--base %s: %s has a history in this store already; leave --base out", path,
                           before->name);
    im->rest = before ? before->rest : path ? CHV_REST_SOURCE : CHV_REST_ZERO;
    if (before && before->rest == CHV_REST_SOURCE) path = before->source;
    if (im->rest != CHV_REST_SOURCE || !path) return 0;
    int r = image_open(path, before ? "raw" : NULL, &im->base, err);
    if (r == 0 && strcmp(image_format(im->base), "raw") != 0)
        r = chv_err_set(err, EINVAL, "--base %s: must be raw; import a qcow2 image with 'import snapshot' first", path);
    return r;
}

static int choose_size(struct import_log *im, struct chv_err *err)
{
    const struct chv_space *before = im->target.before;
    uint64_t given = im->options.size_bytes;
    im->size_bytes = given ? given : before ? before->size_bytes : im->base ? image_bytes(im->base) : im->end_bytes;
    if (im->size_bytes == 0)
        return chv_err_set(err, EINVAL, "%s: writes nothing, so the size of the disk is not known; give --size", im->log.name);
    if (im->size_bytes > CHV_LBA_MAX * CHV_SECTOR_BYTES)
        return chv_err_set(err, EFBIG, "--size: larger than the largest disk (2^48 sectors)");
    uint64_t room = (im->size_bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES * CHV_SECTOR_BYTES;
    if (im->end_bytes > room)
        return chv_err_set(err, EINVAL, "%s: entry %llu writes up to byte %llu, and the disk has %llu; give --size", im->log.name,
                           (unsigned long long)im->end_entry, (unsigned long long)im->end_bytes,
                           (unsigned long long)im->size_bytes);
    im->size_bytes = room;
    return 0;
}

static int choose_start(struct import_log *im, struct chv_err *err)
{
    uint64_t span = (im->log.entries ? im->log.entries - 1 : 0) * IMPORT_STEP_NS;
    struct stat st;
    im->start_ns = im->options.start_ns;
    if (!im->start_ns) {
        if (fstat(im->fd, &st) < 0) return chv_err_set(err, errno, "%s: %s", im->log.name, strerror(errno));
        uint64_t end = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        im->start_ns = st.st_mtim.tv_sec > 0 && end > span ? end - span : 0;
        /* an older log goes right behind what is there */
        if (im->start_ns <= im->target.last_time_ns) im->start_ns = im->target.last_time_ns + IMPORT_STEP_NS;
    }
    return import_target_time(&im->target, im->start_ns, im->start_ns + span,
                              im->options.start_ns ? "--start" : "the log's file time", err);
}

int import_log_prior(struct import_log *im, uint64_t block, uint8_t *buf, enum chv_state *state, struct chv_err *err)
{
    struct import_target *t = &im->target;
    struct chv_extent extent = {.state = im->base ? CHV_STATE_SOURCE : CHV_STATE_ZERO};
    int r = 0;
    if (t->before) r = chv_store_block_at(t->store, t->before->id, block, t->last_seq, &extent, err);
    if (r < 0) return r;
    *state = extent.state;
    memset(buf, 0, t->block_bytes);
    if (extent.state == CHV_STATE_DATA) return chv_store_read_block(t->store, extent.hash, buf, err);
    if (extent.state != CHV_STATE_SOURCE) return 0;
    if (!im->base)
        return chv_err_set(err, ENODEV, "block %llu of %s is only on the recorded device, and where that is is not known",
                           (unsigned long long)block, t->options->space);
    uint64_t offset = block * t->block_bytes, end = image_bytes(im->base);
    size_t bytes = offset >= end ? 0 : end - offset < t->block_bytes ? (size_t)(end - offset) : t->block_bytes;
    return bytes ? image_pread(im->base, buf, bytes, offset, err) : 0;
}

/* A write of part of a block needs the rest of it: refuse before recording when nobody knows it. */
static int check_merges(struct import_log *im, struct chv_err *err)
{
    const uint32_t unit = im->target.block_bytes;
    struct dmlog_entry e;
    int r = 0;
    if (!im->target.before || im->partial.count == 0) return 0;
    uint8_t *buf = malloc(unit);
    if (!buf) return chv_err_set(err, ENOMEM, "out of memory");
    dmlog_rewind(&im->log);
    while (r == 0 && (r = dmlog_next(&im->log, &e, err)) > 0) {
        uint64_t end = e.offset + e.bytes;
        r = 0;
        for (size_t i = blockset_from(&im->partial, e.offset / unit);
             r == 0 && e.bytes > 0 && i < im->partial.count && im->partial.blocks[i] * unit < end; i++) {
            uint64_t block = im->partial.blocks[i];
            bool in_part = e.offset > block * unit || (end < (block + 1) * unit && end != im->size_bytes);
            enum chv_state state;
            if (!im->partial.flags[i] && in_part) {
                r = import_log_prior(im, block, buf, &state, err);
                if (r == 0 && state == CHV_STATE_UNKNOWN)
                    r = chv_err_set(err, EINVAL, "%s: entry %llu writes part of block %llu of %s, and what the rest of it held "
                                    "is not known; import a snapshot first", im->log.name, (unsigned long long)e.index,
                                    (unsigned long long)block, im->target.options->space);
            }
            im->partial.flags[i] = true;
        }
    }
    memset(im->partial.flags, 0, im->partial.count * sizeof *im->partial.flags);
    free(buf);
    return r;
}

static int digest_log(struct import_log *im, struct chv_err *err)
{
    uint8_t *buf = malloc(READ_BYTES);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int r = buf && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (uint64_t at = 0; r == 0 && at < im->log_bytes;) {
        size_t n = im->log_bytes - at < READ_BYTES ? (size_t)(im->log_bytes - at) : READ_BYTES;
        r = io_pread_full(im->fd, buf, n, at);
        if (r < 0) r = chv_err_set(err, r == -ENODATA ? EIO : -r, "%s: at byte %llu: %s", im->log.name, (unsigned long long)at,
                                   r == -ENODATA ? "became shorter while it was read" : strerror(-r));
        else if (EVP_DigestUpdate(md, buf, n) != 1) r = chv_err_set(err, EIO, "SHA-256 failed");
        at += n;
        import_progress(&im->target, "hashing the log", at, im->log_bytes);
    }
    if (r == 0 && EVP_DigestFinal_ex(md, im->sha256, NULL) != 1) r = chv_err_set(err, EIO, "SHA-256 failed");
    EVP_MD_CTX_free(md);
    free(buf);
    return r;
}

int import_log_open(struct import_log *im, const struct import_options *options, const struct import_log_options *log,
                    struct chv_err *err)
{
    *im = (struct import_log){.options = *log, .fd = -1, .overlay_fd = -1};
    int r = import_target_look(&im->target, options, err);
    if (r == 0) {
        im->fd = open(log->path, O_RDONLY | O_CLOEXEC);
        if (im->fd < 0) r = chv_err_set(err, errno, "%s: %s", log->path, strerror(errno));
    }
    if (r == 0) r = dmlog_init(&im->log, im->fd, log->path, err);
    if (r == 0) r = scan(im, err);
    if (r == 0) r = open_base(im, err);
    if (r == 0) r = choose_size(im, err);
    if (r == 0) r = choose_start(im, err);
    if (r == 0) r = check_merges(im, err);
    if (r == 0) r = digest_log(im, err);
    if (r == 0 && im->base) {
        uint64_t blocks = im->size_bytes / im->target.block_bytes + 1;
        im->based = calloc(blocks / 64 + 1, sizeof *im->based);
        if (!im->based) r = chv_err_set(err, ENOMEM, "out of memory");
    }
    if (r < 0) import_log_close(im);
    return r;
}

int import_log_begin(struct import_log *im, struct chv_err *err)
{
    return import_target_begin(&im->target, im->start_ns, err);
}

void import_log_close(struct import_log *im)
{
    import_target_close(&im->target, NULL, NULL);
    image_close(im->base);
    im->base = NULL;
    if (im->fd >= 0) close(im->fd);
    if (im->overlay_fd >= 0) close(im->overlay_fd);
    im->fd = im->overlay_fd = -1;
    blockset_fini(&im->partial);
    free(im->based);
    im->based = NULL;
}

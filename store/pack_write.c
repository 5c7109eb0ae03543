/* Writing packs. Whole 4 KiB blocks of a pack go to the disk past the page cache (O_DIRECT) when there are many of
 * them: nobody reads them back soon, and filling fresh page cache costs several times what hashing does. The tail is
 * written through the cache before a COMMIT, and written again with the block it is in. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/pack.h"

#define BLOCK_MAX 4096u
#define RECORD_MAX (sizeof(struct pack_record) + BLOCK_MAX)
#define ALIGN 4096u           /* of memory, offset and length of a direct write: enough for any device */
#define DRAIN_BYTES (1u << 20)
#define DIRECT_MIN (64u << 10) /* less is faster through the cache */

static int fail(const struct pack_writer *w, int r, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    meta_pack_path(w->meta, w->number, path);
    return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
}

static uint64_t whole(uint64_t bytes)
{
    return bytes & ~(uint64_t)(ALIGN - 1);
}

static void set_direct(struct pack_writer *w, bool on)
{
    if (w->direct == on || w->no_direct) return;
    if (fcntl(w->fd, F_SETFL, on ? O_DIRECT : 0) < 0)
        w->no_direct = true; /* not this file system */
    else
        w->direct = on;
}

static int make_room(struct pack_writer *w, size_t bytes)
{
    if (w->used + bytes <= w->room) return 0;
    size_t room = w->room ? 2 * w->room : 2 * DRAIN_BYTES;
    uint8_t *grown = aligned_alloc(ALIGN, room);
    if (!grown) return -ENOMEM;
    if (w->used) memcpy(grown, w->buffer, w->used);
    free(w->buffer);
    w->buffer = grown;
    w->room = room;
    return 0;
}

/* Begin writing into the open file whose first `bytes` bytes are there. */
static int begin(struct pack_writer *w, uint64_t bytes)
{
    w->bytes = bytes;
    w->base = whole(bytes);
    w->used = 0;
    w->direct = false;
    w->no_direct = w->io != &io_real; /* a test's device: the same writes, without asking for O_DIRECT */
    int r = make_room(w, ALIGN);
    if (r == 0) r = io_pread_full(w->fd, w->buffer, (size_t)(bytes - w->base), w->base);
    if (r == 0) w->used = (size_t)(bytes - w->base);
    return r == -ENODATA ? -EIO : r;
}

static int opened(struct pack_writer *w, int r, struct chv_err *err)
{
    if (r == 0) return 0;
    w->io->close(w->io, w->fd);
    w->fd = -1;
    return fail(w, r, err);
}

int pack_create(struct pack_writer *w, uint64_t number, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    struct pack_header header = {.version = CHV_FORMAT_VERSION, .header_bytes = sizeof header, .number = number,
                                 .created_ns = clock_now_ns()};
    memcpy(header.magic, PACK_MAGIC, 8);
    memcpy(header.uuid, w->meta->uuid, 16);
    w->number = number;
    meta_pack_path(w->meta, number, path);
    meta_path(w->meta, "packs", dir);
    w->fd = w->io->open(w->io, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (w->fd < 0) return fail(w, w->fd, err);
    int r = w->io->pwrite(w->io, w->fd, &header, sizeof header, 0);
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    if (r == 0) r = w->io->sync_dir(w->io, dir);
    if (r == 0) r = begin(w, sizeof header);
    return opened(w, r, err);
}

int pack_resume(struct pack_writer *w, uint64_t number, uint64_t bytes, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    w->number = number;
    meta_pack_path(w->meta, number, path);
    chmod(path, 0600); /* it may have been sealed, and the COMMIT that says so lost */
    w->fd = w->io->open(w->io, path, O_RDWR, 0600);
    if (w->fd < 0) return fail(w, w->fd, err);
    int r = w->io->truncate(w->io, w->fd, bytes);
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    if (r == 0) r = begin(w, bytes);
    return opened(w, r, err);
}

int pack_add(struct pack_writer *w, const uint8_t hash[32], uint8_t codec, const void *stored, uint32_t stored_bytes,
             pack_loc *loc, struct chv_err *err)
{
    int r = make_room(w, RECORD_MAX);
    if (r < 0) return fail(w, r, err);
    struct pack_record rec = {.stored_bytes = stored_bytes, .raw_bytes = (uint16_t)w->meta->block_bytes, .codec = codec};
    memcpy(rec.hash, hash, 32);
    *loc = pack_loc_make(w->number, w->base + w->used);
    memcpy(w->buffer + w->used, &rec, sizeof rec);
    memcpy(w->buffer + w->used + sizeof rec, stored, stored_bytes);
    w->used += sizeof rec + stored_bytes;
    return 0;
}

/* Wait for what is written behind us. */
static int settle(struct pack_writer *w, struct chv_err *err)
{
    int r = behind_wait(&w->behind);
    if (r == -EINVAL && w->direct) { /* the file system takes the flag but not the write */
        set_direct(w, false);
        w->no_direct = true;
        r = w->io->pwrite(w->io, w->fd, w->other, w->other_bytes, w->other_base);
    }
    return r < 0 ? fail(w, r, err) : 0;
}

/* Have the whole blocks of the buffer written, past the cache where that works, and go on in the other buffer. */
static int write_whole(struct pack_writer *w, struct chv_err *err)
{
    size_t n = (size_t)whole(w->used), rest = w->used - n;
    int r = settle(w, err);
    if (r < 0) return r;
    uint8_t *buffer = w->other;
    size_t room = w->other_room;
    w->other = w->buffer;
    w->other_room = w->room;
    w->other_bytes = n;
    w->other_base = w->base;
    w->buffer = buffer;
    w->room = room;
    w->used = 0;
    r = make_room(w, ALIGN);
    if (r < 0) return fail(w, r, err);
    memcpy(w->buffer, w->other + n, rest);
    w->used = rest;
    w->base += n;
    if (w->base > w->bytes) w->bytes = w->base;
    set_direct(w, true);
    behind_write(&w->behind, w->io, w->fd, w->other, n, w->other_base);
    return 0;
}

int pack_drain(struct pack_writer *w, struct chv_err *err)
{
    return w->used < DRAIN_BYTES ? 0 : write_whole(w, err);
}

int pack_flush(struct pack_writer *w, struct chv_err *err)
{
    int r = w->base + w->used == w->bytes || whole(w->used) < DIRECT_MIN ? 0 : write_whole(w, err);
    if (r == 0) r = settle(w, err);
    if (r < 0 || w->base + w->used == w->bytes) return r;
    set_direct(w, false);
    r = w->io->pwrite(w->io, w->fd, w->buffer + (w->bytes - w->base), (size_t)(w->base + w->used - w->bytes), w->bytes);
    if (r < 0) return fail(w, r, err);
    w->bytes = w->base + w->used;
    size_t n = (size_t)whole(w->used); /* the next write begins at a whole block */
    w->base += n;
    w->used -= n;
    memmove(w->buffer, w->buffer + n, w->used);
    return 0;
}

bool pack_full(const struct pack_writer *w)
{
    return w->base + w->used >= (w->max_bytes ? w->max_bytes : PACK_MAX_BYTES);
}

int pack_seal(struct pack_writer *w, struct chv_err *err)
{
    int r = pack_flush(w, err);
    if (r < 0) return r;
    r = w->io->datasync(w->io, w->fd);
    if (r == 0 && fchmod(w->fd, 0400) < 0) r = -errno;
    int closed = w->io->close(w->io, w->fd);
    w->fd = -1;
    if (r == 0) r = closed;
    return r < 0 ? fail(w, r, err) : 0;
}

void pack_writer_fini(struct pack_writer *w)
{
    behind_stop(&w->behind);
    if (w->fd >= 0) w->io->close(w->io, w->fd);
    free(w->buffer);
    free(w->other);
    w->buffer = w->other = NULL;
    w->fd = -1;
}

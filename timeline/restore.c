#include "timeline/restore.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "timeline/view_internal.h"

/* Workers take pieces of the view in address order, read them side by side, and write them: to a file
 * each where it belongs, to a stream each when its turn comes. */
enum { PIECE_BYTES = 2 << 20, HOLE_BYTES = 4096, WORKERS_MAX = 8 };

struct piece {
    uint64_t turn;
    uint64_t offset;
    size_t bytes;
    bool zeros;
};

struct restore {
    struct chv_view *view;
    const struct restore_options *options;
    int fd;
    uint32_t block_bytes;
    pthread_mutex_t lock;   /* everything below */
    pthread_cond_t written; /* turn moved, or failed */
    struct chv_map *map;
    struct chv_extent extent; /* what is left of the map's last extent; blocks 0: ask for the next */
    bool map_ended;
    uint64_t next_turn, turn; /* to give out; to be written next (stream) */
    uint64_t done_bytes, data_bytes;
    int failed;
    struct chv_err err;
};

/* Under the lock. The first error is the one that is told. */
static void fail(struct restore *restore, int r, const struct chv_err *err)
{
    if (restore->failed) return;
    restore->failed = r;
    restore->err = *err;
    pthread_cond_broadcast(&restore->written);
}

/* Make restore->extent hold the next blocks of the view. 1, 0 at the end, -errno. */
static int fill_extent(struct restore *restore, struct chv_err *err)
{
    if (restore->extent.blocks > 0) return 1;
    int r = restore->map_ended ? 0 : chv_map_next(restore->map, &restore->extent, err);
    if (r == 0) restore->map_ended = true;
    if (r <= 0) return r;
    return 1;
}

/* How many of the extent's first blocks are zeros or not alike. SOURCE extents ask the device for its holes. */
static int classify(struct restore *restore, bool *zeros, uint64_t *blocks, struct chv_err *err)
{
    struct chv_extent *e = &restore->extent;
    *zeros = e->state == CHV_STATE_ZERO;
    *blocks = e->blocks;
    if (e->state != CHV_STATE_SOURCE) return 0;
    return view_source_holes(restore->view, e->first_block, e->blocks, zeros, blocks, err);
}

/* Under the lock: cut the next piece. 1, 0 at the end, -errno. */
static int next_piece(struct restore *restore, struct piece *piece, struct chv_err *err)
{
    const uint64_t blocks_max = PIECE_BYTES / restore->block_bytes;
    uint64_t size = chv_view_size_bytes(restore->view);
    uint64_t first = 0, count = 0;
    int r;
    while (count < blocks_max && (r = fill_extent(restore, err)) != 0) {
        if (r < 0) return r;
        bool zeros;
        uint64_t blocks;
        if ((r = classify(restore, &zeros, &blocks, err)) < 0) return r;
        if (count > 0 && zeros != piece->zeros) break;
        /* In a file a run of zeros costs nothing however long; a stream has to say it piece by piece. */
        bool unlimited = zeros && !restore->options->stream;
        if (!unlimited && blocks > blocks_max - count) blocks = blocks_max - count;
        if (count == 0) first = restore->extent.first_block;
        piece->zeros = zeros;
        count += blocks;
        restore->extent.first_block += blocks;
        restore->extent.blocks -= blocks;
    }
    if (count == 0) return 0;
    piece->turn = restore->next_turn++;
    piece->offset = first * restore->block_bytes;
    uint64_t bytes = count * restore->block_bytes;
    if (bytes > size - piece->offset) bytes = size - piece->offset;
    restore->done_bytes += bytes;
    if (piece->zeros && !restore->options->stream) bytes = 0;
    piece->bytes = (size_t)bytes;
    return 1;
}

static int write_full(int fd, const uint8_t *buf, size_t bytes, int64_t offset, struct chv_err *err)
{
    while (bytes > 0) {
        ssize_t n = offset < 0 ? write(fd, buf, bytes) : pwrite(fd, buf, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return chv_err_set(err, errno, "writing the output: %s", strerror(errno));
        buf += n;
        bytes -= (size_t)n;
        if (offset >= 0) offset += n;
    }
    return 0;
}

static bool is_zeros(const uint8_t *p, size_t bytes)
{
    return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

/* Zeros that the view holds as data become holes as well. */
static int write_sparse(int fd, const uint8_t *buf, const struct piece *piece, uint64_t *data_bytes,
                        struct chv_err *err)
{
    size_t at = 0, from = 0; /* [from, at): not yet written data */
    int r = 0;
    while (r == 0 && at < piece->bytes) {
        size_t step = HOLE_BYTES - (piece->offset + at) % HOLE_BYTES;
        if (step > piece->bytes - at) step = piece->bytes - at;
        bool hole = is_zeros(buf + at, step);
        if (hole) {
            r = write_full(fd, buf + from, at - from, (int64_t)(piece->offset + from), err);
            *data_bytes += at - from;
            from = at + step;
        }
        at += step;
    }
    if (r == 0) r = write_full(fd, buf + from, at - from, (int64_t)(piece->offset + from), err);
    *data_bytes += at - from;
    return r;
}

static int write_in_turn(struct restore *restore, const uint8_t *buf, const struct piece *piece, struct chv_err *err)
{
    pthread_mutex_lock(&restore->lock);
    while (restore->turn != piece->turn && !restore->failed) pthread_cond_wait(&restore->written, &restore->lock);
    bool failed = restore->failed != 0;
    pthread_mutex_unlock(&restore->lock);
    if (failed) return 0;
    /* Nobody else writes before the turn moves. */
    int r = write_full(restore->fd, buf, piece->bytes, -1, err);
    pthread_mutex_lock(&restore->lock);
    restore->turn++;
    pthread_cond_broadcast(&restore->written);
    pthread_mutex_unlock(&restore->lock);
    return r;
}

static int do_piece(struct restore *restore, uint8_t *buf, const struct piece *piece, uint64_t *data_bytes,
                    struct chv_err *err)
{
    if (piece->bytes == 0) return 0;
    if (piece->zeros) {
        memset(buf, 0, piece->bytes);
    } else {
        int r = chv_view_pread(restore->view, buf, piece->bytes, piece->offset, err);
        if (r < 0) return r;
    }
    if (!restore->options->stream) return write_sparse(restore->fd, buf, piece, data_bytes, err);
    *data_bytes += piece->bytes;
    return write_in_turn(restore, buf, piece, err);
}

static void *worker(void *arg)
{
    struct restore *restore = arg;
    struct chv_err err = {0};
    uint8_t *buf = malloc(PIECE_BYTES);
    int r = buf ? 1 : chv_err_set(&err, ENOMEM, "out of memory");
    uint64_t data_bytes = 0;
    pthread_mutex_lock(&restore->lock);
    while (buf && r > 0 && !restore->failed) {
        const struct restore_options *o = restore->options;
        struct piece piece = {0};
        r = o->stop && *o->stop ? chv_err_set(&err, EINTR, "interrupted") : next_piece(restore, &piece, &err);
        if (r <= 0) break;
        if (o->progress) o->progress(o->arg, restore->done_bytes, chv_view_size_bytes(restore->view));
        pthread_mutex_unlock(&restore->lock);
        r = do_piece(restore, buf, &piece, &data_bytes, &err);
        pthread_mutex_lock(&restore->lock);
        if (r == 0) r = 1;
    }
    if (r < 0) fail(restore, r, &err);
    restore->data_bytes += data_bytes;
    pthread_mutex_unlock(&restore->lock);
    free(buf);
    return NULL;
}

static unsigned worker_count(const struct restore_options *options)
{
    long n = options->workers ? (long)options->workers : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

int restore_write(struct chv_view *view, int fd, const struct restore_options *options, struct restore_result *result,
                  struct chv_err *err)
{
    struct restore restore = {.view = view, .options = options, .fd = fd, .block_bytes = view->block_bytes};
    uint64_t size = chv_view_size_bytes(view);
    if (!options->stream && ftruncate(fd, (off_t)size) < 0)
        return chv_err_set(err, errno, "setting the size of the output: %s", strerror(errno));
    int r = chv_view_map(view, &restore.map, err);
    if (r < 0) return r;
    pthread_mutex_init(&restore.lock, NULL);
    pthread_cond_init(&restore.written, NULL);
    pthread_t threads[WORKERS_MAX];
    unsigned started = 0;
    for (unsigned n = worker_count(options); started + 1 < n; started++)
        if (pthread_create(&threads[started], NULL, worker, &restore) != 0) break;
    worker(&restore); /* this thread is one of them */
    while (started > 0) pthread_join(threads[--started], NULL);
    pthread_cond_destroy(&restore.written);
    pthread_mutex_destroy(&restore.lock);
    chv_map_close(restore.map);
    *result = (struct restore_result){.size_bytes = size, .data_bytes = restore.data_bytes};
    if (restore.failed && err) *err = restore.err;
    return restore.failed;
}

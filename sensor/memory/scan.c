#include "sensor/memory/scan.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "store/digest.h"

#define SHARD_BYTES (UINT64_C(16) << 20)  /* what a thread takes at a time */
#define CHUNK_BYTES (UINT32_C(256) << 10) /* stays in a core's cache between copying, hashing and appending */
#define THREADS_MAX 8u

enum verdict { SAME, ZEROED, CHANGED };

struct shared {
    const struct scan *scan;
    _Atomic uint64_t next;  /* shard to be taken */
    _Atomic uint64_t done;  /* bytes */
    _Atomic bool failed;
    uint64_t shards, total_bytes;
    uint64_t *first_shard;  /* a piece: its first */
    uint8_t zero_hash[CHV_HASH_BYTES];
    pthread_mutex_t lock;   /* result and err */
    struct scan_result result;
    struct chv_err err;
};

struct worker {
    struct shared *shared;
    const struct scan *scan;
    bool reports;              /* the caller's own thread */
    uint32_t chunk_blocks;
    struct chv_map *map;       /* NULL: all zeros */
    struct chv_extent state;   /* the map's extent around the current block */
    uint64_t read_ns;            /* UTC, before what is judged now was read */
    uint64_t data_from, data_to; /* the file's next data, from where it was last asked */
    uint8_t *data;             /* CHUNK_BYTES */
    uint8_t *verdicts;
    uint8_t (*old)[CHV_HASH_BYTES], (*now)[CHV_HASH_BYTES];
    struct digest_job *jobs;
    uint32_t *job_blocks;
    struct chv_record *records;
    struct scan_result result;
};

/* --- what the space held ----------------------------------------------------------------------- */

static int state_at(struct worker *w, uint64_t block, struct chv_err *err)
{
    while (w->map && block >= w->state.first_block + w->state.blocks) {
        int r = chv_map_next(w->map, &w->state, err);
        if (r < 0) return r;
        if (r == 0) return chv_err_set(err, EPROTO, "the store's map ends before block %llu", (unsigned long long)block);
    }
    return 0;
}

/* Zeros now; what must be said? */
static enum verdict judge_zeros(const struct worker *w)
{
    if (!w->map || w->state.state == CHV_STATE_ZERO) return SAME;
    bool zeros = w->state.state == CHV_STATE_DATA && memcmp(w->state.hash, w->shared->zero_hash, CHV_HASH_BYTES) == 0;
    return zeros ? SAME : ZEROED;
}

/* --- recording ------------------------------------------------------------------------------------ */

static void fill_record(const struct worker *w, struct chv_record *record, uint8_t op, uint64_t block, uint64_t blocks,
                        const uint8_t *data)
{
    const uint32_t per_block = w->scan->block_bytes / CHV_SECTOR_BYTES;
    *record = (struct chv_record){
        .space = w->scan->space,
        .op = op,
        .sectors = (uint32_t)(blocks * per_block),
        .lba = block * per_block,
        .time_ns = w->scan->time_ns ? w->scan->time_ns : w->read_ns,
        .data = data,
    };
}

/* Runs of one verdict become one request each. */
static int append_chunk(struct worker *w, uint64_t first, uint32_t n, struct chv_err *err)
{
    size_t count = 0;
    for (uint32_t i = 0, end; i < n; i = end) {
        uint8_t verdict = w->verdicts[i];
        for (end = i + 1; end < n && w->verdicts[end] == verdict;) end++;
        if (verdict == CHANGED)
            fill_record(w, &w->records[count++], CHV_OP_FOUND, first + i, end - i, w->data + (size_t)i * w->scan->block_bytes);
        else if (verdict == ZEROED)
            fill_record(w, &w->records[count++], CHV_OP_ZERO, first + i, end - i, NULL);
    }
    return count ? sink_append(w->scan->sink, w->records, count, err) : 0;
}

/* --- one stretch ------------------------------------------------------------------------------------ */

/* [first, end) holds nothing: what was there became zeros. Goes by extents of the map, so a hole costs nothing. */
static int scan_hole(struct worker *w, uint64_t first, uint64_t end, struct chv_err *err)
{
    const uint64_t most = UINT32_MAX / (w->scan->block_bytes / CHV_SECTOR_BYTES);
    while (w->map && first < end) {
        int r = state_at(w, first, err);
        if (r < 0) return r;
        uint64_t to = w->state.first_block + w->state.blocks;
        if (to > end) to = end;
        if (to - first > most) to = first + most;
        if (judge_zeros(w) == ZEROED) {
            struct chv_record record;
            fill_record(w, &record, CHV_OP_ZERO, first, to - first, NULL);
            if ((r = sink_append(w->scan->sink, &record, 1, err)) < 0) return r;
            w->result.zeroed_blocks += to - first;
        }
        first = to;
    }
    return 0;
}

/* Hash those blocks of the chunk that may be the same as before, and compare. */
static void compare_hashes(struct worker *w, uint32_t jobs)
{
    digest_blocks(w->jobs, jobs, w->scan->block_bytes);
    for (uint32_t j = 0; j < jobs; j++) {
        uint32_t i = w->job_blocks[j];
        if (memcmp(w->now[i], w->old[i], CHV_HASH_BYTES) == 0) w->verdicts[i] = SAME;
    }
}

static int scan_chunk(struct worker *w, const struct scan_piece *piece, uint64_t first, uint32_t n, struct chv_err *err)
{
    const uint32_t block_bytes = w->scan->block_bytes;
    uint32_t jobs = 0;
    int r = io_pread_full(piece->fd, w->data, (size_t)n * block_bytes, piece->offset + (first * block_bytes - piece->address));
    if (r < 0)
        return chv_err_set(err, -r, "memory at 0x%llx: %s", (unsigned long long)first * block_bytes,
                           r == -ENODATA ? "its file became shorter" : strerror(-r));
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *block = w->data + (size_t)i * block_bytes;
        if ((r = state_at(w, first + i, err)) < 0) return r;
        w->verdicts[i] = CHANGED;
        if (digest_is_zero(block, block_bytes)) {
            w->verdicts[i] = (uint8_t)judge_zeros(w);
            w->result.zero_blocks++;
        } else if (w->map && w->state.state == CHV_STATE_DATA) {
            memcpy(w->old[i], w->state.hash, CHV_HASH_BYTES);
            w->jobs[jobs] = (struct digest_job){.data = block, .hash = w->now[i]};
            w->job_blocks[jobs++] = i;
        }
    }
    compare_hashes(w, jobs);
    for (uint32_t i = 0; i < n; i++) {
        w->result.same_blocks += w->verdicts[i] == SAME;
        w->result.zeroed_blocks += w->verdicts[i] == ZEROED;
        w->result.changed_blocks += w->verdicts[i] == CHANGED;
    }
    return append_chunk(w, first, n, err);
}

/* Where the data at or after the file's `offset` lies. Files that know no holes are all data. */
static void find_data(struct worker *w, int fd, uint64_t offset)
{
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    if (data < 0) {
        w->data_from = errno == ENXIO ? UINT64_MAX : offset;
        w->data_to = UINT64_MAX;
        return;
    }
    w->data_from = (uint64_t)data;
    w->data_to = ((uint64_t)data | (SCAN_STRETCH_BYTES - 1)) + 1;
}

/* From `block` on: pass over a hole, or look at a chunk. The file's holes are page-sized; blocks may be smaller, never
 * larger (a hole that ends within a block counts as data from that block on). */
static int step(struct worker *w, const struct scan_piece *piece, uint64_t *block, uint64_t end, struct chv_err *err)
{
    const uint32_t block_bytes = w->scan->block_bytes;
    uint64_t offset = piece->offset + (*block * block_bytes - piece->address), left = (end - *block) * block_bytes;
    w->read_ns = clock_now_ns();
    if (offset >= w->data_to || w->data_to == 0) find_data(w, piece->fd, offset);
    if (w->data_from > offset) {
        uint64_t hole = w->data_from - offset < left ? w->data_from - offset : left;
        uint64_t blocks = hole == left ? end - *block : hole / block_bytes;
        if (blocks > 0) {
            w->result.hole_bytes += blocks * block_bytes;
            int r = scan_hole(w, *block, *block + blocks, err);
            *block += blocks;
            return r;
        }
    }
    uint64_t data = w->data_to - offset < left ? w->data_to - offset : left;
    uint64_t blocks = (data + block_bytes - 1) / block_bytes;
    uint32_t n = blocks < w->chunk_blocks ? (uint32_t)blocks : w->chunk_blocks;
    int r = scan_chunk(w, piece, *block, n, err);
    *block += n;
    return r;
}

static int scan_shard(struct worker *w, const struct scan_piece *piece, uint64_t from, uint64_t bytes, struct chv_err *err)
{
    const struct scan *scan = w->scan;
    uint64_t block = (piece->address + from) / scan->block_bytes, end = block + bytes / scan->block_bytes;
    int r = 0;
    w->data_from = w->data_to = 0;
    w->state = (struct chv_extent){0};
    if (scan->store) r = chv_map_open(scan->store, scan->before_id, block, end, scan->before_seq, &w->map, err);
    if (r == 0 && piece->fd < 0) {
        w->read_ns = clock_now_ns();
        r = scan_hole(w, block, end, err);
        block = end;
    }
    while (r == 0 && block < end) {
        if ((scan->stop && *scan->stop) || atomic_load(&w->shared->failed)) r = chv_err_set(err, EINTR, "interrupted");
        if (r == 0) r = step(w, piece, &block, end, err);
    }
    chv_map_close(w->map);
    w->map = NULL;
    return r;
}

/* --- threads ------------------------------------------------------------------------------------------ */

/* A piece of a file is cut into shards; a hole is one. */
static uint64_t shards_of(const struct scan_piece *piece)
{
    return piece->fd < 0 ? 1 : (piece->bytes + SHARD_BYTES - 1) / SHARD_BYTES;
}

static int take_shards(struct worker *w, struct chv_err *err)
{
    struct shared *s = w->shared;
    int r = 0;
    for (size_t p = 0; r == 0;) {
        uint64_t shard = atomic_fetch_add(&s->next, 1);
        if (shard >= s->shards) break;
        while (shard - s->first_shard[p] >= shards_of(&w->scan->pieces[p])) p++;
        const struct scan_piece *piece = &w->scan->pieces[p];
        uint64_t from = (shard - s->first_shard[p]) * SHARD_BYTES;
        uint64_t bytes = piece->fd >= 0 && piece->bytes - from > SHARD_BYTES ? SHARD_BYTES : piece->bytes - from;
        r = scan_shard(w, piece, from, bytes, err);
        if (piece->fd < 0) continue;
        w->result.scanned_bytes += bytes;
        uint64_t done = atomic_fetch_add(&s->done, bytes) + bytes;
        if (w->reports && w->scan->progress) w->scan->progress("acquiring", done, s->total_bytes);
    }
    return r;
}

static int worker_init(struct worker *w, struct shared *shared)
{
    *w = (struct worker){.shared = shared, .scan = shared->scan, .chunk_blocks = CHUNK_BYTES / shared->scan->block_bytes};
    w->data = malloc(CHUNK_BYTES);
    w->verdicts = malloc(w->chunk_blocks);
    w->old = calloc(w->chunk_blocks, sizeof *w->old);
    w->now = calloc(w->chunk_blocks, sizeof *w->now);
    w->jobs = calloc(w->chunk_blocks, sizeof *w->jobs);
    w->job_blocks = calloc(w->chunk_blocks, sizeof *w->job_blocks);
    w->records = calloc(w->chunk_blocks, sizeof *w->records);
    return w->data && w->verdicts && w->old && w->now && w->jobs && w->job_blocks && w->records ? 0 : -ENOMEM;
}

static void worker_fini(struct worker *w)
{
    free(w->data);
    free(w->verdicts);
    free(w->old);
    free(w->now);
    free(w->jobs);
    free(w->job_blocks);
    free(w->records);
}

static void work(struct shared *shared, bool reports)
{
    struct worker w;
    struct chv_err err;
    int r = worker_init(&w, shared) < 0 ? chv_err_set(&err, ENOMEM, "out of memory") : 0;
    w.reports = reports;
    if (r == 0) r = take_shards(&w, &err);
    worker_fini(&w);
    pthread_mutex_lock(&shared->lock);
    shared->result.scanned_bytes += w.result.scanned_bytes;
    shared->result.hole_bytes += w.result.hole_bytes;
    shared->result.zero_blocks += w.result.zero_blocks;
    shared->result.same_blocks += w.result.same_blocks;
    shared->result.changed_blocks += w.result.changed_blocks;
    shared->result.zeroed_blocks += w.result.zeroed_blocks;
    if (r < 0 && !atomic_exchange(&shared->failed, true)) shared->err = err;
    pthread_mutex_unlock(&shared->lock);
}

static void *thread_main(void *shared)
{
    work(shared, false);
    return NULL;
}

int scan_run(const struct scan *scan, struct scan_result *result, struct chv_err *err)
{
    struct shared shared = {.scan = scan};
    pthread_t threads[THREADS_MAX];
    unsigned started = 0, wanted = scan->threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted == 0) wanted = cores > 0 ? (unsigned)cores : 1;
    if (wanted > THREADS_MAX) wanted = THREADS_MAX;
    shared.first_shard = calloc(scan->count + 1, sizeof *shared.first_shard);
    uint8_t *zeros = calloc(1, scan->block_bytes);
    if (!shared.first_shard || !zeros) {
        free(shared.first_shard);
        free(zeros);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    chv_digest_blocks(zeros, scan->block_bytes, 1, &shared.zero_hash, &(uint16_t){0});
    free(zeros);
    for (size_t i = 0; i < scan->count; i++) {
        shared.first_shard[i] = shared.shards;
        shared.shards += shards_of(&scan->pieces[i]);
        if (scan->pieces[i].fd >= 0) shared.total_bytes += scan->pieces[i].bytes;
    }
    pthread_mutex_init(&shared.lock, NULL);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, thread_main, &shared) == 0) started++;
    work(&shared, true);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&shared.lock);
    free(shared.first_shard);
    *result = shared.result;
    if (!atomic_load(&shared.failed)) return 0;
    if (err) *err = shared.err;
    return -shared.err.code;
}

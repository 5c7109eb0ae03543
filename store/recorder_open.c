/* Birth and death of a recorder. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/custody.h"
#include "store/recorder_impl.h"
#include "store/snapshot.h"

#define QUEUE_BLOCKS 16384u
#define SEGMENT_EVENTS_LEAST 64u

static int load_signer(struct chv_recorder *rec, const char *override, struct chv_err *err)
{
    if (!rec->meta.is_signed) return 0;
    const char *path = override ? override : rec->meta.signing_key;
    int r = signer_load(path, &rec->signer, err);
    if (r == 0 && memcmp(signer_public_key(rec->signer), rec->meta.public_key, 32) != 0)
        r = chv_err_set(err, EINVAL, "signing key %s is not the one this store was made with", path);
    return r;
}

/* The spaces there are, from a reader's snapshot of the recovered log. */
static int load_spaces(struct chv_recorder *rec, struct chv_err *err)
{
    struct chv_store *store;
    struct chv_store_info info;
    int r = snapshot_open_log(rec->meta.dir, &store, err);
    if (r < 0) return r;
    for (size_t i = 0; i < chv_store_space_count(store) && i < RECORDER_SPACES_MAX; i++) {
        const struct chv_space *space = chv_store_space(store, i);
        struct recorder_space *to = &rec->spaces[rec->space_count++];
        memcpy(to->name, space->name, sizeof to->name);
        to->id = space->id;
        to->size_bytes = space->size_bytes;
        to->rest = (uint8_t)space->rest;
    }
    chv_store_info(store, &info);
    rec->last_time_ns = info.last_time_ns;
    rec->stats.last_seq = rec->seq;
    chv_store_close(store);
    return 0;
}

static int start_threads(struct chv_recorder *rec, struct chv_err *err)
{
    int r = pthread_create(&rec->committer, NULL, committer_main, rec);
    rec->committer_running = r == 0;
    if (r == 0) rec->indexer_running = (r = pthread_create(&rec->indexer, NULL, indexer_main, rec)) == 0;
    if (r == 0) rec->merger_running = (r = pthread_create(&rec->merger, NULL, merger_main, rec)) == 0;
    unsigned wanted = rec->worker_count;
    rec->worker_count = 0;
    pthread_mutex_lock(&rec->lock); /* a worker shares the queue by their number: none looks before it is final */
    while (r == 0 && rec->worker_count < wanted) {
        r = pthread_create(&rec->workers[rec->worker_count], NULL, worker_main, rec);
        if (r == 0) rec->worker_count++;
    }
    pthread_mutex_unlock(&rec->lock);
    return r == 0 ? 0 : chv_err_set(err, r, "recorder: no thread: %s", strerror(r));
}

static void stop_threads(struct chv_recorder *rec)
{
    pthread_mutex_lock(&rec->lock);
    rec->stopping = true;
    pthread_cond_broadcast(&rec->work_cv);
    pthread_cond_broadcast(&rec->linger_cv);
    pthread_cond_broadcast(&rec->done_cv);
    pthread_mutex_unlock(&rec->lock);
    for (unsigned i = 0; i < rec->worker_count; i++) pthread_join(rec->workers[i], NULL);
    pthread_mutex_lock(&rec->lock);
    pthread_cond_broadcast(&rec->done_cv);
    pthread_mutex_unlock(&rec->lock);
    if (rec->committer_running) pthread_join(rec->committer, NULL);
    pthread_mutex_lock(&rec->index_lock);
    rec->index_stop = true;
    pthread_cond_broadcast(&rec->index_cv);
    pthread_mutex_unlock(&rec->index_lock);
    if (rec->indexer_running) pthread_join(rec->indexer, NULL);
    if (rec->merger_running) pthread_join(rec->merger, NULL);
}

static void destroy(struct chv_recorder *rec)
{
    if (rec->segment.fd >= 0) rec->io->close(rec->io, rec->segment.fd);
    pack_writer_fini(&rec->pack);
    queue_close(&rec->queue);
    index_unref(rec->index);
    signer_free(rec->signer);
    free(rec->events);
    free(rec->current);
    free(rec->sealed);
    free(rec->spare_table);
    free(rec->spare_events);
    free(rec->spaces);
    if (rec->lock_fd >= 0) close(rec->lock_fd);
    free(rec);
}

/* Bind the custody log's head into the evidence log. */
static int mark_custody(struct chv_recorder *rec, struct chv_err *err)
{
    uint8_t head[32], zeros[32] = {0};
    int r = custody_head(rec->meta.dir, head, err);
    if (r < 0 || memcmp(head, zeros, 32) == 0) return r;
    struct chv_record record = {.op = CHV_OP_MARK, .data = head};
    return chv_recorder_append(rec, &record, 1, NULL, err);
}

/* The queue was written before a reboot: whatever it held is lost, and the log says so for every space. */
static int report_discarded(struct chv_recorder *rec, struct chv_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < rec->space_count; i++) {
        struct chv_record record = {.space = rec->spaces[i].id, .op = CHV_OP_GAP, .gap = {.reason = CHV_GAP_CRASH}};
        r = chv_recorder_append(rec, &record, 1, NULL, err);
    }
    return r;
}

int chv_recorder_open(const char *dir, const struct chv_recorder_options *options, struct chv_recorder **out,
                      struct chv_err *err)
{
    static const struct chv_recorder_options defaults;
    if (!options) options = &defaults;
    struct chv_recorder *rec = calloc(1, sizeof *rec);
    if (!rec) return chv_err_set(err, ENOMEM, "recorder: out of memory");
    rec->io = options->io ? options->io : &io_real;
    rec->lock_fd = rec->segment.fd = rec->pack.fd = -1;
    rec->gap_when_behind = options->gap_when_behind;
    rec->clock_ns = options->clock_ns;
    rec->segment_events = options->segment_events ? options->segment_events : SEGMENT_EVENTS;
    if (rec->segment_events < SEGMENT_EVENTS_LEAST) rec->segment_events = SEGMENT_EVENTS_LEAST;
    if (rec->segment_events > SEGMENT_EVENTS) rec->segment_events = SEGMENT_EVENTS;
    rec->pack.max_bytes = options->pack_bytes < PACK_MAX_BYTES ? options->pack_bytes : PACK_MAX_BYTES;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    rec->worker_count = options->workers ? options->workers : cores > 0 ? (unsigned)cores : 1;
    if (rec->worker_count > WORKERS_MAX) rec->worker_count = WORKERS_MAX;
    pthread_mutex_init(&rec->lock, NULL);
    pthread_mutex_init(&rec->index_lock, NULL);
    pthread_mutex_init(&rec->space_lock, NULL);
    pthread_rwlock_init(&rec->mem_lock, NULL);
    pthread_cond_init(&rec->space_cv, NULL);
    pthread_cond_init(&rec->work_cv, NULL);
    pthread_cond_init(&rec->linger_cv, NULL);
    pthread_cond_init(&rec->done_cv, NULL);
    pthread_cond_init(&rec->durable_cv, NULL);
    pthread_cond_init(&rec->index_cv, NULL);

    int r = meta_load(dir, &rec->meta, err);
    if (r == 0) r = rec->lock_fd = meta_lock(&rec->meta, err);
    if (r > 0) r = 0;
    if (r == 0) r = load_signer(rec, options->signing_key, err);
    rec->segment.meta = rec->pack.meta = &rec->meta;
    rec->segment.io = rec->pack.io = rec->io;
    rec->segment.signer = rec->signer;
    rec->events = events_new();
    rec->current = memtable_new();
    rec->spare_events = events_new();
    rec->spare_table = memtable_new();
    rec->spaces = calloc(RECORDER_SPACES_MAX, sizeof *rec->spaces);
    if (r == 0 && (!rec->events || !rec->current || !rec->spaces)) r = chv_err_set(err, ENOMEM, "recorder: out of memory");
    if (r == 0) r = recover_index(rec, err);
    if (r == 0) {
        rec->next_group = rec->index->next_id;
        index_sweep(&rec->meta, rec->io, rec->index);
        r = recover_log(rec, err);
    }
    if (r == 0) r = queue_open(&rec->queue, &rec->meta, options->queue_blocks ? options->queue_blocks : QUEUE_BLOCKS, err);
    if (r == 0) r = load_spaces(rec, err);
    if (r == 0) r = recover_queue(rec, err);
    if (r < 0) {
        destroy(rec);
        return r;
    }
    r = start_threads(rec, err);
    if (r == 0 && rec->queue.discarded) r = report_discarded(rec, err);
    if (r == 0) r = mark_custody(rec, err);
    if (r < 0) {
        stop_threads(rec);
        destroy(rec);
        return r;
    }
    *out = rec;
    return 0;
}

int chv_recorder_close(struct chv_recorder *rec, struct chv_err *err)
{
    if (!rec) return 0;
    struct chv_err ignored;
    if (!rec->error) mark_custody(rec, &ignored);
    recorder_say_gaps(rec);
    stop_threads(rec);
    int r = -rec->error;
    if (r < 0 && err) *err = rec->error_text;
    destroy(rec);
    return r;
}

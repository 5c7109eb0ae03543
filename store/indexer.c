/* Sealed segments into sorted runs, and few long runs out of many short ones: behind the committer's back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/recorder_impl.h"

static void publish(struct chv_recorder *rec, struct index *fresh, struct memtable *done)
{
    pthread_rwlock_wrlock(&rec->mem_lock);
    struct index *old = rec->index;
    rec->index = fresh;
    if (done && rec->sealed == done) {
        rec->indexed++; /* before: the committer looks at both without the lock, in the other order */
        rec->sealed = NULL;
    }
    pthread_rwlock_unlock(&rec->mem_lock);
    index_unref(old);
    /* Look-ups touch pages all over the runs; they stay cached, but not in our resident set. */
    for (size_t i = 0; i < fresh->count; i++) run_release_entries(&fresh->groups[i]->runs[RUN_LOC]);
}

/* The job's blocks are in the index, or will not be: nobody may look into its table any more. */
static void recycle(struct chv_recorder *rec, struct index_job *job)
{
    pthread_rwlock_wrlock(&rec->mem_lock);
    if (rec->sealed == job->table) rec->sealed = NULL;
    pthread_rwlock_unlock(&rec->mem_lock);
    memtable_clear(job->table);
    pthread_mutex_lock(&rec->index_lock);
    struct memtable *table = rec->spare_table;
    struct chv_event *events = rec->spare_events;
    rec->spare_table = job->table;
    rec->spare_events = job->events;
    pthread_mutex_unlock(&rec->index_lock);
    free(table);
    free(events);
}

int indexer_run_job(struct chv_recorder *rec, struct index_job *job, struct chv_err *err)
{
    struct index_entries entries = {0};
    int r = index_entries_add_events(&entries, job->events, job->count, rec->meta.block_bytes);
    for (size_t i = 0; r == 0 && i < MEMTABLE_SLOTS; i++)
        if (job->table->slots[i].loc) r = index_entries_add_loc(&entries, job->table->slots[i].hash, job->table->slots[i].loc);
    if (r < 0) chv_err_set(err, ENOMEM, "index: out of memory");
    if (r == 0) {
        struct index *fresh;
        index_entries_sort(&entries);
        pthread_mutex_lock(&rec->index_lock);
        rec->index->next_id = rec->next_group++; /* only read under index_lock */
        r = index_add(&rec->meta, rec->io, rec->index, &entries, job->events[0].seq, job->events[job->count - 1].seq,
                      job->pack, job->pack_bytes, &fresh, err);
        if (r == 0) publish(rec, fresh, job->table);
        pthread_cond_broadcast(&rec->index_cv); /* the merger may have something to do */
        pthread_mutex_unlock(&rec->index_lock);
    }
    index_entries_fini(&entries);
    return r;
}

void *indexer_main(void *arg)
{
    struct chv_recorder *rec = arg;
    bool broken = false; /* the index covers the log from its beginning without holes: nothing after what failed */
    pthread_mutex_lock(&rec->index_lock);
    for (;;) {
        while (!rec->job.busy && !rec->index_stop) pthread_cond_wait(&rec->index_cv, &rec->index_lock);
        if (!rec->job.busy) break;
        struct index_job job = rec->job;
        struct chv_err err;
        pthread_mutex_unlock(&rec->index_lock);
        if (!broken && indexer_run_job(rec, &job, &err) < 0) {
            recorder_fail(rec, &err);
            broken = true;
        }
        recycle(rec, &job);
        pthread_mutex_lock(&rec->index_lock);
        rec->job.busy = false;
        pthread_cond_broadcast(&rec->index_cv);
    }
    pthread_mutex_unlock(&rec->index_lock);
    return NULL;
}

void *merger_main(void *arg)
{
    struct chv_recorder *rec = arg;
    pthread_mutex_lock(&rec->index_lock);
    while (!rec->index_stop) {
        size_t first, n = index_merge_due(rec->index, &first);
        if (n == 0) {
            pthread_cond_wait(&rec->index_cv, &rec->index_lock);
            continue;
        }
        struct index *index = index_ref(rec->index), *fresh;
        struct index_group *merged = NULL;
        struct chv_err err;
        uint64_t id = rec->next_group++;
        pthread_mutex_unlock(&rec->index_lock);
        int r = index_merge_groups(&rec->meta, rec->io, index, first, n, id, &merged, &err);
        index_unref(index);
        pthread_mutex_lock(&rec->index_lock);
        if (r == 0) {
            rec->index->next_id = rec->next_group;
            r = index_replace(&rec->meta, rec->io, rec->index, merged, &fresh, &err);
        }
        if (r == 0)
            publish(rec, fresh, NULL);
        else { /* the index stays as it is; recording does not depend on merging */
            pthread_mutex_unlock(&rec->index_lock);
            recorder_fail(rec, &err);
            pthread_mutex_lock(&rec->index_lock);
            break;
        }
    }
    pthread_mutex_unlock(&rec->index_lock);
    return NULL;
}

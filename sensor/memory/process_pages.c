#include "sensor/memory/process_pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/digest.h"

enum { PAGE = PHYSMEM_PAGE_BYTES, CHUNK_PAGES = 64, THREADS_MAX = 8 };
#define SHARD_BYTES (UINT64_C(4) << 20) /* what a thread takes at a time */

/* Where a shard begins: so far into a run. */
struct place {
    size_t run;
    uint64_t inside;
};

struct shared {
    struct process_pages *p;
    uint32_t per_page; /* blocks of the store's in a page */
    size_t shards;
    struct place *begin; /* shards of them */
    _Atomic size_t next;
    _Atomic uint64_t done;
    _Atomic bool failed;
    pthread_mutex_t lock; /* p's counts, err */
    struct chv_err err;
};

struct worker {
    struct shared *shared;
    struct chv_map *map;     /* of the shard's addresses as they were; NULL: nothing was */
    struct chv_extent state; /* the map's extent around the block that was last asked for */
    uint32_t count;          /* pages in data */
    uint64_t va[CHUNK_PAGES];
    bool *same;              /* a block: it is what it was */
    uint8_t *data;           /* CHUNK_PAGES pages */
    uint8_t (*old)[CHV_HASH_BYTES], (*now)[CHV_HASH_BYTES];
    struct digest_job *jobs;
    uint32_t *job_blocks;
    struct chv_record records[CHUNK_PAGES * PAGE / CHV_SECTOR_BYTES];
    uint64_t read_pages, unreadable_pages;
};

/* The block's content at the last acquisition; false: none that it could be the same as. Blocks are asked for in order. */
static int look_back(struct worker *w, uint64_t block, uint8_t hash[CHV_HASH_BYTES], struct chv_err *err)
{
    while (w->map && block >= w->state.first_block + w->state.blocks) {
        int r = chv_map_next(w->map, &w->state, err);
        if (r < 0) return r;
        if (r == 0) return 0; /* the space was smaller */
    }
    if (!w->map || w->state.state != CHV_STATE_DATA) return 0;
    memcpy(hash, w->state.hash, CHV_HASH_BYTES);
    return 1;
}

static int compare(struct worker *w, struct chv_err *err)
{
    uint32_t per_page = w->shared->per_page, block_bytes = PAGE / per_page;
    size_t jobs = 0;
    for (uint32_t i = 0; i < w->count * per_page; i++) {
        int r = look_back(w, w->va[i / per_page] / block_bytes + i % per_page, w->old[i], err);
        if (r < 0) return r;
        w->same[i] = false;
        if (r == 0) continue;
        w->jobs[jobs] = (struct digest_job){.data = w->data + (size_t)i * block_bytes, .hash = w->now[i]};
        w->job_blocks[jobs++] = i;
    }
    digest_blocks(w->jobs, jobs, block_bytes);
    for (size_t j = 0; j < jobs; j++) {
        uint32_t i = w->job_blocks[j];
        w->same[i] = memcmp(w->now[i], w->old[i], CHV_HASH_BYTES) == 0;
    }
    return 0;
}

/* What lies side by side and is new is one request. */
static int flush(struct worker *w, struct chv_err *err)
{
    const struct process_pages *p = w->shared->p;
    uint32_t per_page = w->shared->per_page, block_bytes = PAGE / per_page, blocks = w->count * per_page;
    size_t count = 0;
    int r = compare(w, err);
    for (uint32_t i = 0, end; i < blocks && r == 0; i = end) {
        uint64_t first = w->va[i / per_page] + (uint64_t)(i % per_page) * block_bytes;
        for (end = i + 1; end < blocks && w->same[end] == w->same[i] &&
                          w->va[end / per_page] + (uint64_t)(end % per_page) * block_bytes == first + (uint64_t)(end - i) * block_bytes;)
            end++;
        if (w->same[i]) continue;
        w->records[count++] = (struct chv_record){
            .space = p->target->space, .op = CHV_OP_FOUND, .flags = p->time_ns ? CHV_EVENT_IMPORTED : 0, .time_ns = p->time_ns,
            .lba = first / CHV_SECTOR_BYTES, .sectors = (end - i) * (block_bytes / CHV_SECTOR_BYTES),
            .data = w->data + (size_t)i * block_bytes,
        };
    }
    w->count = 0;
    if (r == 0 && count > 0) r = sink_append(p->sink, w->records, count, err);
    return r < 0 ? r : 0; /* a gap is the recorder's to tell */
}

/* As many pages as fit; one whose content is not known is not invented. */
static int read_some(struct worker *w, const struct page_run *run, uint64_t inside, uint32_t pages, struct chv_err *err)
{
    struct physmem *mem = w->shared->p->mem;
    uint8_t *to = w->data + (size_t)w->count * PAGE;
    bool whole = physmem_read(mem, run->pa + inside, to, (size_t)pages * PAGE) == 0;
    for (uint32_t i = 0; i < pages; i++) {
        uint8_t *page = w->data + (size_t)w->count * PAGE;
        if (!whole && physmem_read(mem, run->pa + inside + (uint64_t)i * PAGE, page, PAGE) < 0) {
            w->unreadable_pages++;
            continue;
        }
        w->va[w->count++] = run->va + inside + (uint64_t)i * PAGE;
        w->read_pages++;
    }
    return w->count == CHUNK_PAGES ? flush(w, err) : 0;
}

static int record_shard(struct worker *w, size_t shard, struct chv_err *err)
{
    struct shared *s = w->shared;
    const struct import_target *t = s->p->target;
    const struct pages *pages = s->p->pages;
    struct place at = s->begin[shard], end = shard + 1 < s->shards ? s->begin[shard + 1] : (struct place){pages->count, 0};
    int r = 0;
    w->state = (struct chv_extent){0};
    if (t->before) { /* from its first block to the last one the space had */
        uint64_t first = (pages->list[at.run].va + at.inside) / t->block_bytes, blocks = t->before->size_bytes / t->block_bytes;
        const struct page_run *last = &pages->list[end.inside ? end.run : end.run - 1];
        uint64_t to = (last->va + (end.inside ? end.inside : last->bytes)) / t->block_bytes;
        if (to > blocks) to = blocks;
        if (first < to) r = chv_map_open(t->store, t->before->id, first, to, t->last_seq, &w->map, err);
    }
    while (r == 0 && (at.run < end.run || at.inside < end.inside)) {
        const struct page_run *run = &pages->list[at.run];
        uint64_t left = ((at.run == end.run ? end.inside : run->bytes) - at.inside) / PAGE;
        uint32_t n = CHUNK_PAGES - w->count;
        if (left < n) n = (uint32_t)left;
        r = read_some(w, run, at.inside, n, err);
        at.inside += (uint64_t)n * PAGE;
        if (at.inside == run->bytes) at = (struct place){at.run + 1, 0};
    }
    if (r == 0) r = flush(w, err);
    chv_map_close(w->map);
    w->map = NULL;
    return r;
}

static int worker_init(struct worker *w)
{
    size_t blocks = (size_t)CHUNK_PAGES * w->shared->per_page;
    w->data = malloc((size_t)CHUNK_PAGES * PAGE);
    w->same = calloc(blocks, sizeof *w->same);
    w->old = calloc(blocks, sizeof *w->old);
    w->now = calloc(blocks, sizeof *w->now);
    w->jobs = calloc(blocks, sizeof *w->jobs);
    w->job_blocks = calloc(blocks, sizeof *w->job_blocks);
    return w->data && w->same && w->old && w->now && w->jobs && w->job_blocks ? 0 : -ENOMEM;
}

static void worker_free(struct worker *w)
{
    free(w->data);
    free(w->same);
    free(w->old);
    free(w->now);
    free(w->jobs);
    free(w->job_blocks);
    free(w);
}

static void work(struct shared *s, bool reports)
{
    struct chv_err err;
    struct worker *w = calloc(1, sizeof *w);
    if (w) w->shared = s;
    int r = w && worker_init(w) == 0 ? 0 : chv_err_set(&err, ENOMEM, "out of memory");
    for (size_t shard; r == 0 && !atomic_load(&s->failed) && (shard = atomic_fetch_add(&s->next, 1)) < s->shards;) {
        uint64_t before = w->read_pages + w->unreadable_pages;
        r = record_shard(w, shard, &err);
        uint64_t done = (w->read_pages + w->unreadable_pages - before) * PAGE;
        done += atomic_fetch_add(&s->done, done);
        if (reports) import_progress(s->p->target, "process", done, s->p->pages->bytes);
    }
    pthread_mutex_lock(&s->lock);
    if (w) s->p->read_pages += w->read_pages;
    if (w) s->p->unreadable_pages += w->unreadable_pages;
    if (r < 0 && !atomic_exchange(&s->failed, true)) s->err = err;
    pthread_mutex_unlock(&s->lock);
    if (w) worker_free(w);
}

static void *thread_main(void *shared)
{
    work(shared, false);
    return NULL;
}

static int cut(struct shared *s)
{
    const struct pages *pages = s->p->pages;
    s->begin = calloc((size_t)(pages->bytes / SHARD_BYTES) + 1, sizeof *s->begin);
    if (!s->begin) return -ENOMEM;
    uint64_t before = 0; /* bytes of earlier runs */
    for (size_t i = 0; i < pages->count; i++) {
        for (; s->shards * SHARD_BYTES < before + pages->list[i].bytes; s->shards++)
            s->begin[s->shards] = (struct place){i, s->shards * SHARD_BYTES - before};
        before += pages->list[i].bytes;
    }
    return 0;
}

int process_pages_record(struct process_pages *p, struct chv_err *err)
{
    struct shared s = {.p = p, .per_page = PAGE / p->target->block_bytes};
    pthread_t threads[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = !physmem_shared(p->mem) || cores < 1 ? 1 : cores < THREADS_MAX ? cores : THREADS_MAX;
    int started = 0;
    p->read_pages = p->unreadable_pages = 0;
    if (cut(&s) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    pthread_mutex_init(&s.lock, NULL);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, thread_main, &s) == 0) started++;
    work(&s, true);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&s.lock);
    free(s.begin);
    if (!atomic_load(&s.failed)) return 0;
    if (err) *err = s.err;
    return -s.err.code;
}

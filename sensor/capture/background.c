/* Beside the requests: marks of the disks, copies of blocks the log lost sight of, the full baseline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "chronovisor/store.h"
#include "sensor/capture/session.h"

#define TICK_NS UINT64_C(1000000000)
#define SHORT_NS UINT64_C(10000000)
#define SCAN_BYTES (16u << 20) /* of the full baseline between two looks at the clock */

struct scan {
    struct session *s;
    size_t disk;     /* which one the full baseline is at */
    uint64_t block;
    uint64_t copied; /* of this disk */
    bool done, failed;
    uint64_t last_tick_ns, gaps_seen;
};

int background_mark(struct session *s, bool clean, struct chv_err *err)
{
    const struct mark *all[SESSION_DISKS_MAX];
    for (size_t i = 0; i < s->attached; i++) {
        struct mark *m = &s->marks[i];
        m->clean = clean;
        m->time_ns = clock_now_ns();
        disk_stamp(&s->captures[i].disk, &m->stamp);
        all[i] = m;
    }
    return mark_save(s->options.store_dir, all, s->attached, err);
}

static void tick(struct session *s)
{
    struct chv_recorder_stats stats;
    struct chv_err err;
    bool changed = false;
    chv_recorder_stats(s->rec, &stats);
    for (size_t i = 0; i < s->attached; i++) {
        struct disk_stamp now = {0};
        disk_stamp(&s->captures[i].disk, &now);
        uint64_t settled = epoch_tick(&s->captures[i].epoch, stats.last_seq);
        changed |= settled != s->marks[i].seq || now.mtime_ns != s->marks[i].stamp.mtime_ns;
        s->marks[i].seq = settled;
    }
    /* a mark that cannot be written costs comparing more after a crash, no evidence */
    if (changed) background_mark(s, false, &err);
}

/* The recorder has the guest's writes to do first. */
static bool is_behind(struct session *s)
{
    struct chv_recorder_stats stats;
    chv_recorder_stats(s->rec, &stats);
    return stats.queue_used > stats.queue_blocks / 4;
}

/* GAP events may cover more than what was lost (the recorder joins them): whatever the log does not know of a disk
 * any more is looked at again. */
static int find_gaps(struct session *s, struct chv_err *err)
{
    struct chv_store *store;
    struct chv_store_info info;
    uint64_t ticket;
    int r = chv_recorder_append(s->rec, NULL, 0, &ticket, err); /* brings pending gaps into the log */
    if (r >= 0) r = chv_recorder_wait(s->rec, ticket, err);
    if (r >= 0) r = chv_store_open(s->options.store_dir, &store, err);
    if (r < 0) return r;
    chv_store_info(store, &info);
    for (size_t i = 0; r >= 0 && i < s->attached; i++) {
        struct capture *c = &s->captures[i];
        struct chv_extent e;
        struct chv_map *map;
        r = chv_map_open(store, c->space, 0, c->block_count, info.last_seq, &map, err);
        if (r < 0) break;
        while ((r = chv_map_next(map, &e, err)) > 0) {
            if (e.state != CHV_STATE_UNKNOWN || e.seq == 0) continue;
            struct range range;
            ranges_lock(&c->ranges, &range, e.first_block, e.first_block + e.blocks);
            blocks_set(&c->blocks, e.first_block, e.first_block + e.blocks, BLOCK_SUSPECT);
            ranges_unlock(&c->ranges, &range);
        }
        chv_map_close(map);
    }
    chv_store_close(store);
    return r;
}

static void look_for_gaps(struct session *s, uint64_t *gaps_seen)
{
    struct chv_recorder_stats stats;
    struct chv_err err;
    chv_recorder_stats(s->rec, &stats);
    if (stats.gaps != *gaps_seen && !is_behind(s) && find_gaps(s, &err) >= 0) *gaps_seen = stats.gaps;
}

/* Look again at blocks of which the log does not know what they hold. True: there are more. */
static bool heal(struct session *s)
{
    struct chv_err err;
    bool more = false;
    for (size_t i = 0; i < s->attached; i++) {
        struct capture *c = &s->captures[i];
        uint64_t copied = 0, most = SCAN_BYTES / c->block_bytes;
        /* stale: the disk has less than the log, looking at it would bury what was acknowledged */
        if (__atomic_load_n(&c->blocks.suspects, __ATOMIC_RELAXED) == 0 || __atomic_load_n(&c->stale, __ATOMIC_ACQUIRE))
            continue;
        enum block_state state;
        for (uint64_t at = 0, next; at < c->block_count; at = next) {
            next = blocks_run(&c->blocks, at, c->block_count, &state);
            if (state != BLOCK_SUSPECT) continue;
            if (next > at + most) next = at + most;
            if (is_behind(s)) {
                more = true;
                break;
            }
            /* a disk that cannot be read, a store that takes no more: not before the next tick */
            if (capture_copy(c, at, next, BLOCK_SUSPECT, false, &copied, &err) != 0) break;
        }
    }
    return more;
}

/* One step of the full baseline. */
static void scan_step(struct scan *x)
{
    struct session *s = x->s;
    struct capture *c = &s->captures[x->disk];
    struct chv_err err;
    uint64_t end = x->block + SCAN_BYTES / c->block_bytes;
    if (end > c->block_count) end = c->block_count;
    int r = c->copy_first ? capture_copy(c, x->block, end, BLOCK_NONE, true, &x->copied, &err) : 0;
    if (r == CHV_APPEND_GAP) return; /* the rest of it when the recorder has caught up */
    if (r < 0) {
        fprintf(stderr, "chronovisor record: the baseline ends early: %s\n", err.text);
        x->done = x->failed = true;
        return;
    }
    bool shown = isatty(STDERR_FILENO) || getenv("CHRONOVISOR_PROGRESS");
    if (shown)
        fprintf(stderr, "\r%s: baseline %3llu%%", c->space_name, (unsigned long long)(end * 100 / c->block_count));
    x->block = end;
    if (end < c->block_count) return;
    fprintf(stderr, "%schronovisor record: %s: baseline complete, %llu blocks copied\n", shown ? "\n" : "",
            c->space_name, (unsigned long long)x->copied);
    x->block = x->copied = 0;
    x->done = ++x->disk == s->attached;
}

static bool pause_ns(struct session *s, uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    pthread_mutex_lock(&s->mutex);
    while (!s->stop && pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT) {}
    bool stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    return stop;
}

static void *run(void *arg)
{
    struct session *s = arg;
    struct scan x = {.s = s, .done = s->options.baseline != SESSION_FULL, .last_tick_ns = clock_now_ns()};
    bool healing = false;
    while (!pause_ns(s, healing || (!x.done && is_behind(s)) ? SHORT_NS : x.done ? TICK_NS : 0)) {
        if (!x.done && !is_behind(s)) scan_step(&x);
        if (healing) healing = heal(s);
        uint64_t now = clock_now_ns();
        if (now - x.last_tick_ns < TICK_NS) continue;
        x.last_tick_ns = now;
        tick(s);
        look_for_gaps(s, &x.gaps_seen);
        healing = heal(s);
    }
    return NULL;
}

int background_start(struct session *s, struct chv_err *err)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int r = pthread_create(&s->thread, NULL, run, s);
    s->thread_runs = r == 0;
    return r == 0 ? 0 : chv_err_set(err, r, "threads: %s", strerror(r));
}

void background_stop(struct session *s)
{
    if (!s->thread_runs) return;
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    s->thread_runs = false;
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
}

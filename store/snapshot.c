/* Opening a store: manifest, segments, and the tail that no index covers yet. */
#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_TRIES 10

static void clear(struct chv_store *s)
{
    tail_clear(s);
    spaces_clear(s);
    pack_set_forget(&s->packs); /* prune may have put other files there */
    for (size_t i = 0; i < s->segment_count; i++)
        if (s->fds && s->fds[i] >= 0) close(s->fds[i]);
    free(s->fds);
    free(s->segments);
    free(s->notes);
    index_unref(s->index);
    s->fds = NULL;
    s->segments = NULL;
    s->notes = NULL;
    s->index = NULL;
    s->segment_count = s->note_count = s->fds_kept = 0;
    s->has_active = false;
    s->pack = s->pack_bytes = s->tail_events = 0;
    s->first_seq = s->last_seq = s->first_time_ns = s->last_time_ns = s->pruned_before_seq = 0;
}

static int load_segments(struct chv_store *s, struct chv_err *err)
{
    uint64_t *numbers, count;
    int r = meta_list(&s->meta, "log", ".seg", &numbers, &count, err);
    if (r < 0) return r;
    s->segments = calloc(count + 1, sizeof *s->segments);
    s->fds = malloc((count + 1) * sizeof *s->fds);
    if (!s->segments || !s->fds) r = chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        struct segment *seg = &s->segments[s->segment_count], *before = s->segment_count ? seg - 1 : NULL;
        r = segment_probe(&s->meta, numbers[i], seg, err);
        if (r < 0 && i + 1 == count && segment_is_stillborn(&s->meta, numbers[i])) { /* nothing in it yet */
            r = 0;
            break;
        }
        if (r < 0) break;
        if (seg->carry) { /* it replaces everything before it, which an interrupted prune may have left */
            s->segment_count = 0;
            s->segments[0] = *seg;
        } else if (before && !before->sealed) {
            r = chv_err_set(err, EBADMSG, "log/%08llu.seg is not sealed though later segments exist; 'chronovisor verify' says more",
                            (unsigned long long)before->number);
        } else if (before ? seg->number != before->number + 1 || seg->first_seq != before->last_seq + 1 : seg->number != 1) {
            r = chv_err_set(err, EBADMSG, "log/%08llu.seg is missing; 'chronovisor verify' says more",
                            (unsigned long long)(before ? before->number + 1 : 1));
        }
        s->fds[s->segment_count++] = -1;
    }
    free(numbers);
    return r;
}

/* Half of what the process may have open: the packs, sockets and the caller want some too. */
static size_t fds_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? 1 << 16 : (size_t)(limit.rlim_cur / 2);
}

void snapshot_segment_fd_done(const struct chv_store *s, size_t segment, int fd)
{
    if (fd != __atomic_load_n(&s->fds[segment], __ATOMIC_ACQUIRE)) close(fd);
}

int snapshot_segment_fd(const struct chv_store *s, size_t segment, struct chv_err *err)
{
    int fd = __atomic_load_n(&s->fds[segment], __ATOMIC_ACQUIRE);
    if (fd >= 0) return fd;
    char path[STORE_PATH_BYTES];
    meta_segment_path(&s->meta, s->segments[segment].number, path);
    struct chv_store *cache = (struct chv_store *)(uintptr_t)s; /* descriptors are no part of the picture */
    pthread_mutex_lock(&cache->fds_lock);
    fd = s->fds[segment];
    if (fd < 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            fd = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        else if (cache->fds_kept < fds_max()) { /* a long history has more segments than that */
            cache->fds_kept++;
            __atomic_store_n(&s->fds[segment], fd, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&cache->fds_lock);
    return fd;
}

int64_t snapshot_segment_of(const struct chv_store *s, uint64_t seq)
{
    size_t low = 0, high = s->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->segments[middle].first_seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return (int64_t)low - 1;
}

int64_t snapshot_read_events(const struct chv_store *s, size_t segment, uint64_t index, struct chv_event *events,
                             size_t count, struct chv_err *err)
{
    const struct segment *seg = &s->segments[segment];
    if (index >= seg->events) return 0;
    if (count > seg->events - index) count = (size_t)(seg->events - index);
    int fd = snapshot_segment_fd(s, segment, err);
    if (fd < 0) return fd;
    int r = io_pread_full(fd, events, count * sizeof *events, segment_event_offset(index));
    snapshot_segment_fd_done(s, segment, fd);
    if (r < 0)
        return chv_err_set(err, r == -ENODATA ? EBADMSG : -r, "log/%08llu.seg: %s", (unsigned long long)seg->number,
                           r == -ENODATA ? "cut off" : strerror(-r));
    return (int64_t)count;
}

int64_t snapshot_position(const struct chv_store *s, size_t segment, uint64_t seq, struct chv_err *err)
{
    const struct segment *seg = &s->segments[segment];
    if (seq <= seg->first_seq) return 0;
    if (!seg->carry) return (int64_t)(seq - seg->first_seq < seg->events ? seq - seg->first_seq : seg->events);
    uint64_t low = 0, high = seg->events;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct chv_event e;
        int64_t n = snapshot_read_events(s, segment, middle, &e, 1, err);
        if (n < 0) return n;
        if (e.seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return (int64_t)low;
}

/* Read events of sealed but unindexed segments into the tail. */
static int take_sealed(struct chv_store *s, size_t segment, struct chv_err *err)
{
    const struct segment *seg = &s->segments[segment];
    int64_t at = snapshot_position(s, segment, s->index->through_seq + 1, err);
    if (at < 0) return (int)at;
    uint64_t left = seg->events - (uint64_t)at;
    if (left == 0) return 0;
    if (left + s->tail_events > TAIL_EVENTS_MAX)
        return chv_err_set(err, ESTALE, "%s: the index is missing or far behind; run 'chronovisor reindex'", s->meta.dir);
    struct chv_event *events = malloc(left * sizeof *events);
    if (!events) return chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
    int64_t n = snapshot_read_events(s, segment, (uint64_t)at, events, left, err);
    int r = n < 0 ? (int)n : 0;
    if (r == 0) r = tail_take_events(s, events, left, err);
    free(events);
    return r;
}

static int take_active(struct chv_store *s, struct chv_err *err)
{
    struct segment *seg = &s->segments[s->segment_count - 1];
    int fd = snapshot_segment_fd(s, s->segment_count - 1, err);
    if (fd < 0) return fd;
    int r = 0;
    if (!s->has_active) {
        r = segment_tail_init(&s->active, fd);
        s->has_active = r == 0;
    }
    struct chv_event *events = NULL;
    size_t count = 0;
    if (r == 0) r = segment_tail_read(&s->active, fd, &events, &count);
    snapshot_segment_fd_done(s, s->segment_count - 1, fd);
    if (r < 0) {
        chv_err_set(err, -r, "log/%08llu.seg: %s", (unsigned long long)seg->number, strerror(-r));
    } else if (count > 0) {
        seg->events = s->active.events;
        size_t skip = 0;
        while (skip < count && events[skip].seq <= s->index->through_seq) skip++;
        r = tail_take_events(s, events + skip, count - skip, err);
    }
    free(events);
    return r;
}

static int load_notes(struct chv_store *s, struct chv_err *err)
{
    for (size_t i = 0; i < s->index->note_count; i++) {
        struct chv_event e;
        int r = chv_store_event(s, s->index->notes[i], &e, err);
        if (r == -ENOENT) continue; /* pruned */
        if (r == 0 && notes_add(s, &e) < 0) r = chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
        if (r < 0) return r;
    }
    return 0;
}

static int bounds(struct chv_store *s, struct chv_err *err)
{
    struct chv_event e;
    if (s->segment_count == 0) return 0;
    const struct segment *last = &s->segments[s->segment_count - 1];
    s->last_seq = last->sealed ? last->last_seq : last->events ? last->first_seq + last->events - 1 : last->first_seq - 1;
    if (s->last_seq == 0) return 0;
    int64_t n = snapshot_read_events(s, 0, 0, &e, 1, err);
    if (n < 0) return (int)n;
    if (n == 1) {
        s->first_seq = e.seq;
        s->first_time_ns = e.time_ns;
    }
    int r = chv_store_event(s, s->last_seq, &e, err);
    if (r == 0) s->last_time_ns = e.time_ns;
    return r;
}

static int load_once(struct chv_store *s, struct chv_err *err)
{
    int r = index_load(&s->meta, false, &s->index, err);
    if (r < 0) return r;
    s->pack = s->index->pack;
    s->pack_bytes = s->index->pack_bytes;
    r = load_segments(s, err);
    if (r == 0) r = load_notes(s, err);
    int64_t first = snapshot_segment_of(s, s->index->through_seq + 1);
    for (size_t i = first < 0 ? 0 : (size_t)first; r == 0 && i < s->segment_count; i++)
        r = s->segments[i].sealed ? take_sealed(s, i, err) : take_active(s, err);
    if (r == 0) r = bounds(s, err);
    if (r == 0 && s->last_seq < s->index->through_seq)
        r = chv_err_set(err, EBADMSG, "%s: the log ends at seq:%llu but seq:%llu was indexed: its tail was cut off; 'chronovisor verify' says more",
                        s->meta.dir, (unsigned long long)s->last_seq, (unsigned long long)s->index->through_seq);
    if (r == 0) r = spaces_rebuild(s, err);
    return r;
}

static int load(struct chv_store *s, struct chv_err *err)
{
    int r = 0;
    /* A recorder may seal, merge or prune between our looks; then we look again. */
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        r = load_once(s, err);
        if (r == 0 || r == -ENOMEM || r == -EPROTO || r == -EMFILE) break;
        clear(s);
        usleep(2000);
    }
    if (r < 0) clear(s);
    return r;
}

static int open_store(const char *dir, bool log_only, struct chv_store **out, struct chv_err *err)
{
    struct chv_store *s = calloc(1, sizeof *s);
    if (!s) return chv_err_set(err, ENOMEM, "%s: out of memory", dir);
    int r = meta_load(dir, &s->meta, err);
    if (r < 0) {
        free(s);
        return r;
    }
    pthread_mutex_init(&s->fds_lock, NULL);
    pack_set_init(&s->packs, &s->meta);
    s->log_only = log_only;
    r = load(s, err);
    if (r < 0) {
        chv_store_close(s);
        return r;
    }
    *out = s;
    return 0;
}

int chv_store_open(const char *dir, struct chv_store **out, struct chv_err *err)
{
    return open_store(dir, false, out, err);
}

int snapshot_open_log(const char *dir, struct chv_store **out, struct chv_err *err)
{
    return open_store(dir, true, out, err);
}

void chv_store_close(struct chv_store *s)
{
    if (!s) return;
    clear(s);
    pack_set_fini(&s->packs);
    pthread_mutex_destroy(&s->fds_lock);
    free(s);
}

/* Has the log moved on only inside the segment we follow? */
static bool same_shape(const struct chv_store *s)
{
    if (s->segment_count == 0 || !s->has_active) return false;
    char path[STORE_PATH_BYTES];
    meta_segment_path(&s->meta, s->segments[s->segment_count - 1].number + 1, path);
    return access(path, F_OK) != 0;
}

int chv_store_refresh(struct chv_store *s, struct chv_err *err)
{
    if (same_shape(s) && s->tail_events < TAIL_EVENTS_MAX) {
        size_t notes = s->note_count;
        int r = take_active(s, err);
        if (r == 0) r = bounds(s, err);
        if (r == 0 && s->note_count != notes) r = spaces_rebuild(s, err);
        if (r == 0) return 0;
    }
    struct index *nothing = index_new(); /* for questions asked of a handle whose refresh failed */
    if (!nothing) return chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
    clear(s);
    int r = load(s, err);
    if (r < 0)
        s->index = nothing;
    else
        index_unref(nothing);
    return r;
}

#include "timeline/files_history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "timeline/files_deps.h"
#include "timeline/files_digest.h"

/* What was found at one instant. */
struct state {
    enum { STATE_ABSENT, STATE_PRESENT, STATE_UNREADABLE } what;
    struct files_entry entry;
    char *path, *link;
    uint64_t runs_digest; /* tells one list of runs from another */
    bool has_sha256;
    uint8_t sha256[32];
    char reason[256];     /* UNREADABLE, or why there is no digest */
};

struct history {
    struct chv_store *store;
    const struct chv_space *space;
    const struct files_history_options *options;
    const char *path;
    files_change_fn *fn;
    void *arg;
    struct files_history_stats *stats;
    struct files_deps *deps;
    struct chv_view *view;
    struct files_fs *fs;       /* kept from instant to instant */
    uint64_t fs_size_bytes;
    unsigned tracing;          /* FILES_DEP_…, or 0 */
    int deps_fault;            /* -errno of a block that could not be followed */
    uint64_t content_until;    /* the content last read holds until this seq */
    bool ever_there;
};

static void state_fini(struct state *s)
{
    free(s->path);
    free(s->link);
    *s = (struct state){0};
}

/* The worker used this page: whatever is being asked depends on it. */
static void touched(void *arg, uint64_t page)
{
    struct history *h = arg;
    uint32_t block_bytes = chv_store_block_bytes(h->store);
    uint64_t first = page * 4096 / block_bytes;
    for (uint64_t b = first; b < first + 4096 / block_bytes; b++)
        if (h->deps_fault == 0) h->deps_fault = files_deps_add(h->deps, b, h->tracing | FILES_DEP_CACHED);
}

static int history_pread(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    struct history *h = arg;
    return chv_view_pread(h->view, buf, bytes, offset, err);
}

static int state_keep(void *arg, const struct files_entry *e)
{
    struct state *s = arg;
    s->entry = *e;
    s->path = strdup(e->path);
    s->link = e->link ? strdup(e->link) : NULL;
    if (!s->path || (e->link && !s->link)) return -ENOMEM;
    s->runs_digest = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < e->run_count; i++) {
        const uint64_t words[3] = {e->runs[i].offset_bytes, e->runs[i].lba, e->runs[i].bytes};
        for (size_t w = 0; w < 3; w++) s->runs_digest = (s->runs_digest ^ words[w]) * 1099511628211u;
    }
    s->entry.path = s->path, s->entry.link = s->link;
    s->entry.runs = NULL, s->entry.run_count = 0;
    return 0;
}

static int digest_data(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    return files_digest_data(arg, offset, data, bytes);
}

/* Read the content, unless nothing it depends on has changed since it was last read. */
static int state_content(struct history *h, struct files_fs *fs, struct state *s, const struct state *before, uint64_t seq)
{
    bool same_place = before->what == STATE_PRESENT && before->has_sha256 && before->entry.inode == s->entry.inode &&
                      before->entry.size_bytes == s->entry.size_bytes && before->runs_digest == s->runs_digest &&
                      !(s->entry.flags & (FILES_RESIDENT | FILES_RUNS_CUT));
    if (same_place && h->content_until > seq) {
        s->has_sha256 = true;
        memcpy(s->sha256, before->sha256, 32);
        return 0;
    }
    struct files_digest digest;
    struct chv_err err = {0};
    uint64_t size = 0;
    files_deps_forget(h->deps, FILES_DEP_CONTENT);
    h->tracing = FILES_DEP_CONTENT;
    h->stats->content_reads++;
    int r = files_digest_init(&digest);
    if (r == 0) r = files_read(fs, h->path, false, digest_data, &digest, &size, &err);
    if (r == 0) r = files_digest_finish(&digest, size, s->sha256);
    files_digest_fini(&digest);
    h->tracing = 0;
    s->has_sha256 = r == 0;
    if (r == -ENOMEM) return r;
    if (r < 0) snprintf(s->reason, sizeof s->reason, "%.250s", err.text[0] ? err.text : strerror(-r));
    r = files_deps_next(h->deps, h->store, h->space->id, seq, FILES_DEP_CONTENT, &h->content_until, &err);
    return r;
}

struct search {
    uint64_t inode;
    char *found;
};

static int same_inode(void *arg, const struct files_entry *e)
{
    struct search *s = arg;
    if (e->inode != s->inode || e->flags & (FILES_NAME_DELETED | FILES_META_DELETED) || e->type == 'V') return 0;
    s->found = strdup(e->path);
    return s->found ? 1 : -ENOMEM;
}

/* Where the file lives on after its name has gone; NULL when nowhere. */
static char *renamed_to(struct history *h, struct files_fs *fs, const struct state *before)
{
    const struct files_info *info = files_fs_info(fs);
    struct search search = {.inode = before->entry.inode};
    struct chv_err err;
    /* A FAT inode is the place of a directory entry: a renamed file has another one. */
    if (strncmp(info->type, "fat", 3) == 0 || strcmp(info->type, "exfat") == 0) return NULL;
    h->tracing = 0;
    files_list(fs, "/", FILES_LIST_RECURSE, 1000000, same_inode, &search, &err);
    return search.found;
}

/* The file system in h->view. A worker that is there already is told to look again. */
static int open_fs(struct history *h, uint64_t seq, struct chv_err *err)
{
    struct files_image image = {.pread = history_pread, .arg = h, .size_bytes = chv_view_size_bytes(h->view)};
    struct files_options options = h->options->files;
    options.touched = touched;
    options.touched_arg = h;
    if (h->fs && h->fs_size_bytes == image.size_bytes) {
        uint64_t *pages;
        size_t count;
        int r = files_deps_changed(h->deps, seq, FILES_DEP_CACHED, chv_store_block_bytes(h->store), &pages, &count);
        if (r < 0) return chv_err_set(err, ENOMEM, "out of memory");
        r = files_reopen(h->fs, pages, count, err);
        free(pages);
        return r;
    }
    files_close(h->fs);
    h->fs = NULL;
    h->fs_size_bytes = image.size_bytes;
    files_deps_forget(h->deps, FILES_DEP_CACHED);
    return files_open(&image, &options, &h->fs, err);
}

/* Look at the path as of `seq`. */
static int state_at(struct history *h, uint64_t seq, const struct state *before, struct state *now, char **other_path,
                    struct chv_err *err)
{
    struct chv_err fault = {0};
    *now = (struct state){0};
    int r = chv_view_open(h->store, h->space, seq, &h->options->view, &h->view, err);
    if (r < 0) return r;
    files_deps_forget(h->deps, FILES_DEP_METADATA);
    h->tracing = FILES_DEP_METADATA;
    h->stats->instants++;
    r = open_fs(h, seq, &fault);
    bool opened = r == 0;
    if (r == 0) r = files_stat(h->fs, h->path, state_keep, now, &fault);
    h->tracing = 0;
    if (r == 0 && now->entry.flags & (FILES_NAME_DELETED | FILES_META_DELETED)) r = -ENOENT;
    if (r == 0) {
        now->what = STATE_PRESENT;
        if (now->entry.type == 'r') r = state_content(h, h->fs, now, before, seq);
        if (r < 0) chv_err_set(&fault, -r, "%s", strerror(-r));
    } else if (r == -ENOENT) {
        state_fini(now);
        if (opened && before->what == STATE_PRESENT) *other_path = renamed_to(h, h->fs, before);
        r = 0;
    } else if (r == -EIO || r == -EPROTO) {
        state_fini(now);
        now->what = STATE_UNREADABLE;
        snprintf(now->reason, sizeof now->reason, "%.250s", fault.text);
        r = 0;
    }
    chv_view_close(h->view);
    h->view = NULL;
    if (r == 0 && h->deps_fault < 0) r = chv_err_set(&fault, -h->deps_fault, "more blocks than can be followed");
    if (r < 0) *err = fault;
    return r;
}

static bool same_metadata(const struct files_entry *a, const struct files_entry *b)
{
    for (int t = 0; t < FILES_TIMES; t++)
        if (t != FILES_A && (a->seconds[t] != b->seconds[t] || a->nanoseconds[t] != b->nanoseconds[t])) return false;
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->links == b->links && a->type == b->type;
}

/* Did anything change, and what is it called? */
static bool change_of(const struct history *h, bool first, const struct state *before, const struct state *now, bool renamed,
                      enum files_change_kind *kind)
{
    if (now->what == STATE_UNREADABLE) {
        *kind = FILES_CHANGE_UNREADABLE;
        return before->what != STATE_UNREADABLE;
    }
    if (now->what == STATE_ABSENT) {
        *kind = renamed ? FILES_CHANGE_RENAMED : FILES_CHANGE_DELETED;
        return before->what == STATE_PRESENT || (before->what == STATE_UNREADABLE && h->ever_there);
    }
    if (before->what != STATE_PRESENT) {
        *kind = first ? FILES_CHANGE_EXISTED : h->ever_there ? FILES_CHANGE_REAPPEARED : FILES_CHANGE_CREATED;
        return true;
    }
    bool content = before->entry.size_bytes != now->entry.size_bytes || before->has_sha256 != now->has_sha256 ||
                   (now->has_sha256 && memcmp(before->sha256, now->sha256, 32) != 0) ||
                   (now->link && before->link && strcmp(now->link, before->link) != 0);
    *kind = before->entry.inode != now->entry.inode ? FILES_CHANGE_REPLACED
            : content                               ? FILES_CHANGE_MODIFIED
                                                    : FILES_CHANGE_METADATA;
    return *kind != FILES_CHANGE_METADATA || !same_metadata(&before->entry, &now->entry);
}

static int report(struct history *h, uint64_t seq, bool first, const struct state *before, const struct state *now,
                  const char *other_path, struct chv_err *err)
{
    struct files_change change = {.seq = seq, .other_path = other_path};
    if (!change_of(h, first, before, now, other_path != NULL, &change.kind)) return 0;
    struct chv_event event;
    int r = chv_store_event(h->store, seq, &event, err);
    if (r < 0) return r;
    change.time_ns = event.time_ns;
    change.entry = now->what == STATE_PRESENT ? &now->entry : NULL;
    change.has_sha256 = now->has_sha256;
    memcpy(change.sha256, now->sha256, 32);
    change.reason = now->reason[0] ? now->reason : NULL;
    return h->fn(h->arg, &change);
}

/* The instant to look at after an event at `seq`: the guest's next flush of this space, before which nothing was
 * promised to be there; without one within a second (a guest that does not flush, an import), the end of that second. */
static int boundary(struct history *h, uint64_t seq, uint64_t last, uint64_t *out, struct chv_err *err)
{
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint64_t begin_ns = 0;
    *out = seq;
    int r = chv_cursor_open(h->store, seq, last, &cursor, err);
    if (r < 0) return r;
    while ((r = chv_cursor_next(cursor, &batch, &count, err)) > 0)
        for (size_t i = 0; i < count; i++) {
            if (begin_ns == 0) begin_ns = batch[i].time_ns;
            if (batch[i].time_ns - begin_ns > UINT64_C(1000000000)) goto out;
            *out = batch[i].seq;
            if (batch[i].op == CHV_OP_FLUSH && batch[i].space == h->space->id) goto out;
        }
out:
    chv_cursor_close(cursor);
    return r < 0 ? r : 0;
}

static int follow(struct history *h, uint64_t first, uint64_t last, uint64_t limit, struct chv_err *err)
{
    struct state before = {0}, now = {0};
    uint64_t seq = first;
    int r;
    for (bool is_first = true;; is_first = false) {
        char *other_path = NULL;
        r = state_at(h, seq, &before, &now, &other_path, err);
        if (r == 0) r = report(h, seq, is_first, &before, &now, other_path, err);
        free(other_path);
        if (now.what == STATE_PRESENT) h->ever_there = true;
        state_fini(&before);
        before = now;
        before.entry.path = before.path, before.entry.link = before.link;
        now = (struct state){0};
        if (r != 0 || seq >= last) break;
        uint64_t next;
        /* the first also brings what is known about cached blocks up to this instant */
        r = files_deps_next(h->deps, h->store, h->space->id, seq, FILES_DEP_CACHED, &next, err);
        if (r == 0)
            r = files_deps_next(h->deps, h->store, h->space->id, seq, FILES_DEP_METADATA | FILES_DEP_CONTENT, &next, err);
        if (r < 0 || next > last) break;
        if (h->stats->instants >= limit) {
            struct chv_event event = {0};
            char text[CLOCK_TEXT_BYTES];
            chv_store_event(h->store, seq, &event, NULL);
            r = chv_err_set(err, EOVERFLOW, "stopped at seq:%" PRIu64 " (%s) after looking at %" PRIu64
                            " instants; raise --limit, or begin there with --from", seq, clock_format(event.time_ns, text), limit);
            break;
        }
        r = boundary(h, next, last, &seq, err);
        if (r < 0) break;
        if (h->options->progress) h->options->progress(h->options->progress_arg, seq - first, last - first);
    }
    state_fini(&before);
    return r;
}

int files_history(struct chv_store *store, const struct chv_space *space, const char *path,
                  const struct files_history_options *options, files_change_fn *fn, void *arg,
                  struct files_history_stats *stats, struct chv_err *err)
{
    struct chv_store_info info;
    struct files_history_stats unused;
    struct history h = {.store = store, .space = space, .options = options, .path = path, .fn = fn, .arg = arg,
                        .stats = stats ? stats : &unused};
    *h.stats = (struct files_history_stats){0};
    chv_store_info(store, &info);
    uint64_t first = options->first_seq ? options->first_seq : info.first_seq;
    uint64_t last = options->last_seq ? options->last_seq : info.last_seq;
    if (first < space->first_seq) first = space->first_seq;
    if (first < info.pruned_before_seq) first = info.pruned_before_seq;
    if (last < first) return chv_err_set(err, EINVAL, "the space begins at seq:%" PRIu64 ", after the last instant asked for", first);
    int r = files_deps_new(&h.deps);
    if (r < 0) return chv_err_set(err, ENOMEM, "out of memory");
    r = follow(&h, first, last, options->limit ? options->limit : 10000, err);
    h.stats->blocks = files_deps_count(h.deps);
    files_deps_free(h.deps);
    files_close(h.fs);
    return r;
}

#include "store/index.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_MAX_BYTES (64u << 20)
#define GROUPS_MAX 4096u
#define MERGE_FAN 4u
#define LOAD_TRIES 20

static const char *const suffixes[RUN_KINDS] = {"sight", "addr", "loc"};

static void group_path(const struct meta *meta, uint64_t id, int kind, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/index/%08" PRIu64 ".%s", meta->dir, id, suffixes[kind]);
}

static void group_unref(struct index_group *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
    for (int k = 0; k < RUN_KINDS; k++) run_close(&g->runs[k]);
    free(g);
}

static int group_open(const struct meta *meta, uint64_t id, bool verify, struct index_group **out, struct chv_err *err)
{
    struct index_group *g = calloc(1, sizeof *g);
    if (!g) return chv_err_set(err, ENOMEM, "index: out of memory");
    g->id = id;
    atomic_init(&g->refs, 1);
    int r = 0;
    for (int k = 0; r == 0 && k < RUN_KINDS; k++) {
        char path[STORE_PATH_BYTES];
        group_path(meta, id, k, path);
        g->runs[k].kind = (enum run_kind)k;
        r = run_open(&g->runs[k], (enum run_kind)k, path, verify, err);
    }
    if (r < 0) {
        group_unref(g);
        return r;
    }
    *out = g;
    return 0;
}

struct index *index_new(void)
{
    struct index *index = calloc(1, sizeof *index);
    if (!index) return NULL;
    index->next_id = 1;
    atomic_init(&index->refs, 1);
    return index;
}

int index_make_folder(const struct meta *meta, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    meta_path(meta, "index", path);
    return mkdir(path, 0700) < 0 && errno != EEXIST ? chv_err_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
}

struct index *index_ref(struct index *index)
{
    atomic_fetch_add(&index->refs, 1);
    return index;
}

void index_unref(struct index *index)
{
    if (!index || atomic_fetch_sub(&index->refs, 1) != 1) return;
    for (size_t i = 0; i < index->count; i++) group_unref(index->groups[i]);
    free(index->groups);
    free(index->notes);
    free(index);
}

static int add_group(struct index *index, struct index_group *g)
{
    struct index_group **grown = realloc(index->groups, (index->count + 1) * sizeof *grown);
    if (!grown) return -ENOMEM;
    index->groups = grown;
    grown[index->count++] = g;
    return 0;
}

static int add_note(struct index *index, uint64_t seq)
{
    if ((index->note_count & (index->note_count - 1)) == 0) {
        uint64_t *grown = realloc(index->notes, (index->note_count ? 2 * index->note_count : 1) * sizeof *grown);
        if (!grown) return -ENOMEM;
        index->notes = grown;
    }
    index->notes[index->note_count++] = seq;
    return 0;
}

/* One line of the manifest. 1: understood, 0: not, -errno: its files could not be opened. */
static int manifest_line(const struct meta *meta, bool verify, struct index *index, const char *line, struct chv_err *err)
{
    uint64_t a, b, c;
    unsigned level;
    if (sscanf(line, "through %" SCNu64 " next %" SCNu64, &a, &b) == 2) {
        index->through_seq = a;
        index->next_id = b;
        return 1;
    }
    if (sscanf(line, "pack %" SCNu64 " %" SCNu64, &a, &b) == 2) {
        index->pack = a;
        index->pack_bytes = b;
        return 1;
    }
    if (sscanf(line, "note %" SCNu64, &a) == 1)
        return add_note(index, a) < 0 ? chv_err_set(err, ENOMEM, "index: out of memory") : 1;
    if (sscanf(line, "group %" SCNu64 " %u %" SCNu64 " %" SCNu64, &a, &level, &b, &c) == 4 && index->count < GROUPS_MAX) {
        struct index_group *g;
        int r = group_open(meta, a, verify, &g, err);
        if (r < 0) return r;
        g->level = level;
        g->first_seq = b;
        g->last_seq = c;
        if (add_group(index, g) < 0) {
            group_unref(g);
            return chv_err_set(err, ENOMEM, "index: out of memory");
        }
        return 1;
    }
    return 0;
}

static int load_once(const struct meta *meta, bool verify, struct index **out, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], *text, *save = NULL;
    size_t bytes;
    struct index *index = index_new();
    if (!index) return chv_err_set(err, ENOMEM, "index: out of memory");
    meta_path(meta, "index/manifest", path);
    int r = io_read_file(path, MANIFEST_MAX_BYTES, &text, &bytes);
    if (r == -ENOENT || r == -ENOTDIR) {
        *out = index;
        return 0;
    }
    if (r < 0) {
        index_unref(index);
        return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    }
    int lines = 0, ended = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
        if (lines == 0) r = strcmp(line, "chronovisor-index 1") == 0;
        else if (strcmp(line, "end") == 0) ended = r = 1;
        else r = manifest_line(meta, verify, index, line, err);
        if (r < 1) break;
    }
    free(text);
    if (r >= 0 && (r == 0 || !ended))
        r = chv_err_set(err, EBADMSG, "%s is damaged; 'chronovisor reindex' makes the index again", path);
    if (r < 0) {
        index_unref(index);
        return r;
    }
    *out = index;
    return 0;
}

int index_load(const struct meta *meta, bool verify, struct index **out, struct chv_err *err)
{
    int r = 0;
    /* A run that is gone although the manifest names it: the manifest has just been replaced. */
    for (int tries = 0; tries < LOAD_TRIES; tries++) {
        r = load_once(meta, verify, out, err);
        if (r != -ENOENT) break;
    }
    return r;
}

static int manifest_write(const struct meta *meta, const struct io *io, const struct index *index, struct chv_err *err)
{
    char dir[STORE_PATH_BYTES], *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return chv_err_set(err, ENOMEM, "index: out of memory");
    fprintf(f, "chronovisor-index 1\nthrough %" PRIu64 " next %" PRIu64 "\npack %" PRIu64 " %" PRIu64 "\n",
            index->through_seq, index->next_id, index->pack, index->pack_bytes);
    for (size_t i = 0; i < index->count; i++)
        fprintf(f, "group %" PRIu64 " %u %" PRIu64 " %" PRIu64 "\n", index->groups[i]->id, index->groups[i]->level,
                index->groups[i]->first_seq, index->groups[i]->last_seq);
    for (size_t i = 0; i < index->note_count; i++) fprintf(f, "note %" PRIu64 "\n", index->notes[i]);
    fprintf(f, "end\n");
    int r = fclose(f) != 0 ? -ENOMEM : 0;
    meta_path(meta, "index", dir);
    if (r == 0) r = io_replace(io, dir, "manifest", text, bytes);
    free(text);
    return r < 0 ? chv_err_set(err, -r, "%s/manifest: %s", dir, strerror(-r)) : 0;
}

static int group_write(const struct meta *meta, const struct io *io, uint64_t id, const struct index_entries *entries,
                       struct index_group **out, struct chv_err *err)
{
    for (int k = 0; k < RUN_KINDS; k++) {
        char path[STORE_PATH_BYTES];
        struct run_writer *w;
        group_path(meta, id, k, path);
        int r = run_writer_new(io, (enum run_kind)k, path, entries->count[k], &w, err);
        if (r < 0) return r;
        r = run_writer_add(w, entries->entries[k], entries->count[k], err);
        int ended = run_writer_end(w, r == 0, r == 0 ? err : NULL);
        if (r < 0 || ended < 0) return r < 0 ? r : ended;
    }
    return group_open(meta, id, false, out, err);
}

/* A copy of `old` that shares its groups, without those in [skip, skip + n), with `g` there instead
 * (or at the end when n is 0). Takes g. */
static struct index *copy_with(const struct index *old, size_t skip, size_t n, struct index_group *g)
{
    struct index *index = index_new();
    bool good = index != NULL;
    for (size_t i = 0; good && i <= old->count; i++) {
        if (i == skip) {
            good = add_group(index, g) == 0;
            if (good) g = NULL;
        }
        if (!good || i == old->count || (i >= skip && i < skip + n)) continue;
        good = add_group(index, old->groups[i]) == 0;
        if (good) atomic_fetch_add(&old->groups[i]->refs, 1);
    }
    for (size_t i = 0; good && i < old->note_count; i++) good = add_note(index, old->notes[i]) == 0;
    if (!good) {
        group_unref(g);
        index_unref(index);
        return NULL;
    }
    index->through_seq = old->through_seq;
    index->next_id = old->next_id;
    index->pack = old->pack;
    index->pack_bytes = old->pack_bytes;
    return index;
}

int index_add(const struct meta *meta, const struct io *io, const struct index *old, struct index_entries *entries,
              uint64_t first_seq, uint64_t last_seq, uint64_t pack, uint64_t pack_bytes, struct index **out,
              struct chv_err *err)
{
    struct index_group *g;
    int r = group_write(meta, io, old->next_id, entries, &g, err);
    if (r < 0) return r;
    g->first_seq = first_seq;
    g->last_seq = last_seq;
    struct index *index = copy_with(old, old->count, 0, g);
    if (!index) return chv_err_set(err, ENOMEM, "index: out of memory");
    for (size_t i = 0; r == 0 && i < entries->note_count; i++) r = add_note(index, entries->notes[i]);
    index->through_seq = last_seq;
    index->next_id = old->next_id + 1;
    index->pack = pack;
    index->pack_bytes = pack_bytes;
    r = r < 0 ? chv_err_set(err, ENOMEM, "index: out of memory") : manifest_write(meta, io, index, err);
    if (r < 0) {
        index_unref(index);
        return r;
    }
    *out = index;
    return 0;
}

size_t index_merge_due(const struct index *index, size_t *first)
{
    *first = 0;
    /* Levels fall from old to new; find the newest stretch of MERGE_FAN groups of one level. */
    for (size_t end = index->count; end >= MERGE_FAN; end--) {
        size_t n = 1;
        while (n < MERGE_FAN && index->groups[end - 1 - n]->level == index->groups[end - 1]->level) n++;
        if (n < MERGE_FAN) continue;
        *first = end - n;
        return n;
    }
    return 0;
}

int index_merge_groups(const struct meta *meta, const struct io *io, const struct index *index, size_t first, size_t n,
                       uint64_t id, struct index_group **out, struct chv_err *err)
{
    const struct run **runs = malloc(n * sizeof *runs);
    if (!runs) return chv_err_set(err, ENOMEM, "index: out of memory");
    int r = 0;
    for (int k = 0; r == 0 && k < RUN_KINDS; k++) {
        char path[STORE_PATH_BYTES];
        group_path(meta, id, k, path);
        for (size_t i = 0; i < n; i++) runs[i] = &index->groups[first + i]->runs[k];
        r = run_merge(io, (enum run_kind)k, runs, n, path, err);
    }
    free(runs);
    if (r == 0) r = group_open(meta, id, false, out, err);
    if (r < 0) return r;
    (*out)->first_seq = index->groups[first]->first_seq;
    (*out)->last_seq = index->groups[first + n - 1]->last_seq;
    for (size_t i = 0; i < n; i++)
        if (index->groups[first + i]->level >= (*out)->level) (*out)->level = index->groups[first + i]->level + 1;
    return 0;
}

int index_replace(const struct meta *meta, const struct io *io, const struct index *old, struct index_group *merged,
                  struct index **out, struct chv_err *err)
{
    size_t first = 0, n = 0;
    while (first < old->count && old->groups[first]->first_seq < merged->first_seq) first++;
    while (first + n < old->count && old->groups[first + n]->last_seq <= merged->last_seq) n++;
    struct index *index = copy_with(old, first, n, merged);
    if (!index) return chv_err_set(err, ENOMEM, "index: out of memory");
    if (merged->id >= index->next_id) index->next_id = merged->id + 1;
    int r = manifest_write(meta, io, index, err);
    if (r < 0) {
        index_unref(index);
        return r;
    }
    for (size_t i = first; i < first + n; i++)
        for (int k = 0; k < RUN_KINDS; k++) {
            char path[STORE_PATH_BYTES];
            group_path(meta, old->groups[i]->id, k, path);
            io->unlink(io, path);
        }
    *out = index;
    return 0;
}

void index_sweep(const struct meta *meta, const struct io *io, const struct index *index)
{
    char dir[STORE_PATH_BYTES];
    meta_path(meta, "index", dir);
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        char *end;
        uint64_t id = strtoull(e->d_name, &end, 10);
        bool known = false;
        if (end == e->d_name || *end != '.') continue;
        for (int k = 0; k < RUN_KINDS; k++) known |= strcmp(end + 1, suffixes[k]) == 0;
        if (!known) continue; /* not ours */
        bool listed = false;
        for (size_t i = 0; i < index->count; i++) listed |= index->groups[i]->id == id;
        char path[STORE_PATH_BYTES];
        if (!listed && (size_t)snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < sizeof path) io->unlink(io, path);
    }
    closedir(d);
}

uint64_t index_bytes(const struct index *index)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < index->count; i++)
        for (int k = 0; k < RUN_KINDS; k++) bytes += index->groups[i]->runs[k].map_bytes;
    return bytes;
}

static uint64_t release(const struct index *index, void (*how)(const struct run *))
{
    for (size_t i = 0; i < index->count; i++)
        for (int k = 0; k < RUN_KINDS; k++) how(&index->groups[i]->runs[k]);
    return run_pages_resident();
}

void index_let_go(const struct index *index, struct run_pages *pages, uint64_t limit_bytes)
{
    uint64_t resident = run_pages_resident();
    run_pages_learn(pages, resident);
    if (resident >= limit_bytes) {
        atomic_store_explicit(&pages->tight, true, memory_order_relaxed);
        resident = release(index, run_release_entries);
        if (resident >= limit_bytes) resident = release(index, run_release_pages);
    }
    run_pages_settle(pages, resident, limit_bytes);
}

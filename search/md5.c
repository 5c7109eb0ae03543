#include "search/md5.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_ENTRIES (1u << 20) /* digested before a run is written: 48 MiB */
#define RUNS_MERGE 8           /* more runs than this are merged into one */
#define RUNS_MAX 4096
#define SEEN_SLOTS (1u << 16)

static const char magic[8] = "CHVMD5\r\n";

struct md5_header {
    char magic[8];
    uint32_t version, entry_bytes;
    uint8_t uuid[16];
    uint64_t first_seq, last_seq, entries, zero;
    uint8_t digest[32];
};
_Static_assert(sizeof(struct md5_header) == 96, "header of an md5 run");

struct md5_entry {
    uint8_t md5[MD5_BYTES], sha256[CHV_HASH_BYTES];
};
_Static_assert(sizeof(struct md5_entry) == 48, "entry of an md5 run");

struct md5_run {
    void *map;
    size_t map_bytes;
    const struct md5_entry *entries;
    uint64_t count, first_seq, last_seq;
    char name[64];
};

struct md5_index {
    const struct chv_store *store;
    struct chv_store_info info;
    char dir[4096];
    struct md5_run *runs;
    size_t run_count;
    uint64_t through; /* every event up to here is covered */
};

static int compare_entries(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct md5_entry));
}

static void run_close(struct md5_run *run)
{
    if (run->map) munmap(run->map, run->map_bytes);
    memset(run, 0, sizeof *run);
}

/* Returns false for anything that is not a whole run of this store: it is made again. */
static bool run_open(const struct md5_index *index, const char *name, struct md5_run *run)
{
    char path[4200];
    struct stat st;
    struct md5_header header;
    snprintf(path, sizeof path, "%s/%s", index->dir, name);
    memset(run, 0, sizeof *run);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool good = fstat(fd, &st) == 0 && pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                memcmp(header.magic, magic, sizeof magic) == 0 && header.version == 1 &&
                header.entry_bytes == sizeof(struct md5_entry) &&
                memcmp(header.uuid, index->info.uuid, sizeof header.uuid) == 0 &&
                header.entries <= (UINT64_MAX - sizeof header) / sizeof(struct md5_entry) &&
                (uint64_t)st.st_size == sizeof header + header.entries * sizeof(struct md5_entry);
    if (good) {
        run->map_bytes = (size_t)st.st_size;
        run->map = mmap(NULL, run->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (run->map == MAP_FAILED) run->map = NULL;
        good = run->map != NULL;
    }
    close(fd);
    uint8_t digest[32];
    good = good && EVP_Digest((const uint8_t *)run->map + sizeof header, run->map_bytes - sizeof header, digest, NULL,
                              EVP_sha256(), NULL) == 1 && memcmp(digest, header.digest, sizeof digest) == 0;
    if (!good) {
        run_close(run);
        return false;
    }
    run->entries = (const struct md5_entry *)((const uint8_t *)run->map + sizeof header);
    run->count = header.entries;
    run->first_seq = header.first_seq;
    run->last_seq = header.last_seq;
    snprintf(run->name, sizeof run->name, "%s", name);
    return true;
}

static int compare_runs(const void *a, const void *b)
{
    const struct md5_run *x = a, *y = b;
    if (x->first_seq != y->first_seq) return x->first_seq < y->first_seq ? -1 : 1;
    return (x->last_seq < y->last_seq) - (x->last_seq > y->last_seq); /* the longer one first */
}

static void index_drop(struct md5_index *index, size_t i, bool remove_file)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", index->dir, index->runs[i].name);
    if (remove_file) unlink(path);
    run_close(&index->runs[i]);
    memmove(&index->runs[i], &index->runs[i + 1], (index->run_count - i - 1) * sizeof *index->runs);
    index->run_count--;
}

/* Open what is there; runs must follow each other, what a longer run covers is removed. */
static int index_load(struct md5_index *index, struct chv_err *err)
{
    index->runs = calloc(RUNS_MAX, sizeof *index->runs);
    if (!index->runs) return chv_err_set(err, ENOMEM, "out of memory");
    DIR *d = opendir(index->dir);
    if (!d) return errno == ENOENT ? 0 : chv_err_set(err, errno, "%s: %s", index->dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) && index->run_count < RUNS_MAX;) {
        size_t n = strlen(e->d_name);
        if (strncmp(e->d_name, "md5-", 4) != 0 || n < 8 || n >= 64 || strcmp(e->d_name + n - 4, ".run") != 0) continue;
        if (run_open(index, e->d_name, &index->runs[index->run_count])) index->run_count++;
    }
    closedir(d);
    qsort(index->runs, index->run_count, sizeof *index->runs, compare_runs);
    for (size_t i = 0; i < index->run_count;) {
        struct md5_run *run = &index->runs[i];
        if (run->last_seq <= index->through) {
            index_drop(index, i, true);
        } else if (run->first_seq > index->through + 1) {
            index_drop(index, i, false); /* a hole before it: made again */
        } else {
            index->through = run->last_seq;
            i++;
        }
    }
    return 0;
}

struct run_writer {
    FILE *out;
    EVP_MD_CTX *digest;
    char path[4200], name[64];
    struct md5_header header;
    struct md5_entry last;
};

static int writer_open(struct run_writer *w, const struct md5_index *index, uint64_t first, uint64_t last,
                       struct chv_err *err)
{
    memset(w, 0, sizeof *w);
    memcpy(w->header.magic, magic, sizeof magic);
    memcpy(w->header.uuid, index->info.uuid, sizeof w->header.uuid);
    w->header.version = 1;
    w->header.entry_bytes = sizeof(struct md5_entry);
    w->header.first_seq = first;
    w->header.last_seq = last;
    snprintf(w->name, sizeof w->name, "md5-%" PRIu64 "-%" PRIu64 ".run", first, last);
    snprintf(w->path, sizeof w->path, "%s/%s.%d", index->dir, w->name, (int)getpid());
    w->out = fopen(w->path, "we");
    w->digest = EVP_MD_CTX_new();
    if (!w->digest || EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL) != 1) return chv_err_set(err, ENOMEM, "out of memory");
    if (!w->out || fwrite(&w->header, sizeof w->header, 1, w->out) != 1)
        return chv_err_set(err, errno, "%s: cannot write the MD5 column: %s", w->path, strerror(errno));
    return 0;
}

static void writer_add(struct run_writer *w, const struct md5_entry *entry)
{
    if (w->header.entries > 0 && memcmp(entry, &w->last, sizeof *entry) == 0) return;
    fwrite(entry, sizeof *entry, 1, w->out); /* an error stays with the stream until the end */
    EVP_DigestUpdate(w->digest, entry, sizeof *entry);
    w->last = *entry;
    w->header.entries++;
}

static int writer_close(struct run_writer *w, const struct md5_index *index, bool keep, struct chv_err *err)
{
    bool hashed = w->digest && EVP_DigestFinal_ex(w->digest, w->header.digest, NULL) == 1;
    EVP_MD_CTX_free(w->digest);
    if (!w->out) return -EBADF;
    bool good = keep && hashed && fflush(w->out) == 0 && !ferror(w->out) &&
                pwrite(fileno(w->out), &w->header, sizeof w->header, 0) == (ssize_t)sizeof w->header &&
                fdatasync(fileno(w->out)) == 0;
    int code = errno;
    fclose(w->out);
    char final[4200];
    snprintf(final, sizeof final, "%s/%s", index->dir, w->name);
    if (good && rename(w->path, final) < 0) {
        code = errno;
        good = false;
    }
    if (good) return 0;
    unlink(w->path);
    return keep ? chv_err_set(err, code ? code : EIO, "%s: cannot write the MD5 column: %s", final, strerror(code)) : 0;
}

struct builder {
    struct md5_index *index;
    struct md5_entry *entries;
    size_t count;
    uint64_t first_seq;
    uint8_t *block;
    uint8_t (*seen)[CHV_HASH_BYTES]; /* a few contents met lately */
    struct md5_report *report;
};

static int builder_flush(struct builder *b, uint64_t last_seq, struct chv_err *err)
{
    struct run_writer w;
    qsort(b->entries, b->count, sizeof *b->entries, compare_entries);
    int r = writer_open(&w, b->index, b->first_seq, last_seq, err);
    for (size_t i = 0; i < b->count && r == 0; i++) writer_add(&w, &b->entries[i]);
    int closed = writer_close(&w, b->index, r == 0, err);
    if (r < 0 || closed < 0) return r < 0 ? r : closed;
    b->count = 0;
    b->first_seq = last_seq + 1;
    struct md5_index *index = b->index;
    if (index->run_count == RUNS_MAX || !run_open(index, w.name, &index->runs[index->run_count]))
        return chv_err_set(err, EIO, "%s/%s: cannot be read back", index->dir, w.name);
    index->run_count++;
    index->through = last_seq;
    return 0;
}

static int builder_event(struct builder *b, const struct chv_event *e, bool all, struct chv_err *err)
{
    if (!chv_op_has_content(e->op) || (!all && !(e->flags & CHV_EVENT_NEW))) return 0;
    uint32_t slot;
    memcpy(&slot, e->hash, sizeof slot);
    slot %= SEEN_SLOTS;
    if (memcmp(b->seen[slot], e->hash, CHV_HASH_BYTES) == 0) return 0;
    memcpy(b->seen[slot], e->hash, CHV_HASH_BYTES);
    int r = chv_store_read_block(b->index->store, e->hash, b->block, err);
    if (r < 0) {
        b->report->unreadable++;
        return 0;
    }
    struct md5_entry *entry = &b->entries[b->count++];
    memcpy(entry->sha256, e->hash, CHV_HASH_BYTES);
    if (EVP_Digest(b->block, b->index->info.block_bytes, entry->md5, NULL, EVP_md5(), NULL) != 1)
        return chv_err_set(err, ENOTSUP, "this OpenSSL refuses MD5 (FIPS mode?)");
    b->report->blocks++;
    return b->count == RUN_ENTRIES ? builder_flush(b, e->seq, err) : 0;
}

static int index_build(struct md5_index *index, search_progress_fn *progress, void *progress_arg,
                       struct md5_report *report, struct chv_err *err)
{
    struct builder b = {.index = index, .first_seq = index->through + 1, .report = report};
    uint64_t last = index->info.last_seq;
    /* after a prune the event that first stored a content may be gone while the content is not */
    bool all = index->info.pruned_before_seq > 0;
    struct chv_cursor *cursor = NULL;
    const struct chv_event *events;
    size_t count;
    if (mkdir(index->dir, 0777) < 0 && errno != EEXIST)
        return chv_err_set(err, errno, "%s: %s", index->dir, strerror(errno));
    b.entries = malloc(RUN_ENTRIES * sizeof *b.entries);
    b.block = malloc(index->info.block_bytes);
    b.seen = calloc(SEEN_SLOTS, sizeof *b.seen);
    int r = 0;
    if (!b.entries || !b.block || !b.seen) {
        r = chv_err_set(err, ENOMEM, "out of memory");
        goto out;
    }
    r = chv_cursor_open(index->store, b.first_seq, last, &cursor, err);
    uint64_t begin = b.first_seq;
    while (r == 0 && (r = chv_cursor_next(cursor, &events, &count, err)) == 1) {
        r = 0;
        for (size_t i = 0; i < count && r == 0; i++) {
            r = builder_event(&b, &events[i], all, err);
            if (progress && i % 256 == 0) progress(progress_arg, events[i].seq - begin, last - begin + 1);
        }
    }
    if (r == 0) r = builder_flush(&b, last, err);
    chv_cursor_close(cursor);
out:
    free(b.entries);
    free(b.block);
    free(b.seen);
    return r;
}

static int index_merge(struct md5_index *index, struct chv_err *err)
{
    size_t n = index->run_count;
    uint64_t *at = calloc(n, sizeof *at);
    if (!at) return chv_err_set(err, ENOMEM, "out of memory");
    struct run_writer w;
    int r = writer_open(&w, index, index->runs[0].first_seq, index->runs[n - 1].last_seq, err);
    while (r == 0) {
        const struct md5_entry *least = NULL;
        size_t from = 0;
        for (size_t i = 0; i < n; i++) {
            if (at[i] == index->runs[i].count) continue;
            const struct md5_entry *e = &index->runs[i].entries[at[i]];
            if (!least || memcmp(e, least, sizeof *e) < 0) least = e, from = i;
        }
        if (!least) break;
        writer_add(&w, least);
        at[from]++;
    }
    free(at);
    int closed = writer_close(&w, index, r == 0, err);
    if (r < 0 || closed < 0) return r < 0 ? r : closed;
    while (index->run_count > 0) index_drop(index, index->run_count - 1, true);
    if (!run_open(index, w.name, &index->runs[0]))
        return chv_err_set(err, EIO, "%s/%s: cannot be read back", index->dir, w.name);
    index->run_count = 1;
    return 0;
}

int md5_index_open(const struct chv_store *store, search_progress_fn *progress, void *progress_arg,
                   struct md5_index **out, struct md5_report *report, struct chv_err *err)
{
    struct md5_index *index = calloc(1, sizeof *index);
    *report = (struct md5_report){0};
    if (!index) return chv_err_set(err, ENOMEM, "out of memory");
    index->store = store;
    chv_store_info(store, &index->info);
    snprintf(index->dir, sizeof index->dir, "%s/index", chv_store_dir(store));
    int r = index_load(index, err);
    if (r == 0 && index->through < index->info.last_seq) r = index_build(index, progress, progress_arg, report, err);
    if (r == 0 && index->run_count > RUNS_MERGE) r = index_merge(index, err);
    if (r < 0) {
        md5_index_close(index);
        return r;
    }
    *out = index;
    return 0;
}

void md5_index_close(struct md5_index *index)
{
    if (!index) return;
    for (size_t i = 0; i < index->run_count; i++) run_close(&index->runs[i]);
    free(index->runs);
    free(index);
}

uint64_t md5_index_entries(const struct md5_index *index)
{
    uint64_t n = 0;
    for (size_t i = 0; i < index->run_count; i++) n += index->runs[i].count;
    return n;
}

size_t md5_index_find(const struct md5_index *index, const uint8_t md5[MD5_BYTES], uint8_t (*sha256)[CHV_HASH_BYTES],
                      size_t most)
{
    size_t found = 0;
    for (size_t i = 0; i < index->run_count; i++) {
        const struct md5_run *run = &index->runs[i];
        uint64_t low = 0, high = run->count;
        while (low < high) {
            uint64_t mid = low + (high - low) / 2;
            if (memcmp(run->entries[mid].md5, md5, MD5_BYTES) < 0) low = mid + 1;
            else high = mid;
        }
        for (; low < run->count && memcmp(run->entries[low].md5, md5, MD5_BYTES) == 0; low++) {
            bool known = false;
            for (size_t k = 0; k < found; k++) known |= memcmp(sha256[k], run->entries[low].sha256, CHV_HASH_BYTES) == 0;
            if (!known && found < most) memcpy(sha256[found++], run->entries[low].sha256, CHV_HASH_BYTES);
        }
    }
    return found;
}

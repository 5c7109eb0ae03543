/* A store is damaged in every way one file can be: what is asked of it afterwards is answered rightly or with an error that
 * says what to do, nothing that is still there becomes unreadable, and verify names what was done. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#include "base/io.h"
#include "chronovisor/chronovisor.h"
#include "chronovisor/maintain.h"
#include "store/format.h"
#include "tests/store/script.h"
#include "tests/unit.h"

enum { EVENTS = 2000, FILES = 64 };

struct file {
    char name[64]; /* below the store */
    uint8_t *data;
    size_t bytes;
};

struct world {
    char dir[256];
    struct script script;
    uint64_t requests;
    struct file files[FILES];
    size_t file_count;
    struct chv_event events[EVENTS];
    size_t event_count;
    struct chv_extent extents[SCRIPT_SPACES][SCRIPT_BLOCKS];
};

/* What asking everything gave. */
struct answers {
    int opened;            /* or the error */
    char text[480];        /* of the last error */
    size_t errors, wrong, unreadable;
};

/* Opening a store looks again when something is wrong: a recorder may have changed it. Here nobody does. */
int usleep(__useconds_t us);
int usleep(__useconds_t us)
{
    (void)us;
    return 0;
}

static void put(const struct world *w, const char *name, const void *data, size_t bytes)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && io_real.pwrite(&io_real, fd, data, bytes, 0) == 0);
    close(fd);
}

static void gone(const struct world *w, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    unlink(path);
}

/* Put every file back as it was, and remove what was not there. */
static void restore(const struct world *w)
{
    static const char *const folders[] = {"log", "packs", "index"};
    char path[600];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", w->dir, folders[i]);
        unit_remove_tree(path);
        CHECK(mkdir(path, 0700) == 0);
    }
    for (size_t i = 0; i < w->file_count; i++) put(w, w->files[i].name, w->files[i].data, w->files[i].bytes);
}

static void take(struct world *w, const char *folder)
{
    char path[600];
    struct dirent **names;
    snprintf(path, sizeof path, "%s/%s", w->dir, folder);
    int n = scandir(path, &names, NULL, alphasort);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            struct file *f = &w->files[w->file_count++];
            char *text;
            CHECK(w->file_count <= FILES);
            snprintf(f->name, sizeof f->name, "%s/%.40s", folder, names[i]->d_name);
            snprintf(path, sizeof path, "%s/%s", w->dir, f->name);
            CHECK(io_read_file(path, 1 << 24, &text, &f->bytes) == 0);
            f->data = (uint8_t *)text;
        }
        free(names[i]);
    }
    free(names);
}

static void error(struct answers *a, long long r, const struct chv_err *err)
{
    CHECK(err->code == -r && err->text[0] && !strchr(err->text, '\n'));
    a->errors++;
    snprintf(a->text, sizeof a->text, "%s", err->text);
}

struct seen {
    uint64_t seq;
    bool found;
};

static int look(void *arg, const struct chv_event *e)
{
    struct seen *s = arg;
    s->found |= e->seq == s->seq;
    return 0;
}

/* Ask for every event, every block of every space, every content, every place of each content. `truth`: remember. */
static struct answers ask(struct world *w, bool truth)
{
    struct answers a = {0};
    struct chv_err err;
    struct chv_store *store;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count, n = 0;
    int r = a.opened = chv_store_open(w->dir, &store, &err);
    if (r < 0) {
        error(&a, r, &err);
        return a;
    }
    r = chv_cursor_open(store, 1, UINT64_MAX, &cursor, &err);
    CHECK_OK(r, err);
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) == 1)
        for (size_t i = 0; i < count; i++, n++) {
            CHECK(n < EVENTS);
            if (truth) w->events[n] = batch[i];
            else a.wrong += n >= w->event_count || memcmp(&batch[i], &w->events[n], 64) != 0;
        }
    if (r < 0) error(&a, r, &err);
    chv_cursor_close(cursor);
    if (truth) w->event_count = n;
    uint64_t last = n ? w->events[n - 1].seq : 0;
    for (int k = 0; k < SCRIPT_SPACES; k++) {
        struct chv_map *map;
        struct chv_extent x;
        uint64_t at = 0;
        if (chv_map_open(store, (uint16_t)(k + 1), 0, SCRIPT_BLOCKS, last, &map, &err) < 0) continue;
        while ((r = chv_map_next(map, &x, &err)) == 1)
            for (uint64_t b = 0; b < x.blocks; b++, at++) {
                struct chv_extent *want = &w->extents[k][at];
                if (truth) *want = x;
                else a.wrong += n == w->event_count &&
                                (x.state != want->state || (x.state == CHV_STATE_DATA && memcmp(x.hash, want->hash, 32) != 0));
            }
        if (r < 0) error(&a, r, &err);
        chv_map_close(map);
    }
    for (size_t i = 0; i < n; i++) {
        const struct chv_event *e = &w->events[i];
        struct seen seen = {e->seq, false};
        uint8_t block[512], hash[1][32];
        if (!chv_op_has_content(e->op)) continue;
        r = chv_store_read_block(store, e->hash, block, &err);
        if (r < 0) {
            error(&a, r, &err);
            a.unreadable += (e->flags & CHV_EVENT_NEW) != 0; /* each content once */
        } else {
            chv_digest_blocks(block, 512, 1, hash, NULL);
            a.wrong += memcmp(hash[0], e->hash, 32) != 0;
        }
        int64_t sightings = chv_store_sightings(store, e->hash, 0, look, &seen, &err);
        if (sightings < 0) error(&a, sightings, &err);
        else a.wrong += !seen.found;
    }
    chv_store_close(store);
    return a;
}

static uint64_t faults(const struct world *w)
{
    struct chv_err err;
    struct chv_verify_result result;
    int r = chv_store_verify(w->dir, &(struct chv_verify_options){0}, &result, &err);
    return r < 0 ? 1 : result.faults;
}

static void all_right(struct world *w, const char *what)
{
    struct answers a = ask(w, false);
    if (a.opened < 0 || a.errors || a.wrong) fprintf(stderr, "%s: %zu errors, %zu wrong: %s\n", what, a.errors, a.wrong, a.text);
    CHECK(a.opened == 0 && a.errors == 0 && a.wrong == 0);
}

static int record_on(const struct world *w, struct chv_err *err)
{
    struct chv_recorder *rec;
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 1, .segment_events = 64, .clock_ns = 1};
    int r = chv_recorder_open(w->dir, &o, &rec, err);
    return r < 0 ? r : chv_recorder_close(rec, err);
}

static void make(struct world *w)
{
    struct chv_err err;
    struct chv_recorder *rec;
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 1, .segment_events = 64, .pack_bytes = 30000, .clock_ns = 1};
    uint16_t ids[SCRIPT_SPACES];
    unit_temp_dir(w->dir);
    CHECK_OK(chv_store_create(w->dir, &(struct chv_store_config){.block_bytes = 512}, &err), err);
    CHECK_OK(chv_recorder_open(w->dir, &o, &rec, &err), err);
    CHECK_OK(script_spaces(&w->script, rec, ids, &err), err);
    for (uint64_t i = 0; i < w->requests; i += 10) {
        uint64_t ticket;
        CHECK(script_append(&w->script, rec, ids, i, i + 10, &ticket, &err) == 10);
        CHECK_OK(chv_recorder_wait(rec, ticket, &err), err);
    }
    CHECK_OK(chv_recorder_close(rec, &err), err);
    take(w, "log");
    take(w, "packs");
    take(w, "index");
    ask(w, true);
    all_right(w, "undamaged");
    CHECK(faults(w) == 0);
}

static bool is_in(const struct file *f, const char *folder)
{
    return strncmp(f->name, folder, strlen(folder)) == 0;
}

static void flip(const struct world *w, const struct file *f, size_t at, uint8_t bit)
{
    uint8_t *copy = malloc(f->bytes);
    memcpy(copy, f->data, f->bytes);
    copy[at] ^= bit;
    put(w, f->name, copy, f->bytes);
    free(copy);
}

/* Would flip() change a bit of a zstd frame that has no meaning (RFC 8878 has several), so that it decodes to the same? */
static bool unused_bit(const struct file *f, size_t at)
{
    struct pack_record rec;
    for (size_t p = sizeof(struct pack_header); p + sizeof rec < f->bytes; p += sizeof rec + rec.stored_bytes) {
        memcpy(&rec, f->data + p, sizeof rec);
        if (at < p + sizeof rec || at >= p + sizeof rec + rec.stored_bytes) continue;
        uint8_t stored[512], block[512], hash[1][32];
        if (rec.codec != CODEC_ZSTD || rec.stored_bytes > sizeof stored) return false;
        memcpy(stored, f->data + p + sizeof rec, rec.stored_bytes);
        stored[at - p - sizeof rec] ^= (uint8_t)(1 << at % 8);
        if (ZSTD_decompress(block, sizeof block, stored, rec.stored_bytes) != sizeof block) return false;
        chv_digest_blocks(block, sizeof block, 1, hash, NULL);
        return memcmp(hash[0], rec.hash, sizeof rec.hash) == 0;
    }
    return false;
}

/* One byte of a pack: that block is lost and said so; with and without an index nothing else is. */
static void pack_flips(struct world *w, bool with_index)
{
    for (size_t i = 0; i < w->file_count; i++) {
        const struct file *f = &w->files[i];
        if (!is_in(f, "packs")) continue;
        for (size_t at = 0; at < f->bytes; at += at < 130 ? 3 : 211) {
            flip(w, f, at, (uint8_t)(1 << at % 8));
            if (!with_index)
                for (size_t k = 0; k < w->file_count; k++)
                    if (is_in(&w->files[k], "index")) gone(w, w->files[k].name);
            struct answers a = ask(w, false);
            if (a.opened < 0 || a.wrong || a.unreadable > 1)
                fprintf(stderr, "%s at %zu, %s index: %zu wrong, %zu unreadable: %s\n", f->name, at, with_index ? "with" : "without",
                        a.wrong, a.unreadable, a.text);
            CHECK(a.opened == 0 && a.wrong == 0 && a.unreadable <= 1);
            CHECK(at < sizeof(struct pack_header) || a.unreadable == 1 || unused_bit(f, at));
            if (a.unreadable && with_index && f->name[13] == '1')
                CHECK(strstr(a.text, f->name) && strstr(a.text, "damaged"));
            /* but for its time, every byte of a pack is under a check */
            CHECK((at >= 40 && at < 64) || faults(w) > 0 || unused_bit(f, at));
            put(w, f->name, f->data, f->bytes);
        }
    }
    restore(w);
}

static void index_damage(struct world *w)
{
    struct chv_err err;
    size_t silent = 0;
    for (size_t i = 0; i < w->file_count; i++) {
        const struct file *f = &w->files[i];
        if (!is_in(f, "index")) continue;
        const size_t cuts[] = {0, f->bytes / 2, f->bytes - 1};
        for (int c = 0; c < 4; c++) {
            if (c < 3) put(w, f->name, f->data, cuts[c]);
            else gone(w, f->name);
            struct answers a = ask(w, false);
            if (a.opened == 0 && !a.errors) { /* no manifest, no index: the log itself is searched; its last byte is a newline */
                CHECK(c >= 2 && strstr(f->name, "manifest") && a.wrong == 0);
            } else {
                if (!strstr(a.text, "reindex")) fprintf(stderr, "%s: %s\n", f->name, a.text);
                CHECK(strstr(a.text, "reindex"));
                CHECK(faults(w) > 0);
            }
            CHECK_OK(chv_store_reindex(w->dir, NULL, NULL, &err), err);
            all_right(w, "after reindex");
            restore(w);
        }
        for (size_t at = 0; at < f->bytes; at += at >= 100 && at < 4096 ? 499 : 29) {
            flip(w, f, at, (uint8_t)(1 << at % 8));
            struct answers a = ask(w, false);
            if (a.wrong) {
                silent++;
                CHECK(faults(w) > 0);
            }
            put(w, f->name, f->data, f->bytes);
        }
    }
    printf("%zu flips in the index were only found by verify\n", silent);
    for (size_t i = 0; i < w->file_count; i++)
        if (is_in(&w->files[i], "index")) gone(w, w->files[i].name);
    all_right(w, "without index");
    char path[600];
    snprintf(path, sizeof path, "%s/index", w->dir);
    CHECK(rmdir(path) == 0);
    all_right(w, "without a folder for the index");
    CHECK_OK(record_on(w, &err), err);
    all_right(w, "after recording without a folder for the index");
    restore(w);
}

/* Of a segment and whatever was cut off it. */
static size_t log_bytes(const struct world *w, const char *name)
{
    char path[600];
    struct dirent **names;
    size_t bytes = 0;
    snprintf(path, sizeof path, "%s/log", w->dir);
    int n = scandir(path, &names, NULL, NULL);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/log/%s", w->dir, names[i]->d_name);
        if (strncmp(names[i]->d_name, name + 4, strlen(name + 4)) == 0 && stat(path, &st) == 0) bytes += (size_t)st.st_size;
        free(names[i]);
    }
    free(names);
    return bytes;
}

static bool commit_behind(const struct file *f, size_t at)
{
    struct chv_event e;
    for (size_t i = sizeof(struct segment_header); i + sizeof e <= f->bytes; i += sizeof e) {
        memcpy(&e, f->data + i, sizeof e);
        if (i > at && e.op == CHV_OP_COMMIT && e.flags & CHV_EVENT_FUA) return true;
    }
    return false;
}

static void log_damage(struct world *w)
{
    size_t segments = 0, number = 0;
    struct chv_err err;
    for (size_t i = 0; i < w->file_count; i++) segments += is_in(&w->files[i], "log");
    CHECK(segments > 3);
    for (size_t i = 0; i < w->file_count; i++) {
        const struct file *f = &w->files[i];
        if (!is_in(f, "log")) continue;
        bool last = ++number == segments;
        if (!last) {
            gone(w, f->name);
            struct answers a = ask(w, false);
            CHECK(a.opened < 0 && strstr(a.text, f->name) && strstr(a.text, "missing"));
            CHECK(record_on(w, &err) < 0 && faults(w) > 0);
            restore(w);
        }
        /* One byte: never a crash; verify finds it; a recorder that opens the store removes nothing. */
        for (size_t at = 0; at < f->bytes; at += at < 128 ? 7 : 131) {
            flip(w, f, at, (uint8_t)(1 << at % 8));
            ask(w, false);
            if (faults(w) == 0 && (!last || commit_behind(f, at))) fprintf(stderr, "%s: byte %zu flipped, verify finds nothing\n", f->name, at);
            CHECK(faults(w) > 0 || (last && !commit_behind(f, at)));
            int r = record_on(w, &err);
            if (r < 0) CHECK(err.code == -r && err.text[0]);
            if (log_bytes(w, f->name) < f->bytes) { /* only what looks torn: no COMMIT behind it */
                if (!last || commit_behind(f, at)) fprintf(stderr, "%s: recovery threw away what is behind byte %zu\n", f->name, at);
                CHECK(last && !commit_behind(f, at));
            }
            restore(w);
        }
        /* Cut off anywhere: a sealed one is missed, the tail of the last one cannot be (a checkpoint can tell). */
        for (size_t bytes = 0; bytes < f->bytes; bytes += 240) {
            put(w, f->name, f->data, bytes);
            struct answers a = ask(w, false);
            CHECK(a.wrong == 0);
            CHECK(last || (a.opened < 0 && faults(w) > 0));
            restore(w);
        }
    }
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    struct world *w = calloc(1, sizeof *w);
    w->script = (struct script){.seed = unit_seed(argc, argv), .block_bytes = 512};
    w->requests = 100;
    make(w);
    pack_flips(w, true);
    pack_flips(w, false);
    index_damage(w);
    log_damage(w);
    for (size_t i = 0; i < w->file_count; i++) free(w->files[i].data);
    unit_remove_tree(w->dir);
    free(w);
    return 0;
}

#include "cli/memory_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/files.h"

enum { PAGE = 4096, FILE_SYSTEMS_MAX = 64, BUCKETS = 1024, WHY_BYTES = 160 };
#define STALL_SECONDS 30

struct disk_fs {
    struct chv_view *view; /* of its space; owned by the first of a space's */
    bool owns_view;
    uint32_t partition;
    struct files_fs *fs;   /* opened when the first file is wanted; NULL then: it cannot be */
    bool tried;
    uint8_t uuid[16];
};

struct cached {
    struct cached *next;
    struct linux_origin origin;
    struct disk_file file;
    char why[WHY_BYTES];
};

struct memory_disk {
    struct chv_store *own;   /* --disk-store */
    struct chv_store *store; /* own, or the memory's; NULL: neither */
    uint64_t seq;
    size_t count;
    struct disk_fs fs[FILE_SYSTEMS_MAX];
    struct cached *buckets[BUCKETS];
    uint64_t cached_pages, read_bytes;
    struct cached scratch;   /* of what is not worth keeping */
    char name[160];
};

/* --- the disks ------------------------------------------------------------------------------- */

struct found {
    struct memory_disk *d;
    struct chv_view *view;
    struct files_image image;
    bool kept;
};

/* Documentation/filesystems/ext4/super.rst: at byte 1024, magic at 0x38, UUID at 0x68. */
static void add_fs(void *arg, const struct files_volume *v)
{
    struct found *f = arg;
    uint8_t super[256];
    if (strncmp(v->type, "ext", 3) != 0 || f->d->count == FILE_SYSTEMS_MAX || v->size_bytes < 2048 ||
        f->image.pread(f->image.arg, super, sizeof super, v->offset_bytes + 1024, NULL) < 0 || super[0x38] != 0x53 || super[0x39] != 0xef)
        return;
    struct disk_fs *fs = &f->d->fs[f->d->count++];
    *fs = (struct disk_fs){.view = f->view, .owns_view = !f->kept, .partition = v->partition};
    memcpy(fs->uuid, super + 0x68, sizeof fs->uuid);
    f->kept = true;
}

/* A disk that cannot be read is one on which no file is found; the first reason is kept. */
static void look_at_space(struct memory_disk *d, const struct chv_space *space, struct chv_err *why)
{
    struct chv_err err;
    struct found f = {.d = d};
    if (chv_view_open(d->store, space, d->seq, NULL, &f.view, &err) < 0) {
        if (!why->text[0]) *why = err;
        return;
    }
    f.image = files_image_of_view(f.view);
    if (files_volumes(&f.image, add_fs, &f, &err) < 0 && !why->text[0]) *why = err;
    if (!f.kept) {
        chv_view_close(f.view);
        return;
    }
    size_t at = strlen(d->name);
    if (at < sizeof d->name) snprintf(d->name + at, sizeof d->name - at, "%s%.40s", at ? ", " : "", space->name);
}

static int look_at_store(const struct cli_args *args, struct memory_disk *d, const char *name)
{
    struct chv_err err, why = {0};
    const struct chv_space *space = NULL;
    if (name && chv_store_find_space(d->store, name, &space, &err) < 0) return cli_fail(args, &err);
    for (size_t i = 0; i < chv_store_space_count(d->store); i++) {
        const struct chv_space *s = chv_store_space(d->store, i);
        if (space ? s == space : strncmp(s->name, "disk:", 5) == 0) look_at_space(d, s, &why);
    }
    if (name && d->count == 0)
        return cli_failf(args, "%s: no ext2, ext3 or ext4 file system in it as of seq:%" PRIu64 "%s%.200s", name, d->seq,
                         why.text[0] ? ": " : "", why.text);
    size_t at = strlen(d->name);
    if (at > 0 && at < sizeof d->name) snprintf(d->name + at, sizeof d->name - at, " as of seq:%" PRIu64, d->seq);
    return CLI_OK;
}

int memory_disk_open(const struct cli_args *args, struct chv_store *store, uint64_t time_ns, struct memory_disk **out)
{
    struct chv_err err;
    const char *dir = cli_value(args, "--disk-store"), *name = cli_value(args, "--disk-space");
    struct memory_disk *d = *out = calloc(1, sizeof *d);
    if (!d) return cli_failf(args, "out of memory");
    if (dir && chv_store_open(dir, &d->own, &err) < 0) return cli_fail(args, &err);
    d->store = d->own ? d->own : store;
    if (!d->store) {
        if (name || cli_value(args, "--disk-at")) return cli_failf(args, "which store is the disk in? add --disk-store DIR");
        return CLI_OK;
    }
    if (cli_value(args, "--disk-at")) {
        if (!cli_instant(args, "--disk-at", d->store, &d->seq)) return CLI_ERROR;
    } else if (chv_store_seq_at(d->store, time_ns, &d->seq, &err) < 0) {
        return cli_fail(args, &err);
    }
    return look_at_store(args, d, name);
}

/* --- the files ------------------------------------------------------------------------------- */

struct reading {
    struct disk_file *file;
    uint8_t page[PAGE];
    uint64_t at; /* bytes taken so far */
};

static void take(struct reading *r, const uint8_t *data, size_t bytes)
{
    for (size_t n; bytes > 0; bytes -= n, r->at += n) {
        size_t inside = (size_t)(r->at % PAGE);
        n = PAGE - inside < bytes ? PAGE - inside : bytes;
        if (data)
            memcpy(r->page + inside, data, n);
        else
            memset(r->page + inside, 0, n);
        if (data) data += n;
        uint16_t entropy;
        if (inside + n == PAGE) chv_digest_blocks(r->page, PAGE, 1, &r->file->hashes[r->at / PAGE], &entropy);
    }
}

/* In order of offset; what is left out is a hole. All of it is the claim of a hostile file system. */
static int take_data(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    struct reading *r = arg;
    uint64_t end = (uint64_t)r->file->pages * PAGE;
    if (offset < r->at || offset > end || bytes > end - offset) return 1;
    take(r, NULL, (size_t)(offset - r->at));
    take(r, data, bytes);
    return 0;
}

static int size_of(void *arg, const struct files_entry *e)
{
    uint64_t *size = arg;
    *size = e->size_bytes;
    return 0;
}

/* NULL, or why it cannot be compared. */
static const char *read_file(struct memory_disk *d, struct files_fs *fs, const struct linux_origin *o, struct cached *c)
{
    struct chv_err err;
    char path[32];
    uint64_t size = UINT64_MAX;
    snprintf(path, sizeof path, "inode:%" PRIu64, o->inode);
    if (files_stat(fs, path, size_of, &size, &err) < 0) goto fail;
    if (size != o->size_bytes) {
        snprintf(c->why, sizeof c->why, "on the disk it has %" PRIu64 " bytes then, in memory %" PRIu64 ": not written yet, or another file",
                 size, o->size_bytes);
        return c->why;
    }
    if (size > DISK_FILE_BYTES_MAX) return "too large";
    if (size > DISK_READ_BYTES_MAX - d->read_bytes) return "64 GiB of files were read already; choose one process";
    d->read_bytes += size;
    c->file.pages = (size_t)((size + PAGE - 1) / PAGE);
    c->file.hashes = malloc(c->file.pages * sizeof *c->file.hashes + 1);
    struct reading *r = c->file.hashes ? calloc(1, sizeof *r) : NULL;
    if (!r) return "out of memory";
    r->file = &c->file;
    int code = files_read(fs, path, true, take_data, r, NULL, &err);
    if (code == 0) take(r, NULL, (size_t)((uint64_t)c->file.pages * PAGE - r->at));
    free(r);
    if (code == 0) return NULL;
    if (code > 0) return "its blocks do not fit its size";
fail:
    snprintf(c->why, sizeof c->why, "not readable on the disk: %.120s", err.text);
    return c->why;
}

static const char *open_and_read(struct memory_disk *d, const struct linux_origin *o, struct cached *c)
{
    static const uint8_t none[16];
    struct chv_err err;
    for (size_t i = 0; i < d->count && memcmp(o->uuid, none, 16) != 0; i++) {
        struct disk_fs *f = &d->fs[i];
        if (memcmp(f->uuid, o->uuid, sizeof f->uuid) != 0) continue;
        if (!f->tried) {
            struct files_image image = files_image_of_view(f->view);
            struct files_options options = {.partition = f->partition, .no_orphans = true, .stall_seconds = STALL_SECONDS};
            f->tried = true;
            if (files_open(&image, &options, &f->fs, &err) < 0) f->fs = NULL;
        }
        return f->fs ? read_file(d, f->fs, o, c) : "its file system is not readable";
    }
    if (!d->store) return "no recorded disk was given (--disk-store)";
    if (d->count == 0) {
        snprintf(c->why, sizeof c->why, "no recorded disk can be read as of seq:%" PRIu64 " (--disk-store, --disk-at)", d->seq);
        return c->why;
    }
    snprintf(c->why, sizeof c->why, "its file system (%s%s%s) is on no recorded disk", o->type, o->device[0] ? " on " : "", o->device);
    return c->why;
}

static void drop_all(struct memory_disk *d)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct cached *c = d->buckets[i], *next; c; c = next) {
            next = c->next;
            free(c->file.hashes);
            free(c);
        }
    memset(d->buckets, 0, sizeof d->buckets);
    d->cached_pages = 0;
}

const struct disk_file *memory_disk_file(struct memory_disk *d, const struct linux_origin *o)
{
    struct cached **bucket = &d->buckets[(o->inode ^ (uint64_t)o->uuid[0] << 2) % BUCKETS];
    for (struct cached *c = *bucket; c; c = c->next)
        if (c->origin.inode == o->inode && c->origin.size_bytes == o->size_bytes && memcmp(c->origin.uuid, o->uuid, sizeof o->uuid) == 0 &&
            strcmp(c->origin.type, o->type) == 0)
            return &c->file;
    if (d->cached_pages > DISK_CACHE_PAGES) drop_all(d);
    struct cached *c = calloc(1, sizeof *c);
    if (!c) {
        d->scratch.file = (struct disk_file){.why = "out of memory"};
        return &d->scratch.file;
    }
    c->origin = *o;
    c->file.why = open_and_read(d, o, c);
    c->next = *bucket;
    *bucket = c;
    d->cached_pages += c->file.pages + 16;
    return &c->file;
}

const char *memory_disk_name(const struct memory_disk *d)
{
    return d->name;
}

struct chv_store *memory_disk_store(const struct memory_disk *d)
{
    return d->own;
}

void memory_disk_close(struct memory_disk *d)
{
    if (!d) return;
    drop_all(d);
    for (size_t i = 0; i < d->count; i++) files_close(d->fs[i].fs);
    for (size_t i = 0; i < d->count; i++)
        if (d->fs[i].owns_view) chv_view_close(d->fs[i].view);
    chv_store_close(d->own);
    free(d);
}

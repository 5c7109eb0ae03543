/* The requests: list, stat, read, owners. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/files_worker.h"

#define READ_CHUNK (256u << 10)

struct walk {
    struct worker *w;
    unsigned flags;
    const char *prefix; /* path of the directory the walk began in, without a final slash */
    int result;
    char path[FILES_MAX_PATH];
    /* owners */
    const struct lba_range *ranges;
    size_t range_count;
    uint64_t *seen; /* inodes reported with a name, sorted when `named` is over */
    size_t seen_count, seen_room;
};

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int walk_emit(struct walk *k, TSK_FS_FILE *file, const TSK_FS_ATTR *attr, const char *path)
{
    struct worker *w = k->w;
    if (w->emitted >= w->limit) {
        k->result = worker_fail(w, EOVERFLOW, "more than %llu entries", (unsigned long long)w->limit);
        return -1;
    }
    char with_stream[FILES_MAX_PATH];
    if (attr && attr->name && attr->name[0] && attr->type != TSK_FS_ATTR_TYPE_NTFS_FNAME &&
        (attr->type != TSK_FS_ATTR_TYPE_NTFS_IDXROOT || strcmp(attr->name, "$I30") != 0)) {
        if ((size_t)snprintf(with_stream, sizeof with_stream, "%s:%s", path, attr->name) >= sizeof with_stream) return 0;
        path = with_stream;
    }
    int r = worker_emit(w, path, file, attr, k->flags & FILES_LIST_RUNS, k->ranges, k->range_count);
    if (r < 0) k->result = r;
    return r;
}

/* Every entry that one name stands for: NTFS has one a stream, as fls shows them. */
static int walk_name(struct walk *k, TSK_FS_FILE *file, const char *path)
{
    bool dots = file->name && file->name->name && is_dots(file->name->name) && !(k->flags & FILES_LIST_DOTS);
    if (!TSK_FS_TYPE_ISNTFS(file->fs_info->ftype) || !file->meta) {
        const TSK_FS_ATTR *attr = NULL;
        if (k->flags & FILES_LIST_RUNS && file->meta && file->meta->type == TSK_FS_META_TYPE_REG) attr = tsk_fs_file_attr_get(file);
        tsk_error_reset();
        return dots ? 0 : walk_emit(k, file, attr, path);
    }
    int count = tsk_fs_file_attr_getsize(file), emitted = 0;
    for (int i = 0; i < count; i++) {
        const TSK_FS_ATTR *a = tsk_fs_file_attr_get_idx(file, i);
        if (!a) continue;
        bool data = a->type == TSK_FS_ATTR_TYPE_NTFS_DATA, root = a->type == TSK_FS_ATTR_TYPE_NTFS_IDXROOT;
        bool fname = a->type == TSK_FS_ATTR_TYPE_NTFS_FNAME && a->id == file->meta->time2.ntfs.fn_id &&
                     k->flags & FILES_LIST_FILE_NAMES;
        if (data || root) emitted++;
        if (!(data || root || fname) || dots) continue;
        int r = walk_emit(k, file, a, path);
        if (r < 0) return r;
    }
    tsk_error_reset();
    return emitted == 0 && !dots ? walk_emit(k, file, NULL, path) : 0;
}

static const char *walk_path(struct walk *k, const TSK_FS_FILE *file, const char *dir)
{
    int n = snprintf(k->path, sizeof k->path, "%s/%s%s", k->prefix, dir ? dir : "",
                     file->name && file->name->name ? file->name->name : "");
    return n > 0 && (size_t)n < sizeof k->path ? k->path : NULL;
}

static TSK_WALK_RET_ENUM list_one(TSK_FS_FILE *file, const char *dir, void *arg)
{
    struct walk *k = arg;
    if (!file->name || k->w->stopped) return k->w->stopped ? TSK_WALK_STOP : TSK_WALK_CONT;
    if (file->name->meta_addr == TSK_FS_ORPHANDIR_INUM(k->w->fs) && !(k->flags & FILES_LIST_DELETED)) return TSK_WALK_CONT;
    const char *path = walk_path(k, file, dir);
    if (!path) return TSK_WALK_CONT;
    return walk_name(k, file, path) < 0 ? TSK_WALK_STOP : TSK_WALK_CONT;
}

/* The file `target` means, with a name so that entries say what the directory said. NULL with w->text set. */
static TSK_FS_FILE *open_target(struct worker *w, const struct worker_target *t)
{
    TSK_FS_FILE *file = tsk_fs_file_open_meta(w->fs, NULL, t->inode);
    if (!file || !file->meta) {
        if (file) tsk_fs_file_close(file);
        worker_fail_tsk(w, EPROTO, "the metadata of this file cannot be read");
        return NULL;
    }
    if (!t->is_path) return file;
    const char *slash = strrchr(t->path, '/'), *base = slash ? slash + 1 : "";
    TSK_FS_NAME *name = calloc(1, sizeof *name);
    char *text = strdup(base);
    if (!name || !text) {
        free(name), free(text);
        tsk_fs_file_close(file);
        worker_fail(w, ENOMEM, "out of memory");
        return NULL;
    }
    *name = (TSK_FS_NAME){.tag = TSK_FS_NAME_TAG, .name = text, .name_size = strlen(text) + 1, .meta_addr = t->inode,
                          .par_addr = t->parent, .type = t->name_type, .flags = t->name_flags};
    file->name = name;
    return file;
}

int worker_list(struct worker *w, const struct wire_request *request, const char *path)
{
    struct worker_target t;
    w->limit = request->limit;
    int r = worker_resolve(w, path, &t);
    if (r < 0) return r;
    struct walk k = {.w = w, .flags = request->flags, .prefix = t.path};
    TSK_FS_FILE *file = open_target(w, &t);
    if (!file) return -EPROTO;
    bool is_dir = TSK_FS_IS_DIR_META(file->meta->type) && !t.stream[0];
    if (!is_dir) {
        const TSK_FS_ATTR *attr = t.stream[0] || t.attr_type ? worker_attr(&t, file) : NULL;
        if (t.stream[0] && !attr)
            k.result = worker_fail(w, ENOENT, "no stream '%.200s' at this instant", t.stream);
        else if (attr)
            walk_emit(&k, file, attr, t.path);
        else
            walk_name(&k, file, t.path);
        tsk_fs_file_close(file);
        return k.result;
    }
    tsk_fs_file_close(file);
    unsigned walk_flags = TSK_FS_DIR_WALK_FLAG_ALLOC;
    if (k.flags & FILES_LIST_RECURSE) walk_flags |= TSK_FS_DIR_WALK_FLAG_RECURSE;
    if (k.flags & FILES_LIST_DELETED) walk_flags |= TSK_FS_DIR_WALK_FLAG_UNALLOC;
    if (!(k.flags & FILES_LIST_DELETED) || w->options.no_orphans) walk_flags |= TSK_FS_DIR_WALK_FLAG_NOORPHAN;
    if (tsk_fs_dir_walk(w->fs, t.inode, (TSK_FS_DIR_WALK_FLAG_ENUM)walk_flags, list_one, &k) && k.result == 0)
        return worker_fail_tsk(w, EPROTO, "the directory cannot be read to its end");
    return k.result;
}

int worker_stat(struct worker *w, const char *path)
{
    struct worker_target t;
    int r = worker_resolve(w, path, &t);
    if (r < 0) return r;
    TSK_FS_FILE *file = open_target(w, &t);
    if (!file) return -EPROTO;
    const TSK_FS_ATTR *attr = worker_attr(&t, file);
    if (t.stream[0] && !attr)
        r = worker_fail(w, ENOENT, "no stream '%.200s' at this instant", t.stream);
    else {
        char shown[FILES_MAX_PATH];
        snprintf(shown, sizeof shown, "%.11000s%s%.512s", t.path[0] ? t.path : "/", t.stream[0] ? ":" : "", t.stream);
        r = worker_emit(w, shown, file, attr, true, NULL, 0);
    }
    tsk_fs_file_close(file);
    return r;
}

/* --- content ---------------------------------------------------------------------------- */

static int send_data(struct worker *w, uint64_t offset, const char *buf, size_t bytes)
{
    return worker_send(w, WIRE_DATA, &offset, sizeof offset, buf, bytes);
}

static int read_range(struct worker *w, const TSK_FS_ATTR *attr, uint64_t from, uint64_t to, char *buf)
{
    while (from < to) {
        size_t n = to - from < READ_CHUNK ? (size_t)(to - from) : READ_CHUNK;
        uint64_t failed = w->failed;
        ssize_t got = tsk_fs_attr_read(attr, (TSK_OFF_T)from, buf, n, TSK_FS_FILE_READ_FLAG_NONE);
        if (w->failed > failed) return worker_fail(w, EIO, "%s", w->failed_text);
        if (got <= 0) return worker_fail_tsk(w, EPROTO, "the content cannot be read");
        int r = send_data(w, from, buf, (size_t)got);
        if (r < 0) return r;
        from += (uint64_t)got;
    }
    return 0;
}

static int read_attr(struct worker *w, const TSK_FS_ATTR *attr)
{
    uint64_t size = attr->size > 0 ? (uint64_t)attr->size : 0;
    if (worker_send(w, WIRE_SIZE, &size, sizeof size, NULL, 0) < 0) return -EPIPE;
    if (attr->flags & TSK_FS_ATTR_ENC) return worker_fail(w, EACCES, "the content is encrypted by the file system");
    char *buf = malloc(READ_CHUNK);
    if (!buf) return worker_fail(w, ENOMEM, "out of memory");
    int r = 0;
    if (!(attr->flags & TSK_FS_ATTR_NONRES) || attr->flags & TSK_FS_ATTR_COMP || attr->nrd.skiplen > 0) {
        r = read_range(w, attr, 0, size, buf);
    } else {
        uint64_t from, bytes, covered = 0;
        for (const TSK_FS_ATTR_RUN *run = attr->nrd.run; run && r == 0; run = run->next) {
            if (__builtin_mul_overflow((uint64_t)run->offset, w->fs->block_size, &from) ||
                __builtin_mul_overflow((uint64_t)run->len, w->fs->block_size, &bytes) || from >= size)
                break;
            if (from < covered) continue; /* damage: runs out of order */
            uint64_t to = bytes < size - from ? from + bytes : size;
            covered = to;
            if (worker_run_missing(w, run))
                r = worker_fail(w, EPROTO, "part of the list of its blocks is missing, from byte %llu on", (unsigned long long)from);
            else if (!(run->flags & (TSK_FS_ATTR_RUN_FLAG_SPARSE | TSK_FS_ATTR_RUN_FLAG_FILLER)))
                r = read_range(w, attr, from, to, buf);
        }
    }
    free(buf);
    return r;
}

int worker_read(struct worker *w, const char *path, bool deleted)
{
    struct worker_target t;
    int r = worker_resolve(w, path, &t);
    if (r < 0) return r;
    if (!deleted && t.name_flags & TSK_FS_NAME_FLAG_UNALLOC)
        return worker_fail(w, ENOENT, "'%.300s' is deleted at this instant; take an earlier one, or add -d", path);
    TSK_FS_FILE *file = open_target(w, &t);
    if (!file) return -EPROTO;
    if (t.name_flags & TSK_FS_NAME_FLAG_UNALLOC && file->meta->flags & TSK_FS_META_FLAG_ALLOC)
        r = worker_fail(w, ENOENT, "'%.300s' is deleted and its inode belongs to another file now", path);
    else if (TSK_FS_IS_DIR_META(file->meta->type) && !t.stream[0] && !t.attr_type)
        r = worker_fail(w, EISDIR, "'%.300s' is a directory", path);
    else if (file->meta->type == TSK_FS_META_TYPE_LNK && file->meta->link)
        r = worker_fail(w, ELOOP, "'%.200s' is a symbolic link to '%.150s'", path, file->meta->link);
    else {
        const TSK_FS_ATTR *attr = worker_attr(&t, file);
        uint64_t zero = 0;
        if (attr)
            r = read_attr(w, attr);
        else if (t.stream[0] || t.attr_type)
            r = worker_fail(w, ENOENT, "'%.300s' has no such stream", path);
        else if (file->meta->size > 0)
            r = worker_fail(w, EPROTO, "the blocks of '%.300s' are not known (%lld bytes)", path, (long long)file->meta->size);
        else
            r = worker_send(w, WIRE_SIZE, &zero, sizeof zero, NULL, 0);
    }
    tsk_fs_file_close(file);
    return r;
}

/* --- owners ------------------------------------------------------------------------------ */

static int seen_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void owners_of(struct walk *k, TSK_FS_FILE *file, const char *path, bool named)
{
    bool ntfs = TSK_FS_TYPE_ISNTFS(file->fs_info->ftype), reported = false;
    int count = tsk_fs_file_attr_getsize(file);
    for (int i = 0; i < count; i++) {
        const TSK_FS_ATTR *a = tsk_fs_file_attr_get_idx(file, i);
        /* ext keeps indirect blocks as an attribute: they are metadata, not content */
        if (!a || (!ntfs && a->type >= TSK_FS_ATTR_TYPE_UNIX_INDIR)) continue;
        if (!worker_touches(k->w, a, k->ranges, k->range_count)) continue;
        if (walk_emit(k, file, a, path) < 0) return;
        reported = true;
    }
    tsk_error_reset();
    if (!reported || !named) return;
    if (k->seen_count == k->seen_room) {
        size_t room = k->seen_room ? 2 * k->seen_room : 1024;
        uint64_t *grown = realloc(k->seen, room * sizeof *grown);
        if (!grown) {
            k->result = worker_fail(k->w, ENOMEM, "out of memory");
            return;
        }
        k->seen = grown, k->seen_room = room;
    }
    k->seen[k->seen_count++] = file->meta->addr;
}

static TSK_WALK_RET_ENUM owner_named(TSK_FS_FILE *file, const char *dir, void *arg)
{
    struct walk *k = arg;
    if (!file->name || !file->meta || !file->name->name || is_dots(file->name->name)) return TSK_WALK_CONT;
    const char *path = walk_path(k, file, dir);
    if (path) owners_of(k, file, path, true);
    return k->result < 0 || k->w->stopped ? TSK_WALK_STOP : TSK_WALK_CONT;
}

static TSK_WALK_RET_ENUM owner_unnamed(TSK_FS_FILE *file, void *arg)
{
    struct walk *k = arg;
    bool named = file->meta && k->seen_count > 0 &&
                 bsearch(&file->meta->addr, k->seen, k->seen_count, sizeof *k->seen, seen_compare);
    if (file->meta && !named)
        owners_of(k, file, "", false);
    return k->result < 0 || k->w->stopped ? TSK_WALK_STOP : TSK_WALK_CONT;
}

int worker_owners(struct worker *w, const struct lba_range *ranges, size_t count)
{
    struct walk k = {.w = w, .flags = FILES_LIST_RUNS, .prefix = "", .ranges = ranges, .range_count = count};
    w->limit = FILES_MAX_ENTRIES;
    /* Names first: most content has one, and one pass over names also answers for FAT, whose inodes are
     * the directory entries themselves (and where a walk over all metadata reads the whole disk). */
    unsigned flags = TSK_FS_DIR_WALK_FLAG_ALLOC | TSK_FS_DIR_WALK_FLAG_UNALLOC | TSK_FS_DIR_WALK_FLAG_RECURSE |
                     TSK_FS_DIR_WALK_FLAG_NOORPHAN;
    if (tsk_fs_dir_walk(w->fs, w->fs->root_inum, (TSK_FS_DIR_WALK_FLAG_ENUM)flags, owner_named, &k) && k.result == 0)
        tsk_error_reset(); /* damaged directories: the inodes still tell */
    if (k.result == 0 && !w->stopped && !w->options.no_orphans && !TSK_FS_TYPE_ISFAT(w->fs->ftype)) {
        if (k.seen_count > 0) qsort(k.seen, k.seen_count, sizeof *k.seen, seen_compare);
        if (tsk_fs_meta_walk(w->fs, w->fs->first_inum, w->fs->last_inum,
                             TSK_FS_META_FLAG_ALLOC | TSK_FS_META_FLAG_UNALLOC | TSK_FS_META_FLAG_USED, owner_unnamed, &k) &&
            k.result == 0)
            k.result = worker_fail_tsk(w, EPROTO, "the inodes cannot be read to their end");
    }
    free(k.seen);
    return k.result;
}

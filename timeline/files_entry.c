/* One file of The Sleuth Kit as an entry of ours; and from a path to a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/files_worker.h"

static char type_char(const char table[][2], size_t entries, unsigned type)
{
    return type < entries ? table[type][0] : '-';
}

static void entry_times(struct files_entry *e, const TSK_FS_FILE *file, const TSK_FS_ATTR *attr)
{
    const TSK_FS_META *m = file->meta;
    bool ntfs = TSK_FS_TYPE_ISNTFS(file->fs_info->ftype);
    if (ntfs && attr && attr->type == TSK_FS_ATTR_TYPE_NTFS_FNAME) {
        e->flags |= FILES_FILE_NAME;
        e->seconds[FILES_M] = m->time2.ntfs.fn_mtime, e->nanoseconds[FILES_M] = (uint32_t)m->time2.ntfs.fn_mtime_nano;
        e->seconds[FILES_A] = m->time2.ntfs.fn_atime, e->nanoseconds[FILES_A] = (uint32_t)m->time2.ntfs.fn_atime_nano;
        e->seconds[FILES_C] = m->time2.ntfs.fn_ctime, e->nanoseconds[FILES_C] = (uint32_t)m->time2.ntfs.fn_ctime_nano;
        e->seconds[FILES_B] = m->time2.ntfs.fn_crtime, e->nanoseconds[FILES_B] = (uint32_t)m->time2.ntfs.fn_crtime_nano;
        return;
    }
    e->seconds[FILES_M] = m->mtime, e->nanoseconds[FILES_M] = m->mtime_nano;
    e->seconds[FILES_A] = m->atime, e->nanoseconds[FILES_A] = m->atime_nano;
    e->seconds[FILES_C] = m->ctime, e->nanoseconds[FILES_C] = m->ctime_nano;
    e->seconds[FILES_B] = m->crtime, e->nanoseconds[FILES_B] = m->crtime_nano;
    if (TSK_FS_TYPE_ISEXT(file->fs_info->ftype)) e->deleted_seconds = m->time2.ext2.dtime;
}

static bool is_stream(const TSK_FS_ATTR *attr)
{
    if (!attr || !attr->name || !attr->name[0] || attr->type == TSK_FS_ATTR_TYPE_NTFS_FNAME) return false;
    return attr->type != TSK_FS_ATTR_TYPE_NTFS_IDXROOT || strcmp(attr->name, "$I30") != 0;
}

struct run_list {
    struct files_run *runs;
    uint32_t count;
};

/* Does [lba, lba + sectors) touch one of the sorted, disjoint ranges? Returns it, or NULL. */
static const struct lba_range *range_touched(const struct lba_range *ranges, size_t count, uint64_t lba, uint64_t sectors)
{
    size_t low = 0, high = count;
    while (low < high) { /* the first range that ends after lba */
        size_t middle = (low + high) / 2;
        if (ranges[middle].lba + ranges[middle].sectors > lba)
            high = middle;
        else
            low = middle + 1;
    }
    return low < count && ranges[low].lba < lba + sectors ? &ranges[low] : NULL;
}

/* The place of a run in the space; false when it lies outside (damage). */
static bool run_place(const struct worker *w, const TSK_FS_ATTR_RUN *r, uint64_t *lba, uint64_t *bytes)
{
    uint64_t at;
    if (__builtin_mul_overflow((uint64_t)r->len, w->fs->block_size, bytes) || *bytes > (uint64_t)INT64_MAX ||
        __builtin_mul_overflow((uint64_t)r->addr, w->fs->block_size, &at) ||
        __builtin_add_overflow(at, (uint64_t)w->fs->offset, &at))
        return false;
    *lba = at / WORKER_SECTOR;
    return at < w->size_bytes;
}

static bool run_is_hole(const TSK_FS_ATTR_RUN *r)
{
    return (r->flags & (TSK_FS_ATTR_RUN_FLAG_SPARSE | TSK_FS_ATTR_RUN_FLAG_FILLER)) != 0;
}

bool worker_run_missing(const struct worker *w, const TSK_FS_ATTR_RUN *r)
{
    return TSK_FS_TYPE_ISNTFS(w->fs->ftype) && r->flags & TSK_FS_ATTR_RUN_FLAG_FILLER;
}

bool worker_touches(const struct worker *w, const TSK_FS_ATTR *attr, const struct lba_range *ranges, size_t count)
{
    if (!(attr->flags & TSK_FS_ATTR_NONRES)) return false;
    uint64_t lba, bytes, n = 0;
    for (const TSK_FS_ATTR_RUN *r = attr->nrd.run; r && n < FILES_MAX_RUNS * 16ull; r = r->next, n++)
        if (!run_is_hole(r) && run_place(w, r, &lba, &bytes) && range_touched(ranges, count, lba, bytes / WORKER_SECTOR))
            return true;
    return false;
}

static void run_add(struct run_list *list, struct files_entry *e, struct files_run run)
{
    struct files_run *last = list->count > 0 ? &list->runs[list->count - 1] : NULL;
    if (last && last->sparse == run.sparse && last->offset_bytes + last->bytes == run.offset_bytes &&
        (run.sparse || last->lba + last->bytes / WORKER_SECTOR == run.lba))
        last->bytes += run.bytes;
    else if (list->count < FILES_MAX_RUNS)
        list->runs[list->count++] = run;
    else
        e->flags |= FILES_RUNS_CUT;
}

/* Part of the run inside each range. */
static void run_add_cut(struct run_list *list, struct files_entry *e, struct files_run run, const struct lba_range *ranges,
                        size_t count)
{
    uint64_t end = run.lba + run.bytes / WORKER_SECTOR;
    const struct lba_range *r = run.sparse ? NULL : range_touched(ranges, count, run.lba, end - run.lba);
    for (; r && r < ranges + count && r->lba < end; r++) {
        uint64_t from = r->lba > run.lba ? r->lba : run.lba, to = r->lba + r->sectors < end ? r->lba + r->sectors : end;
        run_add(list, e, (struct files_run){.offset_bytes = run.offset_bytes + (from - run.lba) * WORKER_SECTOR,
                                            .lba = from,
                                            .bytes = (to - from) * WORKER_SECTOR});
    }
}

static void entry_runs(struct worker *w, struct files_entry *e, const TSK_FS_ATTR *attr, struct run_list *list,
                       const struct lba_range *ranges, size_t range_count)
{
    if (!w->runs) w->runs = malloc(FILES_MAX_RUNS * sizeof *w->runs);
    list->runs = w->runs;
    if (!list->runs || !(attr->flags & TSK_FS_ATTR_NONRES)) return;
    uint64_t checked = 0, n = 0;
    for (const TSK_FS_ATTR_RUN *r = attr->nrd.run; r && n < FILES_MAX_RUNS * 16ull; r = r->next, n++) {
        struct files_run run = {.sparse = run_is_hole(r)};
        if (worker_run_missing(w, r)) e->flags |= FILES_INCOMPLETE;
        if (__builtin_mul_overflow((uint64_t)r->offset, w->fs->block_size, &run.offset_bytes)) break;
        if (!run_place(w, r, &run.lba, &run.bytes) && !run.sparse) {
            e->flags |= FILES_INCOMPLETE;
            continue;
        }
        if (run.sparse) run.lba = 0;
        /* Runs end with the last block; do not claim gigabytes that a damaged list claims. */
        uint64_t allocated = ((uint64_t)attr->size + w->fs->block_size - 1) / w->fs->block_size * w->fs->block_size;
        if (run.offset_bytes >= allocated && allocated > 0 && run.sparse) continue;
        if (e->flags & FILES_META_DELETED && !run.sparse && !(e->flags & FILES_REUSED))
            for (TSK_DADDR_T b = 0; b < r->len && checked < FILES_MAX_RUNS; b++, checked++)
                if (r->addr + b <= w->fs->last_block && (w->fs->block_getflags(w->fs, r->addr + b) & TSK_FS_BLOCK_FLAG_ALLOC)) {
                    e->flags |= FILES_REUSED;
                    break;
                }
        if (ranges)
            run_add_cut(list, e, run, ranges, range_count);
        else
            run_add(list, e, run);
    }
}

int worker_emit(struct worker *w, const char *path, TSK_FS_FILE *file, const TSK_FS_ATTR *attr, bool runs,
                const struct lba_range *ranges, size_t range_count)
{
    struct wire_entry wire = {0};
    struct files_entry *e = &wire.entry;
    const TSK_FS_NAME *name = file->name;
    const TSK_FS_META *meta = file->meta;
    struct run_list list = {0};
    e->name_type = name ? type_char(tsk_fs_name_type_str, TSK_FS_NAME_TYPE_STR_MAX, name->type) : '-';
    e->type = '-';
    e->inode = name ? name->meta_addr : meta ? meta->addr : 0;
    e->parent_inode = name ? name->par_addr : 0;
    if (name && name->flags & TSK_FS_NAME_FLAG_UNALLOC) e->flags |= FILES_NAME_DELETED;
    if (attr && TSK_FS_TYPE_ISNTFS(w->fs->ftype)) {
        e->flags |= FILES_HAS_ATTR;
        e->attr_type = attr->type;
        e->attr_id = attr->id;
    }
    if (is_stream(attr)) e->flags |= FILES_STREAM;
    if (meta) {
        e->flags |= FILES_HAS_META;
        if (meta->flags & TSK_FS_META_FLAG_UNALLOC) e->flags |= FILES_META_DELETED;
        e->type = type_char(tsk_fs_meta_type_str, TSK_FS_META_TYPE_STR_MAX, meta->type);
        e->mode = (uint32_t)meta->mode & 07777;
        e->uid = meta->uid;
        e->gid = meta->gid;
        e->links = (uint32_t)meta->nlink;
        TSK_OFF_T size = attr && TSK_FS_TYPE_ISNTFS(w->fs->ftype) ? attr->size : meta->size;
        e->size_bytes = size > 0 ? (uint64_t)size : 0;
        entry_times(e, file, attr);
    }
    if (attr) {
        if (attr->flags & TSK_FS_ATTR_COMP) e->flags |= FILES_COMPRESSED;
        if (attr->flags & TSK_FS_ATTR_ENC) e->flags |= FILES_ENCRYPTED;
        if (attr->flags & TSK_FS_ATTR_RES) e->flags |= FILES_RESIDENT;
        if (runs) entry_runs(w, e, attr, &list, ranges, range_count);
    }
    const char *link = meta && meta->type == TSK_FS_META_TYPE_LNK ? meta->link : NULL;
    wire.path_bytes = (uint32_t)strlen(path) + 1;
    wire.link_bytes = link ? (uint32_t)strnlen(link, FILES_MAX_PATH - 1) + 1 : 0;
    wire.run_count = list.count;
    size_t tail_bytes = wire.path_bytes + wire.link_bytes + list.count * sizeof *list.runs;
    char *tail = malloc(tail_bytes);
    int r = -ENOMEM;
    if (tail) {
        memcpy(tail, path, wire.path_bytes);
        if (link) snprintf(tail + wire.path_bytes, wire.link_bytes, "%s", link);
        if (list.count > 0) memcpy(tail + wire.path_bytes + wire.link_bytes, list.runs, list.count * sizeof *list.runs);
        r = worker_send(w, WIRE_ENTRY, &wire, sizeof wire, tail, tail_bytes);
    } else {
        worker_fail(w, ENOMEM, "out of memory");
    }
    free(tail);
    w->emitted++;
    return r;
}

const TSK_FS_ATTR *worker_attr(const struct worker_target *target, TSK_FS_FILE *file)
{
    const TSK_FS_ATTR *attr = NULL;
    bool ntfs = TSK_FS_TYPE_ISNTFS(file->fs_info->ftype);
    if (target->stream[0]) {
        int count = tsk_fs_file_attr_getsize(file);
        for (int i = 0; i < count && !attr; i++) {
            const TSK_FS_ATTR *a = tsk_fs_file_attr_get_idx(file, i);
            if (a && is_stream(a) && strcasecmp(a->name, target->stream) == 0) attr = a;
        }
    } else if (target->attr_type != 0) {
        attr = tsk_fs_file_attr_get_type(file, (TSK_FS_ATTR_TYPE_ENUM)target->attr_type, (uint16_t)target->attr_id,
                                         target->attr_id >= 0);
    } else if (ntfs && file->meta && TSK_FS_IS_DIR_META(file->meta->type)) {
        attr = tsk_fs_file_attr_get_type(file, TSK_FS_ATTR_TYPE_NTFS_IDXROOT, 0, 0);
    } else {
        attr = tsk_fs_file_attr_get(file);
    }
    if (!attr) tsk_error_reset();
    return attr;
}

/* "inode:N" or "inode:N-TYPE-ID" */
static int resolve_inode(struct worker *w, const char *text, struct worker_target *t)
{
    unsigned long long numbers[3] = {0};
    int count = 0;
    const char *p = text + strlen("inode:");
    for (char *end; count < 3 && *p >= '0' && *p <= '9'; p = end + 1) {
        numbers[count++] = strtoull(p, &end, 10);
        if (*end != '-') {
            p = end;
            break;
        }
    }
    const unsigned long long inode = numbers[0], type = numbers[1], id = numbers[2];
    if (count == 0 || *p || p[-1] == '-')
        return worker_fail(w, EINVAL, "'%.100s' is not inode:NUMBER or inode:NUMBER-TYPE-ID", text);
    if (inode < w->fs->first_inum || inode > w->fs->last_inum)
        return worker_fail(w, ENOENT, "there is no inode %llu; they go from %llu to %llu", inode,
                           (unsigned long long)w->fs->first_inum, (unsigned long long)w->fs->last_inum);
    t->inode = inode;
    t->attr_type = (uint32_t)type;
    t->attr_id = count == 3 ? (int)(id & 0xffff) : -1;
    snprintf(t->path, sizeof t->path, "%s", text);
    return 0;
}

/* Find `name` in a directory: an exact name before one that differs in case only (where the file system
 * does not mind case), one in use before a deleted one. Returns the index, or -1. */
static ssize_t dir_find(struct worker *w, const TSK_FS_DIR *dir, const char *name)
{
    ssize_t best = -1;
    int best_score = 0;
    for (size_t i = 0; i < dir->names_used; i++) {
        const TSK_FS_NAME *n = &dir->names[i];
        if (!n->name) continue;
        int score = strcmp(n->name, name) == 0                                    ? 3
                    : w->fs->name_cmp(w->fs, n->name, name) == 0                  ? 2
                    : n->shrt_name && w->fs->name_cmp(w->fs, n->shrt_name, name) == 0 ? 1
                                                                                  : 0;
        if (score == 0) continue;
        if (n->flags & TSK_FS_NAME_FLAG_ALLOC) score += 4;
        if (n->meta_addr != 0) score += 8; /* a deleted name that still says where */
        if (score > best_score) best_score = score, best = (ssize_t)i;
    }
    return best;
}

int worker_resolve(struct worker *w, const char *path, struct worker_target *t)
{
    *t = (struct worker_target){.attr_id = -1, .inode = w->fs->root_inum, .parent = w->fs->root_inum,
                                .name_flags = TSK_FS_NAME_FLAG_ALLOC, .name_type = TSK_FS_NAME_TYPE_DIR};
    if (strncmp(path, "inode:", 6) == 0) return resolve_inode(w, path, t);
    t->is_path = true;
    if (strlen(path) >= 4096) return worker_fail(w, ENAMETOOLONG, "the path is longer than 4095 bytes");
    const char *p = path;
    size_t used = 0;
    for (unsigned depth = 0;; depth++) {
        while (*p == '/') p++;
        if (!*p) break;
        if (depth >= 256) return worker_fail(w, ENAMETOOLONG, "the path has more than 256 parts");
        size_t n = strcspn(p, "/");
        char part[4096];
        memcpy(part, p, n);
        part[n] = 0;
        p += n;
        char *colon = TSK_FS_TYPE_ISNTFS(w->fs->ftype) && !p[strspn(p, "/")] ? strchr(part, ':') : NULL;
        TSK_FS_DIR *dir = tsk_fs_dir_open_meta(w->fs, t->inode);
        if (!dir || !dir->fs_file || !dir->fs_file->meta || !TSK_FS_IS_DIR_META(dir->fs_file->meta->type)) {
            if (dir) tsk_fs_dir_close(dir);
            tsk_error_reset();
            return worker_fail(w, ENOENT, "no '%.300s': '%.60s' is not a directory that can be read", path, t->path[0] ? t->path : "/");
        }
        ssize_t i = dir_find(w, dir, part);
        if (i < 0 && colon) {
            snprintf(t->stream, sizeof t->stream, "%s", colon + 1);
            *colon = 0;
            i = part[0] ? dir_find(w, dir, part) : -1;
        }
        if (i < 0) {
            tsk_fs_dir_close(dir);
            return worker_fail(w, ENOENT, "no '%.300s' at this instant", path);
        }
        const TSK_FS_NAME *found = &dir->names[i];
        t->parent = t->inode;
        t->inode = found->meta_addr;
        t->name_flags = found->flags;
        t->name_type = found->type;
        int more = snprintf(t->path + used, sizeof t->path - used, "/%s", found->name);
        tsk_fs_dir_close(dir);
        if (more < 0 || (size_t)more >= sizeof t->path - used) return worker_fail(w, ENAMETOOLONG, "the path is too long");
        used += (size_t)more;
    }
    return 0;
}

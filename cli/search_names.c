/* The name that content had: the owner of its blocks in the file system of that time.
 *
 * Data reaches a disk before the metadata that names it (ext4 commits every 5 seconds), and loses its name before it
 * is overwritten. So a little after it had all arrived is asked first, then the end of that time, then its beginning. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/search_print.h"
#include "timeline/files.h"

#define SETTLED_NS (UINT64_C(40) * 1000000000) /* past writeback (30 s) and a journal commit */
#define RANGES_MAX 4096

struct owner {
    char *path;
    uint64_t bytes;
    bool deleted;
};

static int keep_owner(void *arg, const struct files_entry *e)
{
    struct owner *best = arg;
    bool deleted = e->flags & (FILES_NAME_DELETED | FILES_META_DELETED);
    uint64_t bytes = 0;
    for (size_t i = 0; i < e->run_count; i++) bytes += e->runs[i].bytes;
    bool named = e->path[0] != 0;
    bool better = !best->path || (best->deleted && !deleted) || (best->deleted == deleted && bytes > best->bytes);
    if (!better || bytes == 0) return 0;
    char inode[48];
    snprintf(inode, sizeof inode, "inode:%llu", (unsigned long long)e->inode);
    char *path = strdup(named ? e->path : inode);
    if (!path) return 0;
    free(best->path);
    *best = (struct owner){path, bytes, deleted};
    return 0;
}

struct pick {
    uint64_t byte;
    uint32_t partition;
};

static void pick_partition(void *arg, const struct files_volume *v)
{
    struct pick *pick = arg;
    if (v->type[0] && v->offset_bytes <= pick->byte && pick->byte - v->offset_bytes < v->size_bytes)
        pick->partition = v->partition;
}

static void owner_at(struct chv_store *store, const struct search_candidate *c, uint64_t seq,
                     const struct lba_range *ranges, size_t count, struct owner *owner)
{
    const struct chv_space *space = chv_store_space_by_id(store, c->space);
    struct chv_err err;
    struct chv_view *view;
    struct files_fs *fs;
    /* a name is worth having from a view with holes too */
    struct chv_view_options view_options = {.zero_unknown = true};
    if (!space || chv_view_open(store, space, seq, &view_options, &view, &err) < 0) return;
    struct files_image image = files_image_of_view(view);
    struct files_options options = {.stall_seconds = 20};
    int r = files_open(&image, &options, &fs, &err);
    if (r == -ENOTUNIQ) {
        struct pick pick = {.byte = ranges[0].lba * CHV_SECTOR_BYTES};
        if (files_volumes(&image, pick_partition, &pick, &err) >= 0 && pick.partition) {
            options.partition = pick.partition;
            r = files_open(&image, &options, &fs, &err);
        }
    }
    if (r >= 0) {
        files_owners(fs, ranges, count, keep_owner, owner, &err);
        files_close(fs);
    }
    chv_view_close(view);
}

char *search_name(struct chv_store *store, const struct search_candidate *c)
{
    uint64_t unit = chv_store_block_bytes(store) / CHV_SECTOR_BYTES, last, settled;
    struct chv_store_info info;
    struct chv_err err;
    chv_store_info(store, &info);
    last = c->best_end_seq == SEARCH_STILL ? info.last_seq : c->best_end_seq;
    if (chv_store_seq_at(store, c->best_from_ns + SETTLED_NS, &settled, &err) < 0 || settled > last) settled = last;
    struct lba_range *ranges = malloc(RANGES_MAX * sizeof *ranges);
    size_t count = 0;
    for (size_t i = 0; ranges && i < c->span_count && count < RANGES_MAX; i++) {
        const struct search_span *s = &c->spans[i];
        if (s->from_seq_last <= c->best_seq && c->best_seq < s->to_seq)
            ranges[count++] = (struct lba_range){s->sector, s->blocks * unit};
    }
    struct owner owner = {0};
    uint64_t tries[] = {settled, last, c->best_seq};
    for (size_t i = 0; i < 3 && count > 0 && (!owner.path || owner.deleted); i++) {
        bool again = (i > 0 && tries[i] == tries[0]) || (i > 1 && tries[i] == tries[1]);
        if (!again && tries[i] >= info.pruned_before_seq) owner_at(store, c, tries[i], ranges, count, &owner);
    }
    free(ranges);
    if (owner.path && owner.deleted) {
        size_t bytes = strlen(owner.path) + sizeof " (deleted)";
        char *marked = malloc(bytes);
        if (marked) snprintf(marked, bytes, "%s (deleted)", owner.path);
        free(owner.path);
        return marked;
    }
    return owner.path;
}

/* What an attack touched: the blocks changed since it began, and the files they belong to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chronovisor/timeline.h"
#include "cli/alarm.h"
#include "timeline/files.h"

#define PARTITIONS_MAX 16
#define STALL_SECONDS 10

struct touched {
    uint64_t *block;
    size_t count;
    bool more;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void add_range(struct touched *t, uint64_t first, uint64_t blocks)
{
    for (uint64_t b = first; b < first + blocks; b++) {
        if (t->count == ALARM_BLOCKS_MAX) {
            t->more = true;
            return;
        }
        t->block[t->count++] = b;
    }
}

static void sort_unique(struct touched *t)
{
    size_t kept = 0;
    qsort(t->block, t->count, sizeof *t->block, by_number);
    for (size_t i = 0; i < t->count; i++)
        if (kept == 0 || t->block[kept - 1] != t->block[i]) t->block[kept++] = t->block[i];
    t->count = kept;
}

static bool collect(const struct chv_store *store, uint16_t space, uint64_t first_seq, uint64_t last_seq, struct touched *t)
{
    struct chv_err err;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint32_t unit = chv_store_block_bytes(store) / CHV_SECTOR_BYTES;
    t->block = malloc(ALARM_BLOCKS_MAX * sizeof *t->block);
    if (!t->block || chv_cursor_open(store, first_seq, last_seq, &cursor, &err) < 0) return false;
    while (chv_cursor_next(cursor, &batch, &count, &err) > 0)
        for (size_t i = 0; i < count; i++) {
            const struct chv_event *e = &batch[i];
            bool change = e->op == CHV_OP_WRITE || e->op == CHV_OP_ZERO || e->op == CHV_OP_TRIM;
            if (e->space != space || !change || e->flags & CHV_EVENT_REWIND) continue;
            uint64_t blocks = (e->sectors + (uint64_t)unit - 1) / unit;
            /* the same blocks again take no room; with little left, not once an event */
            if (t->count + blocks > ALARM_BLOCKS_MAX) {
                sort_unique(t);
                t->more = t->count > ALARM_BLOCKS_MAX / 4 * 3;
            }
            if (!t->more) add_range(t, chv_event_lba(e) / unit, blocks);
            if (t->more) goto out;
        }
out:
    chv_cursor_close(cursor);
    sort_unique(t);
    return true;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

struct names {
    json_t *paths; /* an array, each once */
    json_t *seen;  /* an object, for "each once" */
    uint64_t more;
    uint32_t partition[PARTITIONS_MAX];
    size_t partitions;
};

static int keep_name(void *arg, const struct files_entry *e)
{
    struct names *n = arg;
    char *path = NULL;
    bool deleted = e->flags & (FILES_NAME_DELETED | FILES_META_DELETED);
    if (!e->path[0] || e->type == 'd' || e->type == 'v') return 0; /* directories and the file system's own */
    if (asprintf(&path, "%s%s", e->path, deleted ? " (deleted)" : "") < 0) return 0;
    json_t *text = json_string(path); /* NULL when it is no UTF-8 */
    if (text && json_object_get(n->seen, path)) {
        json_decref(text);
    } else if (text && json_array_size(n->paths) < ALARM_FILES_MAX) {
        json_object_set_new(n->seen, path, json_true());
        json_array_append_new(n->paths, text);
    } else {
        json_decref(text);
        n->more++;
    }
    free(path);
    return 0;
}

static void keep_partition(void *arg, const struct files_volume *v)
{
    struct names *n = arg;
    if (v->type[0] && n->partitions < PARTITIONS_MAX) n->partition[n->partitions++] = v->partition;
}

/* The owners of these ranges as of seq, in every file system there is. */
static void owners(struct chv_store *store, const struct chv_space *space, uint64_t seq, const struct lba_range *ranges,
                   size_t count, struct names *names)
{
    struct chv_err err;
    struct chv_view *view;
    struct chv_view_options options = {.zero_unknown = true};
    if (chv_view_open(store, space, seq, &options, &view, &err) < 0) return;
    struct files_image image = files_image_of_view(view);
    if (files_volumes(&image, keep_partition, names, &err) < 0 || names->partitions == 0) names->partitions = 0;
    for (size_t i = 0; i < names->partitions; i++) {
        struct files_options fo = {.partition = names->partition[i], .stall_seconds = STALL_SECONDS, .no_orphans = true};
        struct files_fs *fs;
        if (files_open(&image, &fo, &fs, &err) < 0) continue;
        files_owners(fs, ranges, count, keep_name, names, &err);
        files_close(fs);
    }
    chv_view_close(view);
}

static void add_names(json_t *alarm, const char *key, struct chv_store *store, const struct chv_space *space, uint64_t seq,
                      const struct lba_range *ranges, size_t count)
{
    struct names names = {.paths = json_array(), .seen = json_object()};
    char more[64];
    owners(store, space, seq, ranges, count, &names);
    json_object_set_new(alarm, key, names.paths);
    snprintf(more, sizeof more, "%s_more", key);
    if (names.more) json_object_set_new(alarm, more, json_integer((json_int_t)names.more));
    json_decref(names.seen);
}

void alarm_touched(json_t *alarm, struct chv_store *store, const struct chv_space *space, bool files)
{
    struct chv_store_info info;
    struct touched t = {0};
    uint64_t began = (uint64_t)json_integer_value(json_object_get(alarm, "began_seq"));
    uint64_t clean = (uint64_t)json_integer_value(json_object_get(json_object_get(alarm, "clean"), "seq"));
    uint32_t unit = chv_store_block_bytes(store) / CHV_SECTOR_BYTES;
    chv_store_info(store, &info);
    struct lba_range *ranges = NULL;
    if (!collect(store, space->id, began ? began : 1, info.last_seq, &t)) goto out;
    json_object_set_new(alarm, "blocks", json_integer((json_int_t)t.count));
    json_object_set_new(alarm, "bytes", json_integer((json_int_t)t.count * chv_store_block_bytes(store)));
    if (t.more) json_object_set_new(alarm, "blocks_more", json_true());
    json_object_set_new(alarm, "up_to_seq", json_integer((json_int_t)info.last_seq));
    if (!files || t.count == 0 || !(ranges = malloc(t.count * sizeof *ranges))) goto out;
    size_t count = 0;
    for (size_t i = 0; i < t.count; i++) {
        if (count > 0 && ranges[count - 1].lba + ranges[count - 1].sectors == t.block[i] * unit)
            ranges[count - 1].sectors += unit;
        else
            ranges[count++] = (struct lba_range){t.block[i] * unit, unit};
    }
    /* whose content was there before, and whose is there now: the file system writes its own records later */
    if (clean) add_names(alarm, "files_hit", store, space, clean, ranges, count);
    add_names(alarm, "files_written", store, space, info.last_seq, ranges, count);
out:
    free(ranges);
    free(t.block);
}

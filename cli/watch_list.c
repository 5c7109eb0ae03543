#include "cli/watch_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search/hash_list.h"

struct watch_list {
    struct watch_entry *entry; /* sorted by hash, each once */
    size_t count, room;
    char *names;
    size_t name_bytes, name_room;
};

static int by_hash(const void *a, const void *b)
{
    return memcmp(((const struct watch_entry *)a)->hash, ((const struct watch_entry *)b)->hash, CHV_HASH_BYTES);
}

static bool grow(void **p, size_t *room, size_t want, size_t unit)
{
    if (want <= *room) return true;
    size_t next = *room ? 2 * *room : 1024;
    while (next < want) next *= 2;
    void *more = realloc(*p, next * unit);
    if (!more) return false;
    *p = more;
    *room = next;
    return true;
}

static int add(struct watch_list *w, const char *path, const struct hash_entry *e, struct chv_err *err)
{
    size_t length = strlen(e->name) + 1;
    if (w->count == WATCH_ENTRIES_MAX)
        return chv_err_set(err, E2BIG, "%s:%llu: more than %u hashes", path, (unsigned long long)e->line, WATCH_ENTRIES_MAX);
    if (!grow((void **)&w->entry, &w->room, w->count + 1, sizeof *w->entry)) return chv_err_set(err, ENOMEM, "out of memory");
    struct watch_entry *to = &w->entry[w->count++];
    memcpy(to->hash, e->sha256, CHV_HASH_BYTES);
    to->line = (uint32_t)(e->line < UINT32_MAX ? e->line : UINT32_MAX);
    to->name = 0;
    if (length == 1 || w->name_bytes + length > WATCH_NAME_BYTES_MAX) return 0;
    if (!grow((void **)&w->names, &w->name_room, w->name_bytes + length, 1)) return chv_err_set(err, ENOMEM, "out of memory");
    to->name = (uint32_t)w->name_bytes;
    memcpy(w->names + w->name_bytes, e->name, length);
    w->name_bytes += length;
    return 0;
}

static void sort_unique(struct watch_list *w)
{
    size_t kept = 0;
    qsort(w->entry, w->count, sizeof *w->entry, by_hash);
    for (size_t i = 0; i < w->count; i++)
        if (kept == 0 || by_hash(&w->entry[kept - 1], &w->entry[i]) != 0) w->entry[kept++] = w->entry[i];
    w->count = kept;
}

int watch_list_load(const char *path, uint32_t block_bytes, struct watch_list **out, uint64_t *ignored, struct chv_err *err)
{
    FILE *in = fopen(path, "re");
    if (!in) return chv_err_set(err, errno, "--watch %s: %s", path, strerror(errno));
    struct watch_list *w = calloc(1, sizeof *w);
    struct hash_list *list = hash_list_new(in, path, block_bytes);
    struct hash_entry e;
    int r = w && list && grow((void **)&w->names, &w->name_room, 1, 1) ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) w->names[0] = 0, w->name_bytes = 1;
    *ignored = 0;
    while (r == 0 && (r = hash_list_next(list, &e, err)) > 0) {
        bool useful = e.has_sha256 && !e.too_short;
        *ignored += !useful;
        r = useful ? add(w, path, &e, err) : 0;
    }
    hash_list_free(list);
    fclose(in);
    if (r == 0 && w->count == 0) r = chv_err_set(err, EINVAL, "--watch %s: no SHA-256 of a block in it", path);
    if (r < 0) {
        watch_list_free(w);
        return r;
    }
    sort_unique(w);
    *out = w;
    return 0;
}

void watch_list_free(struct watch_list *w)
{
    if (!w) return;
    free(w->entry);
    free(w->names);
    free(w);
}

size_t watch_list_count(const struct watch_list *w)
{
    return w->count;
}

const struct watch_entry *watch_list_find(const struct watch_list *w, const uint8_t hash[CHV_HASH_BYTES])
{
    return bsearch(hash, w->entry, w->count, sizeof *w->entry, by_hash); /* the hash comes first in an entry */
}

const char *watch_list_name(const struct watch_list *w, const struct watch_entry *entry)
{
    return w->names + entry->name;
}

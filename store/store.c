/* The simple questions: info, spaces, one event, an instant, one block's content. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/snapshot.h"

static uint64_t folder_bytes(const struct meta *meta, const char *folder, const char *suffix,
                             void (*path_of)(const struct meta *, uint64_t, char *), uint64_t *files)
{
    uint64_t *numbers, count, bytes = 0;
    *files = 0;
    if (meta_list(meta, folder, suffix, &numbers, &count, NULL) < 0) return 0;
    for (uint64_t i = 0; i < count; i++) {
        char path[STORE_PATH_BYTES];
        struct stat st;
        path_of(meta, numbers[i], path);
        if (stat(path, &st) == 0) bytes += (uint64_t)st.st_size;
    }
    free(numbers);
    *files = count;
    return bytes;
}

void chv_store_info(const struct chv_store *s, struct chv_store_info *out)
{
    *out = (struct chv_store_info){
        .block_bytes = s->meta.block_bytes,
        .first_seq = s->first_seq,
        .last_seq = s->last_seq,
        .first_time_ns = s->first_time_ns,
        .last_time_ns = s->last_time_ns,
        .pruned_before_seq = s->pruned_before_seq,
        .index_bytes = index_bytes(s->index),
        .unindexed_events = s->tail_events,
        .is_signed = s->meta.is_signed,
    };
    out->log_bytes = folder_bytes(&s->meta, "log", ".seg", meta_segment_path, &out->segments);
    out->pack_bytes = folder_bytes(&s->meta, "packs", ".pack", meta_pack_path, &out->packs);
    memcpy(out->uuid, s->meta.uuid, 16);
    memcpy(out->public_key, s->meta.public_key, 32);
}

const char *chv_store_dir(const struct chv_store *s)
{
    return s->meta.dir;
}

uint32_t chv_store_block_bytes(const struct chv_store *s)
{
    return s->meta.block_bytes;
}

size_t chv_store_space_count(const struct chv_store *s)
{
    return s->space_count;
}

const struct chv_space *chv_store_space(const struct chv_store *s, size_t index)
{
    return index < s->space_count ? &s->spaces[index] : NULL;
}

const struct chv_space *chv_store_space_by_id(const struct chv_store *s, uint16_t id)
{
    for (size_t i = 0; i < s->space_count; i++)
        if (s->spaces[i].id == id) return &s->spaces[i];
    return NULL;
}

static void space_names(const struct chv_store *s, char *text, size_t room)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < s->space_count && used + CHV_SPACE_NAME_BYTES + 8 < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%s", i ? ", " : "", s->spaces[i].name);
}

/* Spaces in which sensors keep what they have to say about the others: nobody means those without naming them. */
static bool describes(const struct chv_space *space)
{
    return strcmp(space->name, "wire") == 0 || strncmp(space->name, "capture:", 8) == 0;
}

int chv_store_find_space(const struct chv_store *s, const char *name, const struct chv_space **out, struct chv_err *err)
{
    char names[300];
    space_names(s, names, sizeof names);
    if (s->space_count == 0) return chv_err_set(err, ENOENT, "%s: nothing has been recorded yet", s->meta.dir);
    if (!name || !*name) {
        size_t only = 0, recorded = 0;
        for (size_t i = 0; i < s->space_count; i++)
            if (!describes(&s->spaces[i])) {
                only = i;
                recorded++;
            }
        if (recorded > 1 || (recorded == 0 && s->space_count > 1))
            return chv_err_set(err, EINVAL, "%s has several spaces; give --space NAME (%s)", s->meta.dir, names);
        *out = &s->spaces[only];
        return 0;
    }
    for (size_t i = 0; i < s->space_count; i++)
        if (strcmp(s->spaces[i].name, name) == 0) {
            *out = &s->spaces[i];
            return 0;
        }
    return chv_err_set(err, ENOENT, "no space '%.40s' in %s; it has %s", name, s->meta.dir, names);
}

int chv_store_event(const struct chv_store *s, uint64_t seq, struct chv_event *out, struct chv_err *err)
{
    int64_t segment = snapshot_segment_of(s, seq);
    int64_t at = segment < 0 ? -1 : snapshot_position(s, (size_t)segment, seq, err);
    int64_t n = at < 0 ? 0 : snapshot_read_events(s, (size_t)segment, (uint64_t)at, out, 1, err);
    if (n < 0) return (int)n;
    if (n == 0 || out->seq != seq)
        return chv_err_set(err, ENOENT, "no event seq:%llu in %s", (unsigned long long)seq, s->meta.dir);
    return 0;
}

int chv_store_seq_at(const struct chv_store *s, uint64_t time_ns, uint64_t *seq, struct chv_err *err)
{
    /* The last segment that begins no later, then the last event in it: times never go backwards. */
    struct chv_event e;
    size_t low = 0, high = s->segment_count;
    *seq = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int64_t n = snapshot_read_events(s, middle, 0, &e, 1, err);
        if (n < 0) return (int)n;
        if (n == 1 && e.time_ns <= time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return 0;
    size_t segment = low - 1;
    uint64_t from = 0, to = s->segments[segment].events;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        int64_t n = snapshot_read_events(s, segment, middle, &e, 1, err);
        if (n < 0) return (int)n;
        if (e.time_ns <= time_ns) {
            *seq = e.seq;
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return 0;
}

/* --- content -------------------------------------------------------------------------------------- */

static bool find_loc(const struct chv_store *s, const uint8_t hash[32], pack_loc *loc)
{
    snapshot_touch(s);
    for (size_t i = snapshot_run_count(s); i-- > 0;) {
        const struct run *run = snapshot_run(s, RUN_LOC, i).run;
        uint8_t entry[RUN_WIDTH_MAX];
        uint64_t at;
        if (!run_find(run, hash, 32, run_pages_tight(&s->pages), &at, entry)) continue;
        *loc = run_get64(entry + 32);
        return true;
    }
    return false;
}

static int no_such_block(const struct chv_store *s, const uint8_t *hash, struct chv_err *err)
{
    char text[17];
    for (int i = 0; i < 8; i++) snprintf(text + 2 * i, 3, "%02x", hash[i]);
    return chv_err_set(err, ENOENT, "no pack in %s holds block %s…; 'chronovisor verify' says more", s->meta.dir, text);
}

int chv_store_read_block(const struct chv_store *s, const uint8_t hash[CHV_HASH_BYTES], void *buf, struct chv_err *err)
{
    pack_loc loc;
    if (!find_loc(s, hash, &loc)) return no_such_block(s, hash, err);
    return pack_read((struct pack_set *)(uintptr_t)&s->packs, loc, hash, buf, err);
}

int chv_store_read_blocks(const struct chv_store *s, const uint8_t (*hashes)[CHV_HASH_BYTES], uint8_t *const *bufs,
                          size_t count, struct chv_err *err)
{
    struct pack_want *wants = malloc(count * sizeof *wants + 1);
    if (!wants) return chv_err_set(err, ENOMEM, "out of memory");
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        wants[i] = (struct pack_want){.hash = hashes[i], .buf = bufs[i]};
        if (!find_loc(s, hashes[i], &wants[i].loc)) r = no_such_block(s, hashes[i], err);
    }
    if (r == 0) r = pack_read_many((struct pack_set *)(uintptr_t)&s->packs, wants, count, err);
    free(wants);
    return r;
}

int chv_store_has_block(const struct chv_store *s, const uint8_t hash[CHV_HASH_BYTES])
{
    pack_loc loc;
    return find_loc(s, hash, &loc);
}

/* The unindexed tail of the log, kept as small sorted runs; and the notes and spaces. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/snapshot.h"

void tail_clear(struct chv_store *s)
{
    for (size_t i = 0; i < s->chunk_count; i++)
        for (int k = 0; k < RUN_KINDS; k++) run_close(&s->chunks[i].runs[k]);
    s->chunk_count = 0;
}

static int take_loc(void *arg, const struct pack_record *record, pack_loc loc)
{
    return index_entries_add_loc(arg, record->hash, loc);
}

/* Locations of blocks between where we know the packs and (pack, bytes). */
static int take_locs(struct chv_store *s, struct index_entries *entries, uint64_t pack, uint64_t bytes, struct chv_err *err)
{
    if (s->log_only) return 0;
    if (s->pack > pack || (s->pack == pack && s->pack_bytes >= bytes)) return 0;
    int r = pack_scan_range(&s->meta, s->pack, s->pack_bytes, pack, bytes, take_loc, entries, err);
    if (r < 0) return r;
    s->pack = pack;
    s->pack_bytes = bytes;
    return 0;
}

/* Put all chunks into one, when there are too many. */
static int consolidate(struct chv_store *s)
{
    struct tail_chunk all = {.first_seq = s->chunks[0].first_seq, .last_seq = s->chunks[s->chunk_count - 1].last_seq};
    for (int k = 0; k < RUN_KINDS; k++) {
        size_t width = run_width((enum run_kind)k);
        uint64_t total = 0, at = 0;
        for (size_t i = 0; i < s->chunk_count; i++) total += s->chunks[i].runs[k].count;
        uint8_t *entries = malloc(total * width + 1);
        if (!entries) {
            for (int done = 0; done < k; done++) run_close(&all.runs[done]);
            return -ENOMEM;
        }
        for (size_t i = 0; i < s->chunk_count; i++) {
            const struct run *run = &s->chunks[i].runs[k];
            if (run->count) memcpy(entries + at * width, run->entries, run->count * width);
            at += run->count;
        }
        run_sort((enum run_kind)k, entries, total);
        run_from_memory(&all.runs[k], (enum run_kind)k, entries, total);
    }
    tail_clear(s);
    s->chunks[0] = all;
    s->chunk_count = 1;
    return 0;
}

int tail_take_events(struct chv_store *s, struct chv_event *events, size_t count, struct chv_err *err)
{
    if (count == 0) return 0;
    struct index_entries entries = {0};
    if (s->chunk_count == TAIL_CHUNKS && consolidate(s) < 0) goto err_memory;
    if (index_entries_add_events(&entries, events, count, s->meta.block_bytes) < 0) goto err_memory;
    for (size_t i = 0; i < entries.note_count; i++)
        for (size_t k = 0; k < count; k++)
            if (events[k].seq == entries.notes[i]) {
                if (notes_add(s, &events[k]) < 0) goto err_memory;
                break;
            }
    for (size_t i = count; i-- > 0;) {
        if (events[i].op != CHV_OP_COMMIT) continue;
        int r = take_locs(s, &entries, events[i].sectors, chv_event_lba(&events[i]), err);
        if (r < 0) {
            index_entries_fini(&entries);
            return r;
        }
        break;
    }
    index_entries_sort(&entries);
    struct tail_chunk *c = &s->chunks[s->chunk_count++];
    c->first_seq = events[0].seq;
    c->last_seq = events[count - 1].seq;
    for (int k = 0; k < RUN_KINDS; k++) {
        run_from_memory(&c->runs[k], (enum run_kind)k, entries.entries[k], entries.count[k]);
        entries.entries[k] = NULL;
    }
    s->tail_events += count;
    index_entries_fini(&entries);
    return 0;
err_memory:
    index_entries_fini(&entries);
    return chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
}

int notes_add(struct chv_store *s, const struct chv_event *event)
{
    struct chv_event *grown = realloc(s->notes, (s->note_count + 1) * sizeof *grown);
    if (!grown) return -ENOMEM;
    s->notes = grown;
    grown[s->note_count++] = *event;
    return 0;
}

void spaces_clear(struct chv_store *s)
{
    for (size_t i = 0; i < s->space_count; i++) free((void *)(uintptr_t)s->spaces[i].source);
    free(s->spaces);
    s->spaces = NULL;
    s->space_count = 0;
}

static int compare_spaces(const void *a, const void *b)
{
    return (int)((const struct chv_space *)a)->id - (int)((const struct chv_space *)b)->id;
}

int spaces_rebuild(struct chv_store *s, struct chv_err *err)
{
    spaces_clear(s);
    s->pruned_before_seq = 0;
    for (size_t i = 0; i < s->note_count; i++) {
        const struct chv_event *e = &s->notes[i];
        if (e->op == CHV_OP_PRUNE) s->pruned_before_seq = chv_event_lba(e);
        if (e->op != CHV_OP_SPACE) continue;
        struct chv_space *space = NULL;
        for (size_t k = 0; k < s->space_count; k++)
            if (s->spaces[k].id == e->space) space = &s->spaces[k];
        if (!space) {
            struct chv_space *grown = realloc(s->spaces, (s->space_count + 1) * sizeof *grown);
            if (!grown) return chv_err_set(err, ENOMEM, "%s: out of memory", s->meta.dir);
            s->spaces = grown;
            space = &grown[s->space_count++];
            *space = (struct chv_space){.id = e->space, .first_seq = e->seq, .first_time_ns = e->time_ns};
        }
        memcpy(space->name, e->hash, CHV_SPACE_NAME_BYTES);
        space->size_bytes = chv_event_lba(e) * CHV_SECTOR_BYTES;
        space->rest = e->flags <= CHV_REST_SOURCE ? (enum chv_rest)e->flags : CHV_REST_UNKNOWN;
    }
    for (size_t k = 0; k < s->space_count; k++) s->spaces[k].source = meta_source(&s->meta, s->spaces[k].name);
    if (s->space_count > 1) qsort(s->spaces, s->space_count, sizeof *s->spaces, compare_spaces);
    return 0;
}

void chv_store_space_as_of(const struct chv_store *s, const struct chv_space *space, uint64_t seq, struct chv_space *out)
{
    bool found = false;
    *out = *space;
    for (size_t i = 0; i < s->note_count; i++) {
        const struct chv_event *e = &s->notes[i];
        if (e->op != CHV_OP_SPACE || e->space != space->id || (found && e->seq > seq)) continue;
        out->size_bytes = chv_event_lba(e) * CHV_SECTOR_BYTES;
        out->rest = e->flags <= CHV_REST_SOURCE ? (enum chv_rest)e->flags : CHV_REST_UNKNOWN;
        found = true;
    }
}

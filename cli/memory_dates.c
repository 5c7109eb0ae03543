#include "cli/memory_dates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "search/search.h"
#include "sensor/memory/ram_capture.h"

enum { SIGHTINGS_MAX = 1024, CAPTURES_MAX = 65536 };

/* When a space was looked at as a whole, in order: a later capture records what changed only, so that content which stands there
 * still was seen by it too. */
struct captures {
    bool listed;
    size_t count;
    uint64_t *seq;                  /* of its end */
    uint64_t *first_ns, *last_ns;   /* when its pages were so: paused and cow have one instant, which is before they are logged */
};

struct memory_dates {
    struct chv_store *store, *disks;
    size_t spaces;
    struct captures *of; /* by space id */
    struct chv_event *events;
    size_t event_count;
};

int memory_dates_new(struct chv_store *store, struct chv_store *disks, struct memory_dates **out, struct chv_err *err)
{
    struct memory_dates *d = *out = calloc(1, sizeof *d);
    if (!d) return chv_err_set(err, ENOMEM, "out of memory");
    d->store = store;
    d->disks = disks;
    if (disks && chv_store_block_bytes(disks) != chv_store_block_bytes(store))
        return chv_err_set(err, EINVAL, "the blocks of the two stores differ in size, so contents of one cannot be looked up in the other");
    for (size_t i = 0; i < chv_store_space_count(store); i++)
        if (chv_store_space(store, i)->id >= d->spaces) d->spaces = chv_store_space(store, i)->id + 1u;
    d->of = calloc(d->spaces + 1, sizeof *d->of);
    d->events = malloc(SIGHTINGS_MAX * sizeof *d->events);
    return d->of && d->events ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

static bool is_disk(const struct chv_space *space)
{
    return strncmp(space->name, "disk:", 5) == 0;
}

static bool has_disk(const struct chv_store *store)
{
    for (size_t i = 0; store && i < chv_store_space_count(store); i++)
        if (is_disk(chv_store_space(store, i))) return true;
    return false;
}

bool memory_dates_has_disk(const struct memory_dates *d)
{
    return has_disk(d->store) || has_disk(d->disks);
}

void memory_dates_free(struct memory_dates *d)
{
    if (!d) return;
    for (size_t i = 0; d->of && i < d->spaces; i++) {
        free(d->of[i].seq);
        free(d->of[i].first_ns);
        free(d->of[i].last_ns);
    }
    free(d->of);
    free(d->events);
    free(d);
}

/* capture:ram is written when a capture begins and when it is complete: the second counts. map:N is written once an acquisition. */
static bool is_complete(const struct memory_dates *d, const struct chv_space *space, const struct chv_event *e, uint64_t *first_ns,
                        uint64_t *last_ns)
{
    struct ram_capture *capture;
    *first_ns = 0; /* each page has its own */
    *last_ns = e->time_ns;
    if (strncmp(space->name, "proc:", 5) == 0) return true;
    if (ram_capture_read(d->store, space->name, e->seq, &capture, NULL) < 0) return false;
    bool complete = capture->complete;
    if (complete && capture->mode == CAPTURE_LIVE && capture->end_ns) *last_ns = capture->end_ns;
    if (complete && capture->mode != CAPTURE_LIVE) *first_ns = *last_ns = capture->begin_ns;
    free(capture);
    return complete;
}

static int list_captures(struct memory_dates *d, const struct chv_space *space, struct chv_err *err)
{
    struct captures *c = &d->of[space->id];
    const struct chv_space *description;
    struct chv_event e;
    char name[CHV_SPACE_NAME_BYTES + 16];
    if (c->listed) return 0;
    c->listed = true;
    if (strncmp(space->name, "proc:", 5) == 0)
        snprintf(name, sizeof name, "map:%s", space->name + 5);
    else
        snprintf(name, sizeof name, CAPTURE_PREFIX "%s", space->name);
    if (chv_store_find_space(d->store, name, &description, NULL) < 0) return 0;
    c->seq = malloc(CAPTURES_MAX * sizeof *c->seq);
    c->first_ns = malloc(CAPTURES_MAX * sizeof *c->first_ns);
    c->last_ns = malloc(CAPTURES_MAX * sizeof *c->last_ns);
    if (!c->seq || !c->first_ns || !c->last_ns) return chv_err_set(err, ENOMEM, "out of memory");
    int r = 0;
    for (uint64_t seq = 0; c->count < CAPTURES_MAX && (r = chv_store_next_version(d->store, description->id, 0, seq, &e, err)) == 1;) {
        seq = e.seq;
        if (!is_complete(d, space, &e, &c->first_ns[c->count], &c->last_ns[c->count])) continue;
        c->seq[c->count++] = seq;
    }
    return r < 0 ? r : 0;
}

static int keep(void *arg, const struct chv_event *e)
{
    struct memory_dates *d = arg;
    if (d->event_count < SIGHTINGS_MAX) d->events[d->event_count++] = *e;
    return 0;
}

/* One sighting, which stood until `end` (seq UINT64_MAX: to this day). */
static void in_memory(const struct memory_dates *d, const struct chv_event *e, uint64_t end_seq, struct content_dates *out)
{
    const struct captures *c = &d->of[e->space];
    uint64_t first_ns = e->time_ns, last_ns;
    bool still = end_seq == UINT64_MAX;
    size_t i = 0;
    while (i < c->count && c->seq[i] <= e->seq) i++;
    if (i < c->count && c->first_ns[i] && c->first_ns[i] < first_ns) first_ns = c->first_ns[i];
    last_ns = first_ns;
    i = c->count;
    while (i > 0 && c->seq[i - 1] >= end_seq) i--;
    if (i > 0 && c->seq[i - 1] > e->seq) last_ns = c->last_ns[i - 1];
    if (out->first_ns == 0 || first_ns < out->first_ns) out->first_ns = first_ns;
    if (last_ns > out->last_ns) out->last_ns = last_ns;
    out->still |= still;
}

static void on_disk(const struct chv_space *space, const struct chv_event *e, uint64_t end_ns, struct content_dates *out)
{
    if (!out->disk || e->time_ns < out->disk_first_ns) {
        out->disk = space->name;
        out->disk_first_ns = e->time_ns;
        out->disk_before = e->op == CHV_OP_BASELINE;
    }
    if (end_ns > out->disk_until_ns) out->disk_until_ns = end_ns;
}

/* Every sighting in one of the stores. The other one is asked for its disks only. */
static int look_in(struct memory_dates *d, struct chv_store *store, const uint8_t hash[CHV_HASH_BYTES], struct content_dates *out, struct chv_err *err)
{
    uint64_t unit = chv_store_block_bytes(store) / CHV_SECTOR_BYTES;
    d->event_count = 0;
    int64_t n = chv_store_sightings(store, hash, SIGHTINGS_MAX, keep, d, err);
    if (n < 0) return (int)n;
    out->capped |= n == SIGHTINGS_MAX;
    for (size_t i = 0; i < d->event_count; i++) {
        const struct chv_event *e = &d->events[i];
        const struct chv_space *space = chv_store_space_by_id(store, e->space);
        struct chv_event next;
        if (!space || (store != d->store && !is_disk(space))) continue;
        int r = chv_store_next_version(store, e->space, chv_event_lba(e) / unit, e->seq, &next, err);
        if (r < 0) return r;
        uint64_t end_seq = r ? next.seq : UINT64_MAX, end_ns = r ? next.time_ns : UINT64_MAX;
        if (is_disk(space)) {
            on_disk(space, e, end_ns, out);
            continue;
        }
        if (e->space >= d->spaces) continue;
        r = list_captures(d, space, err);
        if (r < 0) return r;
        in_memory(d, e, end_seq, out);
    }
    return 0;
}

int memory_dates_of(struct memory_dates *d, const uint8_t *block, const uint8_t hash[CHV_HASH_BYTES], struct content_dates *out, struct chv_err *err)
{
    *out = (struct content_dates){0};
    if (block_kind(block, chv_store_block_bytes(d->store)) != BLOCK_PROBATIVE) return 0;
    int r = look_in(d, d->store, hash, out, err);
    if (r == 0 && d->disks) r = look_in(d, d->disks, hash, out, err);
    return r < 0 ? r : 1;
}

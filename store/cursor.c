#include <errno.h>
#include <stdlib.h>

#include "store/snapshot.h"

#define BATCH 8192u

struct chv_cursor {
    const struct chv_store *store;
    uint64_t last_seq, position;
    size_t segment;
    bool done;
    struct chv_event events[BATCH];
};

int chv_cursor_open(const struct chv_store *store, uint64_t first_seq, uint64_t last_seq, struct chv_cursor **out,
                    struct chv_err *err)
{
    struct chv_cursor *c = malloc(sizeof *c);
    if (!c) return chv_err_set(err, ENOMEM, "out of memory");
    c->store = store;
    c->last_seq = last_seq;
    int64_t segment = snapshot_segment_of(store, first_seq);
    c->segment = segment < 0 ? 0 : (size_t)segment;
    c->done = store->segment_count == 0;
    int64_t at = c->done ? 0 : snapshot_position(store, c->segment, first_seq, err);
    if (at < 0) {
        free(c);
        return (int)at;
    }
    c->position = (uint64_t)at;
    *out = c;
    return 0;
}

int chv_cursor_next(struct chv_cursor *c, const struct chv_event **batch, size_t *count, struct chv_err *err)
{
    while (!c->done) {
        int64_t n = snapshot_read_events(c->store, c->segment, c->position, c->events, BATCH, err);
        if (n < 0) return (int)n;
        if (n == 0) {
            c->position = 0;
            c->done = ++c->segment >= c->store->segment_count;
            continue;
        }
        c->position += (uint64_t)n;
        size_t keep = (size_t)n;
        while (keep > 0 && c->events[keep - 1].seq > c->last_seq) keep--;
        c->done = keep < (size_t)n;
        if (keep == 0) return 0;
        *batch = c->events;
        *count = keep;
        return 1;
    }
    return 0;
}

void chv_cursor_close(struct chv_cursor *c)
{
    free(c);
}

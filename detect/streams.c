#include "detect/streams.h"

#include <stddef.h>

static enum stream_kind grow(struct streams *s, unsigned i, uint32_t sectors, int first, uint64_t *depth,
                             uint64_t *command)
{
    enum stream_kind kind = i == s->latest ? STREAM_SAME : STREAM_OTHER;
    struct stream *stream = &s->stream[i];

    *depth = stream->sectors;
    stream->next_lba += sectors;
    stream->sectors += sectors;
    stream->used = s->commands;
    stream->commands += first != 0;
    *command = stream->commands - 1;
    s->latest = i;
    return kind;
}

enum stream_kind streams_place(struct streams *s, uint64_t lba, uint32_t sectors, int first, uint64_t *depth,
                               uint64_t *command)
{
    struct stream *left = &s->stream[s->latest];
    unsigned oldest = 0;
    uint64_t forward = UINT64_MAX, back = UINT64_MAX;

    if (!first && s->commands && s->stream[s->latest].next_lba == lba)
        return grow(s, s->latest, sectors, first, depth, command);
    s->commands++;
    for (unsigned i = 0; i < STREAMS; i++) {
        const struct stream *c = &s->stream[i];

        if (c->used < s->stream[oldest].used)
            oldest = i;
        if (!c->used)
            continue;
        if (c->next_lba == lba)
            return grow(s, i, sectors, first, depth, command);
        if (lba > c->next_lba && lba - c->next_lba < forward)
            forward = lba - c->next_lba;
        if (lba < c->next_lba && c->next_lba - lba < back)
            back = c->next_lba - lba;
    }
    s->done_sectors = left->used && !(left->marks & STREAM_DONE) ? left->sectors : 0;
    s->done_marks = left->marks;
    left->marks |= STREAM_DONE;
    s->stream[oldest] = (struct stream){lba + sectors, sectors, 1, s->commands, 0};
    s->latest = oldest;
    *depth = *command = 0;
    if (forward <= STREAMS_NEAR_SECTORS && forward <= back)
        return STREAM_FORWARD;
    return back <= STREAMS_NEAR_SECTORS ? STREAM_BACK : STREAM_FAR;
}

int streams_mark(struct streams *s, uint8_t mark)
{
    struct stream *stream = &s->stream[s->latest];
    int fresh = !(stream->marks & mark);

    stream->marks |= mark;
    return fresh;
}

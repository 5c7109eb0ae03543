#include "detect/picture_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct picture_stream {
    struct picture_options options;
    picture_fn *fn;
    void *arg;
    uint64_t window_ns, window, dropped;
    struct access *accesses;
    size_t count, room;
    double *rows; /* rows of the window, FEATURES_MAX each */
    size_t row_count, row_room;
    struct features *features;
    int error; /* of a callback that could not return it */
};

static bool sane(const struct picture_options *o)
{
    if (o->window_seconds == 0 || o->window_seconds > PICTURE_WINDOW_SECONDS_MAX || o->colours > PICTURE_COLOURS) return false;
    for (size_t c = 0; c < o->colours; c++)
        if (o->chosen[c] >= features_count(o->set)) return false;
    return true;
}

int picture_stream_new(const struct picture_options *options, picture_fn *fn, void *arg, struct picture_stream **out)
{
    if (!sane(options)) return -EINVAL;
    struct picture_stream *s = calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    *s = (struct picture_stream){.options = *options, .fn = fn, .arg = arg};
    s->window_ns = options->window_seconds * UINT64_C(1000000000);
    if (picture_stream_begin(s) < 0) {
        picture_stream_free(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}

void picture_stream_free(struct picture_stream *s)
{
    if (!s) return;
    features_free(s->features);
    free(s->accesses);
    free(s->rows);
    free(s);
}

int picture_stream_begin(struct picture_stream *s)
{
    s->window = s->count = s->row_count = 0;
    s->error = 0;
    if (s->options.heatmap) return 0;
    features_free(s->features);
    s->features = features_new(s->options.set);
    return s->features ? 0 : -ENOMEM;
}

uint64_t picture_stream_dropped(const struct picture_stream *s)
{
    return s->dropped;
}

static int draw_fields(const struct picture_stream *s, struct picture *p)
{
    size_t colours = s->options.colours, channels = colours ? colours : features_count(s->options.set);
    double *series = malloc(channels * (s->row_count ? s->row_count : 1) * sizeof *series);
    if (!series) return -ENOMEM;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < s->row_count; i++)
            series[c * s->row_count + i] = s->rows[i * FEATURES_MAX + (colours ? s->options.chosen[c] : c)];
    int r = picture_gadf(p, series, channels, s->row_count);
    free(series);
    return r;
}

/* The window is complete: draw it, unless nothing happened in it. */
static int flush_window(struct picture_stream *s)
{
    int r = 0;
    if (s->options.heatmap ? s->count > 0 : s->row_count > 0) {
        struct picture p;
        r = picture_init(&p, s->options.width, s->options.height);
        if (r == 0 && s->options.heatmap)
            r = picture_heatmap(&p, s->accesses, s->count, s->window * s->window_ns, (s->window + 1) * s->window_ns);
        else if (r == 0)
            r = draw_fields(s, &p);
        if (r == 0) r = s->fn(s->arg, &p, s->window);
        picture_fini(&p);
    }
    s->count = s->row_count = 0;
    return r;
}

static int to_window(struct picture_stream *s, uint64_t time_ns)
{
    uint64_t window = time_ns / s->window_ns;
    int r = window != s->window ? flush_window(s) : 0;
    s->window = window;
    return r;
}

/* The list with room for one more of `bytes`, up to `most` of them; without, when it is full, or memory is (and *error set). */
static void *grow(void *list, size_t *room, size_t count, size_t bytes, size_t most, int *error)
{
    if (count < *room || *room == most || *error != 0) return list;
    size_t wanted = *room ? 2 * *room : 64;
    if (wanted > most) wanted = most;
    void *grown = realloc(list, wanted * bytes);
    *error = grown ? 0 : -ENOMEM;
    if (grown) *room = wanted;
    return grown ? grown : list;
}

static void take_row(void *arg, const struct feature_row *row)
{
    struct picture_stream *s = arg;
    if (s->error == 0) s->error = to_window(s, row->end_ns - 1);
    s->rows = grow(s->rows, &s->row_room, s->row_count, FEATURES_MAX * sizeof *s->rows, PICTURE_ROWS_MAX, &s->error);
    if (s->error != 0) return;
    if (s->row_count == s->row_room) {
        s->dropped++;
        return;
    }
    memcpy(s->rows + s->row_count * FEATURES_MAX, row->x, sizeof row->x);
    s->row_count++;
}

int picture_stream_push(struct picture_stream *s, const struct access *a)
{
    if (s->error != 0) return s->error;
    if (!s->options.heatmap) {
        features_push(s->features, a, take_row, s);
        return s->error;
    }
    s->error = to_window(s, a->time_ns);
    s->accesses = grow(s->accesses, &s->room, s->count, sizeof *s->accesses, PICTURE_ACCESSES_MAX, &s->error);
    if (s->error != 0) return s->error;
    if (s->count < s->room)
        s->accesses[s->count++] = *a;
    else
        s->dropped++;
    return 0;
}

int picture_stream_finish(struct picture_stream *s)
{
    if (s->error == 0 && !s->options.heatmap) features_finish(s->features, take_row, s);
    return s->error != 0 ? s->error : flush_window(s);
}

#include "detect/cnn/vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct samples *s;
    struct network *network;
    struct picture_stream *stream;
    uint64_t window_ns;
    size_t room;
    float *vector;
    struct chv_err *err;
    bool told; /* err is filled */
};

static int told(struct reading *r, int code)
{
    r->told = true;
    return code;
}

static int grow(struct reading *r)
{
    struct samples *s = r->s;
    if (s->rows < r->room) return 0;
    size_t room = r->room ? 2 * r->room : 64;
    if ((uint64_t)room * s->columns * sizeof *s->x > VECTORS_BYTES_MAX)
        return told(r, chv_err_set(r->err, EFBIG, "the vectors of %zu pictures and more take over %llu MiB; take fewer runs, or longer windows",
                                   s->rows, (unsigned long long)(VECTORS_BYTES_MAX >> 20)));
    double *x = realloc(s->x, room * s->columns * sizeof *x);
    if (x) s->x = x;
    struct samples_row *rows = x ? realloc(s->row, room * sizeof *rows) : NULL;
    if (!rows) return -ENOMEM;
    s->row = rows;
    r->room = room;
    return 0;
}

static int take_picture(void *arg, const struct picture *p, uint64_t window)
{
    struct reading *r = arg;
    struct samples *s = r->s;
    int code = grow(r);
    if (code < 0) return code;
    code = network_run(r->network, p, r->vector, r->err);
    if (code < 0) return told(r, code);
    for (size_t c = 0; c < s->columns; c++) s->x[s->rows * s->columns + c] = (double)r->vector[c];
    s->row[s->rows++] = (struct samples_row){.end_ns = (window + 1) * r->window_ns, .active = true};
    return 0;
}

static int take_access(void *arg, const struct access *a)
{
    return picture_stream_push(((struct reading *)arg)->stream, a);
}

/* 0; 1: this run cannot be read, `why` says why; or an error that ends it all. */
static int read_run(struct reading *r, const struct dataset *d, size_t index, const struct dataset_options *options, struct chv_err *why)
{
    struct samples *s = r->s;
    struct dataset_report report = {0};
    struct samples_run *run = &s->run[s->runs];
    *run = (struct samples_run){.run = dataset_run(d, index), .first = s->rows};
    while (strcmp(s->family[run->label], run->run->family) != 0) run->label++;
    s->ransomware[run->label] = run->run->ransomware;
    int code = picture_stream_begin(r->stream);
    if (code == 0) {
        code = dataset_read(d, index, options, take_access, r, &report, why);
        if (code == 0 && report.rows == 0) code = chv_err_set(why, EBADMSG, "%.300s holds no rows", run->run->path);
        if (code < 0 && !r->told && code != -ENOMEM) {
            s->rows = run->first;
            return 1;
        }
    }
    if (code == 0) code = picture_stream_finish(r->stream);
    if (code != 0) return code;
    samples_add_report(&s->report, &report);
    run->rows = s->rows - run->first;
    s->runs++;
    return 0;
}

static int read_all(struct reading *r, const struct dataset *d, const struct vectors_options *o, const struct samples_watch *watch)
{
    struct dataset_options options = o->dataset;
    struct chv_err why, first = {0};
    size_t left_out = 0;
    options.reads_only = o->mode == MODEL_READS;
    int code = samples_families(r->s, d, r->err);
    if (code < 0) return told(r, code);
    for (size_t i = 0; i < dataset_count(d) && code == 0; i++) {
        if (watch && watch->progress) watch->progress(i, dataset_count(d));
        if (!samples_suits(dataset_run(d, i), o->mode)) continue;
        code = read_run(r, d, i, &options, &why);
        if (code <= 0) continue;
        if (left_out++ == 0) first = why;
        if (watch && watch->left_out) watch->left_out(watch->arg, i, &why);
        code = 0;
    }
    if (code != 0 || r->s->rows > 0) return code;
    if (left_out > 0) return told(r, chv_err_set(r->err, EBADMSG, "not one run can be read; the first: %.400s", first.text));
    if (r->s->runs > 0) return told(r, chv_err_set(r->err, ENOENT, "nothing happens in these runs: no picture"));
    return told(r, chv_err_set(r->err, ENOENT, o->mode == MODEL_PAIRED ? "no run has both reads and writes; try --mode read" : "no run has reads"));
}

int vectors_read(const struct dataset *d, const struct vectors_options *o, struct network *n, const struct samples_watch *watch,
                 struct samples **out, uint64_t *dropped, struct chv_err *err)
{
    struct samples *s = calloc(1, sizeof *s);
    struct reading r = {.s = s, .network = n, .window_ns = o->picture.window_seconds * UINT64_C(1000000000), .err = err};
    int code = s ? picture_stream_new(&o->picture, take_picture, &r, &r.stream) : -ENOMEM;
    if (code == 0) {
        s->mode = o->mode;
        s->columns = network_columns(n);
        s->run = calloc(dataset_count(d) + 1, sizeof *s->run);
        r.vector = malloc(s->columns * sizeof *r.vector);
        code = s->run && r.vector ? read_all(&r, d, o, watch) : -ENOMEM;
        *dropped = picture_stream_dropped(r.stream);
    }
    picture_stream_free(r.stream);
    free(r.vector);
    if (code == 0) {
        *out = s;
        return 0;
    }
    samples_free(s);
    return r.told ? code : chv_err_set(err, -code, "%s", code == -ENOMEM ? "out of memory" : strerror(-code));
}

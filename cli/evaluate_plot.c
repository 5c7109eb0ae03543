/* An evaluation as a picture: curves on the left, who was taken for whom on the right. */
#include <cairo-svg.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/evaluate_out.h"
#include "search/plot/pen.h"

#define WIDTH 1400
#define HEIGHT 760
#define RUNS 0xb5402au
#define WINDOWS_COLOUR 0x1f6fb4u

struct output {
    char *data;
    size_t bytes, room;
};

static cairo_status_t output_write(void *arg, const unsigned char *data, unsigned bytes)
{
    struct output *o = arg;
    if (bytes > o->room - o->bytes) {
        size_t room = 2 * (o->bytes + bytes);
        char *grown = realloc(o->data, room);
        if (!grown) return CAIRO_STATUS_NO_MEMORY;
        o->data = grown;
        o->room = room;
    }
    if (bytes > 0) memcpy(o->data + o->bytes, data, bytes);
    o->bytes += bytes;
    return CAIRO_STATUS_SUCCESS;
}

/* Names of folders are any bytes, and cairo takes only UTF-8. */
static const char *plain(const char *name, char buf[40])
{
    size_t n = 0;
    for (; name[n] && n < 39; n++) buf[n] = (unsigned char)name[n] < 0x20 || (unsigned char)name[n] > 0x7e ? '?' : name[n];
    buf[n] = 0;
    return buf;
}

static void axes(cairo_t *cr, const struct plot_rect *r, double most_x, const char *x_title, const char *y_title, const char *title)
{
    double step = axis_step(most_x, 6);
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    pen_value_axis(cr, r, 1, 0.2, y_title);
    for (unsigned i = 0; i * step <= most_x * (1 + 1e-6); i++) {
        char text[32];
        double x = r->x + i * step / most_x * r->w;
        snprintf(text, sizeof text, "%.*f", decimals, i * step);
        pen_colour(cr, PEN_INK);
        pen_line(cr, x, r->y + r->h, x, r->y + r->h + 4);
        pen_text(cr, x, r->y + r->h + 17, 11, PEN_CENTER, text);
    }
    pen_text(cr, r->x + r->w / 2, r->y + r->h + 34, 11, PEN_CENTER, x_title);
    pen_text_bold(cr, r->x, r->y - 8, 12, PEN_LEFT, title);
    pen_frame(cr, r);
}

static void draw_roc_line(cairo_t *cr, const struct plot_rect *r, const struct evaluate_roc *roc, unsigned colour)
{
    if (roc->count == 0) return;
    cairo_move_to(cr, r->x, r->y + r->h);
    for (size_t i = 0; i < roc->count; i++) cairo_line_to(cr, r->x + (double)roc->fpr[i] * r->w, r->y + (1 - (double)roc->tpr[i]) * r->h);
    pen_colour(cr, colour);
    cairo_set_line_width(cr, 2);
    cairo_stroke(cr);
}

static void draw_roc(cairo_t *cr, const struct plot_rect *r, const struct evaluation *e)
{
    char text[80];
    axes(cr, r, 1, "share of what is benign that is taken for ransomware", "share of ransomware found", "Receiver operating characteristic");
    draw_roc_line(cr, r, &e->roc, WINDOWS_COLOUR);
    draw_roc_line(cr, r, &e->runs_roc, RUNS);
    snprintf(text, sizeof text, "windows of 10 s, area %.3f", e->auc);
    pen_colour(cr, WINDOWS_COLOUR);
    pen_text(cr, r->x + r->w - 10, r->y + r->h - 28, 12, PEN_RIGHT, isnan(e->auc) ? "windows: one side only" : text);
    snprintf(text, sizeof text, "runs, area %.3f", e->runs_auc);
    pen_colour(cr, RUNS);
    pen_text(cr, r->x + r->w - 10, r->y + r->h - 10, 12, PEN_RIGHT, isnan(e->runs_auc) ? "runs: one side only" : text);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the first change of a file where that is known, else from the first second looked at. */
static size_t times_to_alarm(const struct evaluate_facts *f, const struct evaluation *e, double *out, bool *from_change)
{
    const struct samples *s = f->samples;
    size_t n = 0;
    *from_change = e->losses.runs > 0 && e->losses.runs == e->runs_ransomware;
    for (size_t r = 0; r < s->runs; r++) {
        const struct dataset_run *of = s->run[r].run;
        if (!e->run[r].judged || !e->run[r].alarm || !s->ransomware[s->run[r].label]) continue;
        uint64_t from = *from_change ? of->malicious_ns - of->begin_ns : f->skip_ns;
        out[n++] = e->run[r].alarm_ns > from ? (double)(e->run[r].alarm_ns - from) * 1e-9 : 0;
    }
    qsort(out, n, sizeof *out, by_number);
    return n;
}

static int draw_times(cairo_t *cr, const struct plot_rect *r, const struct evaluate_facts *f, const struct evaluation *e)
{
    double *times = malloc((f->samples->runs + 1) * sizeof *times);
    bool from_change;
    if (!times) return -ENOMEM;
    size_t n = times_to_alarm(f, e, times, &from_change);
    double most = n > 0 && times[n - 1] > 1 ? times[n - 1] : 1;
    axes(cr, r, most, from_change ? "seconds from the first change of a file" : "seconds from the first one looked at",
         "share of ransomware runs", "Time to the alarm");
    cairo_move_to(cr, r->x, r->y + r->h);
    double y = r->y + r->h;
    for (size_t i = 0; i < n; i++) {
        double x = r->x + times[i] / most * r->w;
        cairo_line_to(cr, x, y);
        y = r->y + r->h - (double)(i + 1) / (double)e->runs_ransomware * r->h;
        cairo_line_to(cr, x, y);
    }
    cairo_line_to(cr, r->x + r->w, y);
    pen_colour(cr, RUNS);
    cairo_set_line_width(cr, 2);
    cairo_stroke(cr);
    char text[80];
    snprintf(text, sizeof text, "%zu of %zu runs; %zu of %zu benign ones alarm", e->detected, e->runs_ransomware, e->false_alarms,
             e->runs_benign);
    pen_text(cr, r->x + r->w - 10, r->y + r->h - 10, 12, PEN_RIGHT, text);
    free(times);
    return 0;
}

static void draw_cell(cairo_t *cr, const struct plot_rect *cell, size_t count, double share)
{
    double rgb[3];
    char text[24];
    if (count > 0) {
        colour_scale(share, rgb);
        cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
        cairo_rectangle(cr, cell->x, cell->y, cell->w, cell->h);
        cairo_fill(cr);
    }
    if (count == 0 || cell->w < 22 || cell->h < 10) return;
    snprintf(text, sizeof text, "%zu", count);
    pen_colour(cr, share > 0.45 ? 0xffffff : PEN_INK);
    pen_text(cr, cell->x + cell->w / 2, cell->y + cell->h / 2 + 4, cell->w > 40 && cell->h > 14 ? 12 : 9, PEN_CENTER, text);
}

static void draw_column_name(cairo_t *cr, double x, double y, double size, const char *name)
{
    cairo_save(cr);
    cairo_translate(cr, x + size / 3, y);
    cairo_rotate(cr, -1.5707963267948966);
    pen_text(cr, 0, 0, size, PEN_RIGHT, name);
    cairo_restore(cr);
}

/* Rows: what it was; columns: what it was taken for. */
static void draw_confusion(cairo_t *cr, const struct plot_rect *r, const struct samples *s, const struct evaluation *e)
{
    size_t columns = 0;
    while (evaluate_class(s, columns)) columns++;
    double wide = columns > 2 ? r->w / (double)columns : 90, high = r->h / (double)s->families, side = wide < high ? wide : high;
    double size = side > 14 ? 11 : side * 0.8;
    char name[40], text[48];
    for (size_t is = 0; is < s->families; is++) {
        double all = 0, y = r->y + (double)is * high;
        for (size_t said = 0; said < columns; said++) all += (double)e->confusion[is][said];
        for (size_t said = 0; said < columns; said++) {
            struct plot_rect cell = {r->x + (double)said * wide, y, wide, high};
            draw_cell(cr, &cell, e->confusion[is][said], all > 0 ? (double)e->confusion[is][said] / all : 0);
        }
        snprintf(text, sizeof text, "%s%s", plain(s->family[is], name), s->ransomware[is] ? " *" : "");
        pen_colour(cr, PEN_INK);
        pen_text(cr, r->x - 6, y + high / 2 + size / 3, size, PEN_RIGHT, text);
    }
    for (size_t said = 0; said < columns; said++)
        draw_column_name(cr, r->x + ((double)said + 0.5) * wide, r->y + r->h + 6, size, plain(evaluate_class(s, said), name));
    pen_frame(cr, &(struct plot_rect){r->x, r->y, (double)columns * wide, r->h});
    pen_colour(cr, PEN_INK);
    pen_text_bold(cr, r->x, r->y - 8, 12, PEN_LEFT, "Windows of 10 s: what they were (* ransomware), and were taken for");
}

static int draw_all(cairo_t *cr, const struct evaluate_facts *f, const struct evaluation *e)
{
    const struct plot_rect roc = {80, 80, 480, 250}, times = {80, 430, 480, 250}, confusion = {760, 80, 560, 560};
    char title[240], how[60], f1[16] = "-", runs_f1[16] = "-";
    if (!isnan(e->f1)) snprintf(f1, sizeof f1, "%.3f", e->f1);
    if (!isnan(e->runs_f1)) snprintf(runs_f1, sizeof runs_f1, "%.3f", e->runs_f1);
    pen_colour(cr, 0xffffff);
    cairo_paint(cr);
    if (f->given)
        snprintf(how, sizeof how, "a given model");
    else
        snprintf(how, sizeof how, "split by %s, seed %llu", evaluate_split_name(f->split), (unsigned long long)f->seed);
    snprintf(title, sizeof title, "%s, %s features, %s streams, %s: F1 of windows %s, of runs %s", model_kind_name(f->kind),
             feature_set_name(f->samples->set), f->samples->mode == MODEL_READS ? "read" : "paired", how, f1, runs_f1);
    pen_colour(cr, PEN_INK);
    pen_text_bold(cr, 24, 34, 16, PEN_LEFT, title);
    draw_roc(cr, &roc, e);
    draw_confusion(cr, &confusion, f->samples, e);
    return draw_times(cr, &times, f, e);
}

static int save(const struct output *o, const char *path, struct chv_err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int r = dir ? io_replace(&io_real, dir, slash ? slash + 1 : path, o->data, o->bytes) : -ENOMEM;
    free(dir);
    return r < 0 ? chv_err_set(err, -r, "%s: cannot write the picture: %s", path, strerror(-r)) : 0;
}

int evaluate_plot(const struct evaluate_facts *f, const struct evaluation *e, const char *path, struct chv_err *err)
{
    struct output out = {0};
    size_t length = strlen(path);
    bool svg = length > 4 && strcmp(path + length - 4, ".svg") == 0;
    cairo_surface_t *surface = svg ? cairo_svg_surface_create_for_stream(output_write, &out, WIDTH, HEIGHT)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    if (svg) cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    cairo_t *cr = cairo_create(surface);
    int r = draw_all(cr, f, e);
    cairo_status_t status = cairo_status(cr);
    cairo_destroy(cr);
    if (!svg && status == CAIRO_STATUS_SUCCESS) status = cairo_surface_write_to_png_stream(surface, output_write, &out);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (r < 0) r = chv_err_set(err, ENOMEM, "out of memory");
    else if (status != CAIRO_STATUS_SUCCESS) r = chv_err_set(err, ENOMEM, "drawing failed: %s", cairo_status_to_string(status));
    if (r == 0) r = save(&out, path, err);
    free(out.data);
    return r;
}

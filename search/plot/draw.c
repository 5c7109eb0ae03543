/* One drawing for both formats. */
#include <cairo-svg.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "search/plot/pen.h"

struct output {
    char *data;
    size_t bytes, capacity;
};

static cairo_status_t output_write(void *arg, const unsigned char *data, unsigned bytes)
{
    struct output *o = arg;
    if (bytes == 0) return CAIRO_STATUS_SUCCESS;
    if (!o->data || o->bytes + bytes > o->capacity) {
        size_t capacity = 2 * (o->bytes + bytes) + 4096;
        char *grown = realloc(o->data, capacity);
        if (!grown) return CAIRO_STATUS_NO_MEMORY;
        o->data = grown;
        o->capacity = capacity;
    }
    memcpy(o->data + o->bytes, data, bytes);
    o->bytes += bytes;
    return CAIRO_STATUS_SUCCESS;
}

/* The range of cell values and curves, the same for both sides so that they compare. */
struct ranges {
    double heat_low, heat_high, throughput, variance_low, variance_high;
};

static void find_ranges(const struct plot *p, struct ranges *out)
{
    *out = (struct ranges){.heat_low = INFINITY, .variance_low = INFINITY};
    double seconds = (double)(p->to_ns - p->from_ns) / 1e9 / (double)p->columns;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < p->columns * p->rows; i++) {
            double v = (double)p->heat[side][i];
            if (v > 0 && v < out->heat_low) out->heat_low = v;
            if (v > out->heat_high) out->heat_high = v;
        }
        for (size_t i = 0; i < p->columns; i++) {
            const struct plot_moment *m = &p->moments[side][i];
            double rate = p->bytes[side][i] / seconds, variance = m->n >= 2 ? m->m2 / m->n : 0;
            if (rate > out->throughput) out->throughput = rate;
            if (variance > 0 && variance < out->variance_low) out->variance_low = variance;
            if (variance > out->variance_high) out->variance_high = variance;
        }
    }
    if (!(out->heat_high > 0)) out->heat_low = out->heat_high = CHV_SECTOR_BYTES;
    if (out->heat_low < CHV_SECTOR_BYTES) out->heat_low = CHV_SECTOR_BYTES;
    if (out->heat_high < 2 * out->heat_low) out->heat_high = 2 * out->heat_low;
    if (out->variance_high > 0 && out->variance_low < out->variance_high / 1e8)
        out->variance_low = out->variance_high / 1e8; /* eight decades are enough to read */
}

static void title_text(const struct plot *p, char *title, char *detail, size_t bytes)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], first[32], last[32], cell[32], size[32], width[32];
    snprintf(title, bytes, "%s, space %s", p->options.store_name ? p->options.store_name : "store", p->space_name);
    axis_bytes_label((double)p->lba * CHV_SECTOR_BYTES, first, sizeof first);
    axis_bytes_label((double)p->end_lba * CHV_SECTOR_BYTES, last, sizeof last);
    axis_bytes_label((double)p->space_sectors * CHV_SECTOR_BYTES, size, sizeof size);
    axis_bytes_label((double)(p->end_lba - p->lba) * CHV_SECTOR_BYTES / (double)p->rows, cell, sizeof cell);
    axis_duration_label((double)(p->to_ns - p->from_ns) / 1e9 / (double)p->columns, width, sizeof width);
    snprintf(detail, bytes, "%s to %s (UTC); addresses %s to %s%s%s; a cell is %s by %s",
             clock_format(p->from_ns, from), clock_format(p->to_ns, to), first, last, p->zoomed ? " of " : "",
             p->zoomed ? size : "", cell, width);
}

static void draw_all(cairo_t *cr, const struct plot *p)
{
    struct plot_layout layout;
    struct ranges ranges;
    char title[512], detail[512];
    plot_layout(p->options.width, p->options.height, &layout);
    find_ranges(p, &ranges);
    title_text(p, title, detail, sizeof title);

    pen_colour(cr, 0xffffff);
    cairo_paint(cr);
    pen_colour(cr, PEN_INK);
    pen_text_bold(cr, layout.heat[0].x, 24, 16, PEN_LEFT, title);
    pen_text_fit(cr, layout.heat[0].x, 42, 11, (double)p->options.width - layout.heat[0].x - 16, detail);
    for (int side = 0; side < 2; side++) {
        draw_heat(cr, p, &layout.heat[side], side, ranges.heat_low, ranges.heat_high);
        draw_throughput(cr, p, &layout.throughput[side], side, ranges.throughput);
        draw_variance(cr, p, &layout.variance[side], side, ranges.variance_low, ranges.variance_high);
    }
    draw_scale(cr, &layout.scale, ranges.heat_low, ranges.heat_high);
    draw_entropy(cr, p, &layout.entropy);
    draw_summary(cr, p, &layout.summary);
    pen_colour(cr, PEN_INK);
    pen_text(cr, layout.entropy.x + layout.entropy.w / 2, layout.entropy.y + layout.entropy.h + 34, 11, PEN_CENTER,
             "time (UTC)");
}

/* Say what it is to those who cannot see it, and to grep: text in the picture is drawn as outlines. */
static int svg_describe(const struct plot *p, struct output *o)
{
    char title[512], detail[512];
    title_text(p, title, detail, sizeof title);
    char *open = memmem(o->data, o->bytes, "<svg", 4);
    char *end = open ? memchr(open, '>', o->bytes - (size_t)(open - o->data)) : NULL;
    if (!end) return 0;
    size_t head = (size_t)(end + 1 - o->data);
    struct output described = {0};
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text, "\n<title>");
    for (int part = 0; part < 2; part++) {
        for (const char *c = part ? detail : title; *c && n < sizeof text - 64; c++) {
            char plain[2] = {(unsigned char)*c < 0x20 ? '?' : *c, 0};
            const char *escaped = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : plain;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", escaped);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, part ? "</desc>" : "</title>\n<desc>");
    }
    if (output_write(&described, (unsigned char *)o->data, (unsigned)head) != CAIRO_STATUS_SUCCESS ||
        output_write(&described, (unsigned char *)text, (unsigned)n) != CAIRO_STATUS_SUCCESS ||
        output_write(&described, (unsigned char *)o->data + head, (unsigned)(o->bytes - head)) != CAIRO_STATUS_SUCCESS) {
        free(described.data);
        return -ENOMEM;
    }
    free(o->data);
    *o = described;
    return 0;
}

static int output_save(const struct output *o, const char *path, struct chv_err *err)
{
    struct stat st;
    bool special = strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
    int r = 0;
    if (special) {
        int fd = strcmp(path, "-") == 0 ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) r = -errno;
        for (size_t done = 0; r == 0 && done < o->bytes;) {
            ssize_t n = write(fd, o->data + done, o->bytes - done);
            if (n < 0 && errno != EINTR) r = -errno;
            if (n > 0) done += (size_t)n;
        }
        if (fd >= 0 && close(fd) < 0 && r == 0) r = -errno;
    } else {
        size_t bytes = strlen(path) + sizeof ".partial";
        char *partial = malloc(bytes);
        if (!partial) return chv_err_set(err, ENOMEM, "out of memory");
        snprintf(partial, bytes, "%s.partial", path);
        FILE *f = fopen(partial, "we");
        if (!f) r = -errno;
        if (r == 0 && fwrite(o->data, 1, o->bytes, f) != o->bytes) r = errno ? -errno : -EIO;
        if (f && fclose(f) != 0 && r == 0) r = -errno;
        if (r == 0 && rename(partial, path) < 0) r = -errno;
        if (r < 0 && f) unlink(partial);
        free(partial);
    }
    return r < 0 ? chv_err_set(err, -r, "%s: cannot write the picture: %s", path, strerror(-r)) : 0;
}

int plot_draw(const struct plot *p, enum plot_format format, const char *path, struct chv_err *err)
{
    struct output out = {0};
    double w = (double)p->options.width, h = (double)p->options.height;
    cairo_surface_t *surface = format == PLOT_SVG
                                   ? cairo_svg_surface_create_for_stream(output_write, &out, w, h)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
    if (format == PLOT_SVG) cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    cairo_t *cr = cairo_create(surface);
    draw_all(cr, p);
    cairo_status_t status = cairo_status(cr);
    cairo_destroy(cr);
    if (format == PLOT_PNG && status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(surface, output_write, &out);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    int r = status == CAIRO_STATUS_SUCCESS
                ? 0
                : chv_err_set(err, ENOMEM, "drawing failed: %s", cairo_status_to_string(status));
    if (r == 0 && format == PLOT_SVG && svg_describe(p, &out) < 0) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) r = output_save(&out, path, err);
    free(out.data);
    return r;
}

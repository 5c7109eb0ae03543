/* The panels of the picture. */
#include <math.h>
#include <stdio.h>

#include "search/plot/pen.h"

static uint32_t pixel_of(double t)
{
    double rgb[3];
    colour_scale(t, rgb);
    return (uint32_t)lround(rgb[0] * 255) << 16 | (uint32_t)lround(rgb[1] * 255) << 8 | (uint32_t)lround(rgb[2] * 255);
}

/* One image of the panel; address 0 is at the bottom. */
static void paint_cells(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double low, double high)
{
    uint32_t palette[256];
    for (int i = 0; i < 256; i++) palette[i] = pixel_of(i / 255.0);
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(p->columns * PLOT_CELL),
                                                        (int)(p->rows * PLOT_CELL));
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) return;
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (size_t y = 0; y < p->rows * PLOT_CELL; y++) {
        uint32_t *line = (uint32_t *)(void *)(data + y * stride);
        size_t row = p->rows - 1 - y / PLOT_CELL;
        for (size_t x = 0; x < p->columns * PLOT_CELL; x++) {
            size_t cell = row * p->columns + x / PLOT_CELL;
            double v = (double)p->heat[side][cell];
            uint32_t colour = side == PLOT_WRITE && p->marks[cell] & PLOT_TRIMMED ? PEN_TRIM : 0xffffff;
            if (v > 0) {
                double t = high > low ? log(v / low) / log(high / low) : 0;
                colour = palette[t <= 0 ? 0 : t >= 1 ? 255 : (int)lround(t * 255)];
            }
            if (p->marks[cell] & PLOT_GAP) colour = PEN_GAP;
            line[x] = colour;
        }
    }
    cairo_surface_mark_dirty(image);
    cairo_set_source_surface(cr, image, r->x, r->y);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
    cairo_paint(cr);
    cairo_surface_destroy(image);
}

/* Above the panel: where there are gaps (a triangle each), and stretches without a flush (a bar). */
static void draw_marks(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side)
{
    pen_colour(cr, PEN_FLUSHLESS);
    for (size_t i = 0; side == PLOT_WRITE && i < p->columns; i++)
        if (p->flushless_columns[i]) cairo_rectangle(cr, r->x + (double)(i * PLOT_CELL), r->y - 7, PLOT_CELL, 5);
    cairo_fill(cr);
    pen_colour(cr, PEN_GAP);
    for (size_t i = 0; i < p->columns; i++) {
        if (!p->gap_columns[i] || (i > 0 && p->gap_columns[i - 1])) continue;
        double x = r->x + (double)(i * PLOT_CELL) + PLOT_CELL / 2.0;
        cairo_move_to(cr, x - 4, r->y - 8);
        cairo_line_to(cr, x + 4, r->y - 8);
        cairo_line_to(cr, x, r->y - 1);
        cairo_close_path(cr);
    }
    cairo_fill(cr);
}

static void address_axis(cairo_t *cr, const struct plot *p, const struct plot_rect *r)
{
    double low = (double)p->lba * CHV_SECTOR_BYTES, high = (double)p->end_lba * CHV_SECTOR_BYTES, unit;
    const char *name = axis_byte_unit(high, &unit);
    double step = axis_step((high - low) / unit, (unsigned)(r->h / 40) + 1);
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    pen_colour(cr, PEN_INK);
    cairo_set_line_width(cr, 1);
    double first = ceil(low / unit / step - 1e-9);
    unsigned ticks = (unsigned)(floor(high / unit / step + 1e-9) - first) + 1;
    for (unsigned i = 0; i < ticks; i++) {
        double v = (first + i) * step;
        double y = floor(r->y + r->h - (v * unit - low) / (high - low) * r->h) + 0.5;
        char text[32];
        snprintf(text, sizeof text, "%.*f", decimals, fabs(v));
        pen_line(cr, r->x - 4, y, r->x, y);
        pen_text(cr, r->x - 7, y + 4, 11, PEN_RIGHT, text);
    }
    char title[64];
    snprintf(title, sizeof title, "address (%s)", name);
    pen_text_up(cr, r->x - 56, r->y + r->h / 2, 11, r->h, title);
}

void draw_heat(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double low, double high)
{
    const char *title = side == PLOT_READ ? "Reads" : p->found_as_writes ? "Changes found by looking" : "Writes";
    pen_colour(cr, PEN_INK);
    pen_text_bold(cr, r->x, r->y - 12, 13, PEN_LEFT, title);
    paint_cells(cr, p, r, side, low, high);
    if (p->requests[side] == 0) {
        pen_colour(cr, 0x888888);
        pen_text(cr, r->x + r->w / 2, r->y + r->h / 2, 12, PEN_CENTER,
                 side == PLOT_READ ? "no reads were recorded" : "no writes were recorded");
    }
    draw_marks(cr, p, r, side);
    pen_frame(cr, r);
    address_axis(cr, p, r);
    pen_time_axis(cr, p, r, true);
}

void draw_scale(cairo_t *cr, const struct plot_rect *r, double low, double high)
{
    for (int i = 0; i < 128; i++) {
        double rgb[3];
        colour_scale((i + 0.5) / 128, rgb);
        cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
        cairo_rectangle(cr, r->x, r->y + r->h * (127 - i) / 128, r->w, r->h / 128 + (i ? 0.6 : 0));
        cairo_fill(cr);
    }
    pen_frame(cr, r);
    pen_colour(cr, PEN_INK);
    if (!(high > low)) high = low * 2;
    /* powers of four, or sixteen, so that at most a dozen labels stand there */
    double factor = log2(high / low) > 24 ? 16 : log2(high / low) > 8 ? 4 : 2;
    double first = exp2(ceil(log2(low)));
    for (int i = 0; i < 64; i++) {
        double v = first * pow(factor, i);
        if (v > high * 1.0001) break;
        double y = floor(r->y + r->h - log(v / low) / log(high / low) * r->h) + 0.5;
        char text[32];
        axis_bytes_label(v, text, sizeof text);
        pen_line(cr, r->x + r->w, y, r->x + r->w + 4, y);
        pen_text(cr, r->x + r->w + 7, y + 4, 10, PEN_LEFT, text);
    }
    pen_text(cr, r->x - 2, r->y - 22, 10, PEN_LEFT, "bytes a cell");
    pen_text(cr, r->x - 2, r->y - 10, 10, PEN_LEFT, "(log scale)");
}

static void no_data(cairo_t *cr, const struct plot_rect *r, const char *text)
{
    pen_colour(cr, 0x888888);
    pen_text(cr, r->x + r->w / 2, r->y + r->h / 2 + 4, 11, PEN_CENTER, text);
}

void draw_throughput(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double most)
{
    double unit, top = most > 0 ? most * 1.05 : 1;
    const char *name = axis_byte_unit(top, &unit);
    char title[64];
    snprintf(title, sizeof title, "%s (%s/s)", side == PLOT_READ ? "read" : "written", name);
    pen_time_axis(cr, p, r, false);
    pen_value_axis(cr, r, top / unit, 0, title);
    double seconds = (double)(p->to_ns - p->from_ns) / 1e9 / (double)p->columns;
    pen_colour(cr, side == PLOT_READ ? PEN_READ : PEN_WRITE);
    for (size_t i = 0; i < p->columns; i++) {
        double h = p->bytes[side][i] / seconds / top * r->h;
        if (h <= 0) continue;
        if (h < 0.7) h = 0.7;
        cairo_rectangle(cr, r->x + (double)(i * PLOT_CELL), r->y + r->h - h, PLOT_CELL, h);
    }
    cairo_fill(cr);
    pen_frame(cr, r);
}

void draw_variance(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double low, double high)
{
    const double gib2 = exp2(60) / (CHV_SECTOR_BYTES * (double)CHV_SECTOR_BYTES);
    pen_time_axis(cr, p, r, false);
    if (!(high > 0)) {
        no_data(cr, r, "too few requests for a variance");
        pen_frame(cr, r);
        return;
    }
    int bottom = (int)floor(log10(low / gib2)), top = (int)ceil(log10(high / gib2));
    if (top <= bottom) top = bottom + 1;
    pen_decade_axis(cr, r, bottom, top, "LBA var. (GiB²)");
    pen_colour(cr, side == PLOT_READ ? PEN_READ : PEN_WRITE);
    for (size_t i = 0; i < p->columns; i++) {
        const struct plot_moment *m = &p->moments[side][i];
        double v = m->n >= 2 ? m->m2 / m->n / gib2 : 0;
        if (v <= 0) continue;
        double y = r->y + r->h - (log10(v) - bottom) / (top - bottom) * r->h;
        if (y > r->y + r->h) y = r->y + r->h;
        cairo_rectangle(cr, r->x + (double)(i * PLOT_CELL) - 0.5, y - 1.5, PLOT_CELL + 1, 3);
    }
    cairo_fill(cr);
    pen_frame(cr, r);
}

/* Grey: how many blocks at which level, within each column. The line: their mean. */
void draw_entropy(cairo_t *cr, const struct plot *p, const struct plot_rect *r)
{
    pen_time_axis(cr, p, r, true);
    pen_value_axis(cr, r, 8, r->h > 90 ? 1 : r->h > 50 ? 2 : 4, "entropy (bit/byte)");
    double level_h = r->h / PLOT_ENTROPY_LEVELS;
    for (size_t i = 0; i < p->columns; i++) {
        if (!(p->entropy_count[i] > 0)) continue;
        for (size_t level = 0; level < PLOT_ENTROPY_LEVELS; level++) {
            double share = (double)p->entropy[level * p->columns + i] / p->entropy_count[i];
            if (share < 0.002) continue;
            cairo_set_source_rgba(cr, 0.25, 0.25, 0.35, 0.10 + 0.5 * sqrt(share));
            cairo_rectangle(cr, r->x + (double)(i * PLOT_CELL), r->y + r->h - (double)(level + 1) * level_h, PLOT_CELL,
                            level_h);
            cairo_fill(cr);
        }
    }
    pen_colour(cr, PEN_WRITE);
    for (size_t i = 0; i < p->columns; i++) {
        if (!(p->entropy_count[i] > 0)) continue;
        double y = r->y + r->h - p->entropy_sum[i] / p->entropy_count[i] / 8 * r->h;
        cairo_rectangle(cr, r->x + (double)(i * PLOT_CELL) - 0.5, y - 1.5, PLOT_CELL + 1, 3);
    }
    cairo_fill(cr);
    pen_frame(cr, r);
}

struct legend {
    cairo_t *cr;
    double x, y, room;
};

static void legend_row(struct legend *l, unsigned colour, const char *text)
{
    pen_colour(l->cr, colour);
    cairo_rectangle(l->cr, l->x, l->y - 9, 10, 10);
    cairo_fill(l->cr);
    pen_colour(l->cr, PEN_INK);
    pen_text_fit(l->cr, l->x + 16, l->y, 11, l->room - 16, text);
    l->y += 16;
}

void draw_summary(cairo_t *cr, const struct plot *p, const struct plot_rect *r)
{
    char text[160], bytes[32];
    struct legend l = {.cr = cr, .x = r->x, .y = r->y + 10, .room = r->w};
    axis_bytes_label((double)p->total_bytes[PLOT_READ], bytes, sizeof bytes);
    snprintf(text, sizeof text, "read: %s in %llu requests", bytes, (unsigned long long)p->requests[PLOT_READ]);
    legend_row(&l, PEN_READ, text);
    axis_bytes_label((double)p->total_bytes[PLOT_WRITE], bytes, sizeof bytes);
    snprintf(text, sizeof text, "%s: %s in %llu requests, %llu flushes", p->found_as_writes ? "found" : "written", bytes,
             (unsigned long long)p->requests[PLOT_WRITE], (unsigned long long)p->flushes);
    legend_row(&l, PEN_WRITE, text);
    axis_bytes_label((double)p->trimmed_bytes, bytes, sizeof bytes);
    snprintf(text, sizeof text, "trimmed or zeroed: %s", bytes);
    legend_row(&l, PEN_TRIM, text);
    snprintf(text, sizeof text, "gaps, not recorded: %llu", (unsigned long long)p->gaps_total);
    legend_row(&l, PEN_GAP, text);
    snprintf(text, sizeof text, "stretches of more than %g s of writing without a flush: %llu",
             (double)p->options.flushless_ns / 1e9, (unsigned long long)p->flushless_total);
    legend_row(&l, PEN_FLUSHLESS, text);
    if (l.y > r->y + r->h + 8) return;
    pen_colour(cr, 0x666666);
    pen_text_fit(cr, r->x, l.y + 2, 10, r->w, "entropy at the right: line = mean, grey = share of blocks at each level");
}

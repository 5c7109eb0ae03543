#include "search/plot/pen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_text(cairo_t *cr, double x, double y, double size, enum pen_align align, const char *text,
                     cairo_font_weight_t weight)
{
    cairo_text_extents_t extents;
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, weight);
    cairo_set_font_size(cr, size);
    cairo_text_extents(cr, text, &extents);
    double shift = align == PEN_LEFT ? 0 : align == PEN_CENTER ? extents.x_advance / 2 : extents.x_advance;
    cairo_move_to(cr, x - shift, y);
    cairo_show_text(cr, text);
}

void pen_text(cairo_t *cr, double x, double y, double size, enum pen_align align, const char *text)
{
    put_text(cr, x, y, size, align, text, CAIRO_FONT_WEIGHT_NORMAL);
}

void pen_text_bold(cairo_t *cr, double x, double y, double size, enum pen_align align, const char *text)
{
    put_text(cr, x, y, size, align, text, CAIRO_FONT_WEIGHT_BOLD);
}

static double fit_size(cairo_t *cr, double size, double room, const char *text)
{
    cairo_text_extents_t extents;
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance > room ? size * room / extents.x_advance : size;
}

void pen_text_fit(cairo_t *cr, double x, double y, double size, double room, const char *text)
{
    pen_text(cr, x, y, fit_size(cr, size, room, text), PEN_LEFT, text);
}

void pen_text_up(cairo_t *cr, double x, double y, double size, double room, const char *text)
{
    cairo_save(cr);
    cairo_translate(cr, x, y);
    cairo_rotate(cr, -3.14159265358979323846 / 2);
    pen_text(cr, 0, 0, fit_size(cr, size, room, text), PEN_CENTER, text);
    cairo_restore(cr);
}

void pen_colour(cairo_t *cr, unsigned rgb)
{
    cairo_set_source_rgb(cr, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0);
}

void pen_frame(cairo_t *cr, const struct plot_rect *r)
{
    pen_colour(cr, 0x666666);
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, r->x - 0.5, r->y - 0.5, r->w + 1, r->h + 1);
    cairo_stroke(cr);
}

void pen_line(cairo_t *cr, double x1, double y1, double x2, double y2)
{
    cairo_move_to(cr, x1, y1);
    cairo_line_to(cr, x2, y2);
    cairo_stroke(cr);
}

void pen_time_axis(cairo_t *cr, const struct plot *p, const struct plot_rect *r, bool labels)
{
    uint64_t range = p->to_ns - p->from_ns;
    uint64_t step = axis_time_step(range, (unsigned)(r->w / 90) + 1);
    cairo_set_line_width(cr, 1);
    uint64_t first = (p->from_ns / step + 1) * step, ticks = first <= p->to_ns ? (p->to_ns - first) / step + 1 : 0;
    for (uint64_t i = 0; i < ticks; i++) {
        uint64_t t = first + i * step;
        double x = floor(r->x + (double)(t - p->from_ns) / (double)range * r->w) + 0.5;
        if (!labels) {
            pen_colour(cr, 0xeeeeee);
            pen_line(cr, x, r->y, x, r->y + r->h);
        }
        pen_colour(cr, PEN_INK);
        pen_line(cr, x, r->y + r->h, x, r->y + r->h + 4);
        if (!labels) continue;
        char text[64];
        axis_time_label(t, step, text, sizeof text);
        pen_text(cr, x, r->y + r->h + 16, 11, PEN_CENTER, text);
    }
}

static void value_tick(cairo_t *cr, const struct plot_rect *r, double y, const char *text)
{
    y = floor(y) + 0.5;
    pen_colour(cr, 0xeeeeee);
    pen_line(cr, r->x, y, r->x + r->w, y);
    pen_colour(cr, PEN_INK);
    pen_line(cr, r->x - 4, y, r->x, y);
    pen_text(cr, r->x - 7, y + 4, 11, PEN_RIGHT, text);
}

void pen_value_axis(cairo_t *cr, const struct plot_rect *r, double high, double step, const char *title)
{
    if (!(step > 0)) step = axis_step(high, (unsigned)(r->h / 26) + 1);
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    cairo_set_line_width(cr, 1);
    for (unsigned i = 0; i * step <= high * (1 + 1e-6); i++) {
        char text[32];
        snprintf(text, sizeof text, "%.*f", decimals, i * step);
        value_tick(cr, r, r->y + r->h - i * step / high * r->h, text);
    }
    pen_text_up(cr, r->x - 56, r->y + r->h / 2, 11, r->h + 16, title);
}

/* 10 to the power of n, with superscript digits. */
static void decade_label(int n, char *buf, size_t bytes)
{
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    snprintf(buf, bytes, "10%s", n < 0 ? "⁻" : "");
    char plain[16];
    snprintf(plain, sizeof plain, "%d", n < 0 ? -n : n);
    for (const char *c = plain; *c; c++) strncat(buf, digits[*c - '0'], bytes - strlen(buf) - 1);
}

void pen_decade_axis(cairo_t *cr, const struct plot_rect *r, int low, int high, const char *title)
{
    int step = 1;
    while ((double)(high - low) / step > r->h / 22) step++;
    cairo_set_line_width(cr, 1);
    for (int n = low; n <= high; n += step) {
        char text[64];
        decade_label(n, text, sizeof text);
        value_tick(cr, r, r->y + r->h - (double)(n - low) / (high - low) * r->h, text);
    }
    pen_text_up(cr, r->x - 56, r->y + r->h / 2, 11, r->h + 16, title);
}

/* Small drawing helpers over cairo, shared by the files that draw. */
#ifndef CHV_SEARCH_PLOT_PEN_H
#define CHV_SEARCH_PLOT_PEN_H

#include <cairo.h>

#include "search/plot/plot.h"

enum pen_align { PEN_LEFT, PEN_CENTER, PEN_RIGHT };

/* Text at (x, baseline y); pen_text_fit and pen_text_up (turned a quarter to the left) shrink it into `room`. */
void pen_text(cairo_t *cr, double x, double y, double size, enum pen_align align, const char *text);
void pen_text_bold(cairo_t *cr, double x, double y, double size, enum pen_align align, const char *text);
void pen_text_fit(cairo_t *cr, double x, double y, double size, double room, const char *text);
void pen_text_up(cairo_t *cr, double x, double y, double size, double room, const char *text);
void pen_colour(cairo_t *cr, unsigned rgb); /* 0xRRGGBB */
void pen_frame(cairo_t *cr, const struct plot_rect *r);
void pen_line(cairo_t *cr, double x1, double y1, double x2, double y2);

/* The time axis under a panel: ticks, faint grid, labels when asked. */
void pen_time_axis(cairo_t *cr, const struct plot *p, const struct plot_rect *r, bool labels);
/* A value axis on the left: ticks from 0 to high every `step` (0: choose) with labels. */
void pen_value_axis(cairo_t *cr, const struct plot_rect *r, double high, double step, const char *title);
/* Decades from 10^low to 10^high. */
void pen_decade_axis(cairo_t *cr, const struct plot_rect *r, int low, int high, const char *title);

/* The panels. */
void draw_heat(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double low, double high);
void draw_scale(cairo_t *cr, const struct plot_rect *r, double low, double high);
void draw_throughput(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double most);
void draw_variance(cairo_t *cr, const struct plot *p, const struct plot_rect *r, int side, double low, double high);
void draw_entropy(cairo_t *cr, const struct plot *p, const struct plot_rect *r);
void draw_summary(cairo_t *cr, const struct plot *p, const struct plot_rect *r);

#define PEN_INK 0x222222u
#define PEN_FAINT 0xd9d9d9u
#define PEN_READ 0x1f6fb4u
#define PEN_WRITE 0xb5402au
#define PEN_GAP 0xd4001au
#define PEN_FLUSHLESS 0xf08c00u
#define PEN_TRIM 0xdedee6u

#endif

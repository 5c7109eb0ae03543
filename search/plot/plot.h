/* A recording at one glance: time × address heat maps of reads and writes, and curves over time below.
 *
 *   events ──► plot_scan (what range?) ──► plot_collect (bins) ──► plot_draw (cairo: SVG or PNG)
 *
 * Two passes over the log; memory is a few numbers per bin, whatever the length of the recording. */
#ifndef CHV_SEARCH_PLOT_H
#define CHV_SEARCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/store.h"

enum { PLOT_READ, PLOT_WRITE };
#define PLOT_ENTROPY_LEVELS 32
#define PLOT_WIDTH_MIN 800u
#define PLOT_HEIGHT_MIN 600u
#define PLOT_SIZE_MAX 10000u

typedef void plot_progress_fn(void *arg, uint64_t done, uint64_t total);

struct plot_options {
    uint16_t space;
    uint64_t from_seq, to_seq;
    uint64_t width, height;      /* of the picture, pixels */
    uint64_t flushless_ns;       /* writing for longer than this without a flush is marked; 0: 30 s */
    const char *store_name;      /* for the title */
    plot_progress_fn *progress;
    void *progress_arg;
};

/* What marks a cell besides bytes. */
enum { PLOT_TRIMMED = 1, PLOT_GAP = 2 };

/* Running mean and variance (Welford), by column. */
struct plot_moment {
    double n, mean, m2;
};

struct plot {
    struct plot_options options;
    char space_name[CHV_SPACE_NAME_BYTES + 1];
    uint32_t block_bytes;
    uint64_t from_ns, to_ns;      /* time axis: first and last event drawn */
    uint64_t lba, end_lba;        /* address axis, sectors */
    uint64_t space_sectors;
    bool zoomed;                  /* the axis shows part of the space: what was touched */
    bool found_as_writes;         /* nothing was recorded live: changes found by looking are drawn */

    size_t columns, rows;
    float *heat[2];               /* bytes per cell, [row * columns + column] */
    uint8_t *marks;               /* per cell: PLOT_TRIMMED (or zeroed), PLOT_GAP */
    uint8_t *gap_columns, *flushless_columns; /* per column: whether there was one */
    double *bytes[2];             /* per column */
    struct plot_moment *moments[2]; /* LBA of requests, in sectors, per column */
    float *entropy;               /* blocks by level, [level * columns + column] */
    double *entropy_sum, *entropy_count;

    uint64_t total_bytes[2], requests[2], flushes, trimmed_bytes, gaps_total, flushless_total;
};

/* Collect. ENODATA: nothing of this space was recorded in the range. */
int plot_new(const struct chv_store *store, const struct plot_options *options, struct plot **out,
             struct chv_err *err);
void plot_free(struct plot *plot);

enum plot_format { PLOT_SVG, PLOT_PNG };
/* Draw to a file; written whole or not at all. */
int plot_draw(const struct plot *plot, enum plot_format format, const char *path, struct chv_err *err);

/* Where things are in the picture; shared by collecting (bins are cells of pixels) and drawing. */
#define PLOT_CELL 2u /* pixels */
struct plot_rect {
    double x, y, w, h;
};
struct plot_layout {
    struct plot_rect heat[2], throughput[2], variance[2], entropy, summary, scale;
};
void plot_layout(uint64_t width, uint64_t height, struct plot_layout *out);

/* --- axes --------------------------------------------------------------------------------------- */

/* The step from {1, 2, 5} × 10^k that gives at most `most` ticks over `range`. */
double axis_step(double range, unsigned most);
/* The step of a time axis in ns (1, 2, 5 × 10^k s, then 15 s, 30 s, minutes, hours, days). */
uint64_t axis_time_step(uint64_t range_ns, unsigned most);
/* "10:41:07", "10:41:07.5" or "22 Nov 10:41", as the step asks for. UTC. */
void axis_time_label(uint64_t time_ns, uint64_t step_ns, char *buf, size_t bytes);
/* The unit a range of bytes is best told in: its name and bytes. */
const char *axis_byte_unit(double bytes, double *unit);
/* "250 ms", "36 min" */
void axis_duration_label(double seconds, char *buf, size_t bytes);
/* "1.5 GiB" */
void axis_bytes_label(double bytes, char *buf, size_t buf_bytes);

/* --- colour --------------------------------------------------------------------------------------- */

/* A perceptually even scale (lightness and distance in OKLab): 0 light, 1 dark. Components 0..1. */
void colour_scale(double t, double rgb[3]);
/* For tests: the OKLab coordinates of an sRGB colour. */
void colour_oklab(const double rgb[3], double lab[3]);

#endif

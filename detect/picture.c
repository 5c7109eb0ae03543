#include "detect/picture.h"

#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int picture_init(struct picture *p, uint32_t width, uint32_t height)
{
    *p = (struct picture){.width = width, .height = height};
    if (width < PICTURE_SIDE_MIN || width > PICTURE_SIDE_MAX || height < PICTURE_SIDE_MIN || height > PICTURE_SIDE_MAX)
        return -EINVAL;
    p->rgb = calloc((size_t)width * height, 3);
    return p->rgb ? 0 : -ENOMEM;
}

void picture_fini(struct picture *p)
{
    free(p->rgb);
    p->rgb = NULL;
}

int picture_write_png(const struct picture *p, const char *path, struct chv_err *err)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)p->width, (int)p->height);
    cairo_status_t status = cairo_surface_status(surface);
    if (status == CAIRO_STATUS_SUCCESS) {
        cairo_surface_flush(surface);
        uint8_t *to = cairo_image_surface_get_data(surface);
        int stride = cairo_image_surface_get_stride(surface);
        const uint8_t *from = p->rgb;
        for (uint32_t y = 0; y < p->height; y++)
            for (uint32_t x = 0; x < p->width; x++, from += 3) {
                uint32_t pixel = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
                memcpy(to + (size_t)y * (size_t)stride + 4 * (size_t)x, &pixel, 4);
            }
        cairo_surface_mark_dirty(surface);
        status = cairo_surface_write_to_png(surface, path);
    }
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS) return 0;
    return chv_err_set(err, status == CAIRO_STATUS_NO_MEMORY ? ENOMEM : EIO, "%s: %s", path, cairo_status_to_string(status));
}

struct cell {
    double bytes, entropy; /* entropy: times bytes, of those where it is known */
    double known;
};

static double brightness(double bytes, double most)
{
    return most > 0 ? log1p(bytes) / log1p(most) : 0;
}

static uint8_t level(double v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5);
}

static void paint(struct picture *p, const struct cell *cells, uint32_t half, double most)
{
    for (uint32_t y = 0; y < p->height; y++)
        for (uint32_t x = 0; x < 2 * half; x++) {
            const struct cell *c = &cells[(size_t)y * 2 * half + x];
            uint8_t *pixel = p->rgb + 3 * ((size_t)y * p->width + x);
            double light = brightness(c->bytes, most);
            if (x < half) { /* reads */
                pixel[0] = pixel[1] = pixel[2] = level(light);
                continue;
            }
            double heat = c->known > 0 ? c->entropy / c->known : 0.5;
            pixel[0] = level(light * heat);
            pixel[1] = level(light * 0.25);
            pixel[2] = level(light * (1 - heat));
        }
}

int picture_heatmap(struct picture *p, const struct access *accesses, size_t count, uint64_t from_ns, uint64_t to_ns)
{
    uint32_t half = p->width / 2;
    struct cell *cells = calloc((size_t)p->height * 2 * half, sizeof *cells);
    if (!cells) return -ENOMEM;
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < count; i++) {
        if (accesses[i].lba < low) low = accesses[i].lba;
        if (accesses[i].lba > high) high = accesses[i].lba;
    }
    double span = count ? (double)(high - low) + 1 : 1, time = to_ns > from_ns ? (double)(to_ns - from_ns) : 1, most = 0;
    for (size_t i = 0; i < count; i++) {
        const struct access *a = &accesses[i];
        if (a->time_ns < from_ns || a->time_ns >= to_ns) continue;
        uint32_t x = (uint32_t)((double)(a->lba - low) / span * half), y = (uint32_t)((double)(a->time_ns - from_ns) / time * p->height);
        if (x >= half) x = half - 1; /* the last address of a wide range rounds up */
        if (y >= p->height) y = p->height - 1;
        struct cell *c = &cells[(size_t)y * 2 * half + x + (a->kind == ACCESS_READ ? 0 : half)];
        double bytes = (double)a->sectors * 512;
        c->bytes += bytes;
        if (a->flags & ACCESS_ENTROPY) {
            c->known += bytes;
            c->entropy += bytes * a->entropy / 65535;
        }
        if (c->bytes > most) most = c->bytes;
    }
    paint(p, cells, half, most);
    free(cells);
    return 0;
}

/* Scale to [-1, 1] and average to n values (piecewise aggregate approximation). A constant series is all zeros. */
static void scale(const double *series, size_t count, size_t n, double *out)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        low = fmin(low, series[i]);
        high = fmax(high, series[i]);
    }
    for (size_t k = 0; k < n; k++) {
        size_t from = k * count / n, to = (k + 1) * count / n;
        if (to <= from) to = from + 1;
        double sum = 0;
        for (size_t i = from; i < to && i < count; i++) sum += series[i];
        double mean = count ? sum / (double)(to - from) : 0;
        out[k] = high > low ? (2 * mean - high - low) / (high - low) : 0;
        if (!(out[k] >= -1)) out[k] = -1;
        if (out[k] > 1) out[k] = 1;
    }
}

/* One field of side n at (left, top), into the colours from `first` to `last`. */
static void field(struct picture *p, const double *x, size_t n, uint32_t left, uint32_t top, int first, int last)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double v = sqrt(1 - x[i] * x[i]) * x[j] - x[i] * sqrt(1 - x[j] * x[j]);
            uint8_t *pixel = p->rgb + 3 * ((top + i) * p->width + left + j);
            for (int c = first; c <= last; c++) pixel[c] = level((v + 1) / 2);
        }
}

int picture_gadf(struct picture *p, const double *series, size_t channels, size_t count)
{
    uint32_t columns = 1;
    while (channels > 3 && (size_t)columns * columns < channels) columns++;
    uint32_t rows = channels > 3 ? (uint32_t)((channels + columns - 1) / columns) : 1;
    uint32_t wide = p->width / columns, high = p->height / rows, n = wide < high ? wide : high;
    double *x = malloc((n ? n : 1) * sizeof *x);
    if (!x) return -ENOMEM;
    for (size_t c = 0; c < channels && n > 0; c++) {
        scale(series + c * count, count, n, x);
        if (channels > 3)
            field(p, x, n, (uint32_t)(c % columns) * wide, (uint32_t)(c / columns) * high, 0, 2);
        else
            field(p, x, n, 0, 0, (int)c, channels == 1 ? 2 : (int)c);
    }
    free(x);
    return 0;
}

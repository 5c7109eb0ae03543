/* Pictures of a stream of accesses for people and for image classifiers: heat maps and Gramian angular fields. */
#ifndef CHV_DETECT_PICTURE_H
#define CHV_DETECT_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "detect/access.h"

#define PICTURE_SIDE_MIN 8u
#define PICTURE_SIDE_MAX 4096u

struct picture {
    uint32_t width, height; /* pixels */
    uint8_t *rgb;           /* 3 bytes a pixel, rows from the top */
};

/* Black. -EINVAL for a side out of range, -ENOMEM. */
int picture_init(struct picture *p, uint32_t width, uint32_t height);
void picture_fini(struct picture *p);
int picture_write_png(const struct picture *p, const char *path, struct chv_err *err);

/* Time downwards, addresses to the right: reads in the left half, changes in the right. The addresses are those of these
 * accesses, from the lowest to the highest: absolute ones would tell a classifier which run it looks at. Brightness is the
 * logarithm of the bytes; a change is the redder the higher the entropy of its content. 0 or -ENOMEM. */
int picture_heatmap(struct picture *p, const struct access *accesses, size_t count, uint64_t from_ns, uint64_t to_ns);

/* Gramian angular difference fields (Wang and Oates 2015, section 2): sin(phi_i - phi_j) of a series scaled to [-1, 1] and
 * averaged piecewise to the picture's side. Up to three series are its colours; more are tiles, in rows. `series` holds
 * `count` values of each of `channels`, one after the other. 0 or -ENOMEM. */
int picture_gadf(struct picture *p, const double *series, size_t channels, size_t count);

#endif

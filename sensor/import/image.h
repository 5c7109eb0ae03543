/* A disk image read front to back: raw (a file or a device), or qcow2 through qemu-nbd.
 *
 * Images are hostile. A raw image is never guessed to be something else, and a qcow2 image that
 * names other files (backing file, external data) is refused: it would pull in whatever it names.
 */
#ifndef CHV_SENSOR_IMPORT_IMAGE_H
#define CHV_SENSOR_IMPORT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

struct image;

/* format: "raw", "qcow2" or NULL: qcow2 when both the name and the first bytes say so, raw when neither does. */
int image_open(const char *path, const char *format, struct image **out, struct chv_err *err);
void image_close(struct image *image);

uint64_t image_bytes(const struct image *image);
const char *image_format(const struct image *image);

/* The extent that begins at `offset` (inside the image): where it ends, and whether it is known to read as zeros. */
int image_extent(struct image *image, uint64_t offset, uint64_t *end, bool *zeros, struct chv_err *err);
/* Read a range inside the image. */
int image_pread(struct image *image, void *buf, size_t bytes, uint64_t offset, struct chv_err *err);

#endif

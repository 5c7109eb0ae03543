/* Our own PE image, moved. */
#ifndef VISOR_BOOT_IMAGE_H
#define VISOR_BOOT_IMAGE_H

#include "visor/core/lib.h"

/* Applies the base relocations of the PE32+ image in image[bytes] (as laid out in memory) for a move by `delta` bytes.
 * False if the headers or relocations are not what they should be; the image is of no use then. */
bool image_relocate(uint8_t *image, size_t bytes, uint64_t delta);

#endif

/* The configuration: the text of chronovisor.cfg, a line each "name value", "#" begins a comment.
 * Parts read what they need at boot; a name may occur more than once. */
#ifndef VISOR_CORE_CONFIG_H
#define VISOR_CORE_CONFIG_H

#include "visor/core/lib.h"

#define CONFIG_VALUE_MAX 512

struct config {
    const char *text;
    size_t bytes;
};

/* Copies the index-th (from 0) value of `name`, without the blanks around it, to value[size]. False if there is none or
 * it does not fit; then value is "". */
bool config_get(const struct config *config, const char *name, unsigned index, char *value, size_t size);

/* Exactly 2n hexadecimal digits, lower case: out[n]. */
bool config_hex(const struct config *config, const char *name, uint8_t *out, size_t n);

/* A number in decimal, or with 0x in hexadecimal; `otherwise` if there is none or it is not one. */
uint64_t config_number(const struct config *config, const char *name, uint64_t otherwise);

#endif

/* STORE/held.json: while this file is there, sensors let no change through to the disks they record into this store:
 * writes wait, reads are served. It says why, as one JSON object. A file, so that it outlives whoever placed it, the
 * sensor and the host: a held disk stays held until a person releases it. */
#ifndef CHV_STORE_HELD_H
#define CHV_STORE_HELD_H

#include <stdbool.h>

#include "chronovisor/err.h"

/* Cheap enough to be asked many times a second. */
bool held_is(const char *store_dir);
/* Durable on return. 1: held already, and the older reason stays. */
int held_place(const char *store_dir, const char *json, struct chv_err *err);
/* 1 with malloc'd *json, 0 when not held, -errno. */
int held_read(const char *store_dir, char **json, struct chv_err *err);
/* 1 when it was held, 0 when not, -errno. */
int held_clear(const char *store_dir, struct chv_err *err);

#endif

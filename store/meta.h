/* What a store is (store.json), where its files are, and where recorded devices were (sources.json). */
#ifndef CHV_STORE_META_H
#define CHV_STORE_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "chronovisor/err.h"

#define STORE_PATH_BYTES 4096

struct meta {
    char dir[STORE_PATH_BYTES - 64]; /* leaves room for the names inside */
    uint8_t uuid[16];
    uint32_t block_bytes;
    bool is_signed;
    uint8_t public_key[32];
    char signing_key[1024]; /* path of the private key, or "" */
};

/* ENOENT: not a store. EPROTO: damaged or of another format. */
int meta_load(const char *dir, struct meta *out, struct chv_err *err);

/* Take the writer lock: a descriptor to close later, or EBUSY. */
int meta_lock(const struct meta *meta, struct chv_err *err);

/* DIR/log/00000001.seg, DIR/packs/00000001.pack, DIR/<name> */
void meta_segment_path(const struct meta *meta, uint64_t number, char path[STORE_PATH_BYTES]);
void meta_pack_path(const struct meta *meta, uint64_t number, char path[STORE_PATH_BYTES]);
void meta_path(const struct meta *meta, const char *name, char path[STORE_PATH_BYTES]);

/* Numbers of the files DIR/<folder>/<number><suffix>, sorted; the caller frees *numbers. */
int meta_list(const struct meta *meta, const char *folder, const char *suffix, uint64_t **numbers, uint64_t *count,
              struct chv_err *err);

/* Path recorded for a space name: malloc'd, or NULL. */
char *meta_source(const struct meta *meta, const char *space);
int meta_set_source(const struct meta *meta, const struct io *io, const char *space, const char *path,
                    struct chv_err *err);

#endif

/* The store and the space an import writes into.
 *
 * Looking comes first and changes nothing: import_target_look sees what is there, import_target_time
 * and the importer's own checks refuse what cannot be done. Only import_target_begin makes the store
 * and takes its writer lock.
 */
#ifndef CHV_SENSOR_IMPORT_TARGET_H
#define CHV_SENSOR_IMPORT_TARGET_H

#include "chronovisor/recorder.h"
#include "chronovisor/store.h"

typedef void import_progress_fn(const char *what, uint64_t done, uint64_t total);

struct import_options {
    const char *store_dir;        /* made when it is not there */
    const char *space;            /* "disk:vda" */
    uint32_t block_bytes;         /* of a store that is made; 0: 4096. One that is there must have it. */
    const char *signing_key;      /* path, or NULL: as the store is configured */
    import_progress_fn *progress; /* may be NULL */
};

struct import_target {
    const struct import_options *options; /* borrowed */
    struct chv_store *store;        /* as it was before the import; NULL: not made yet */
    const struct chv_space *before; /* the space in it; NULL: it is new */
    struct chv_recorder *rec;       /* from import_target_begin on */
    uint32_t block_bytes;
    uint16_t space;                 /* its id, once defined */
    uint64_t last_seq, last_time_ns; /* before the import; 0: nothing recorded */
};

/* What an import did. */
struct import_result {
    uint64_t events;     /* recorded for it */
    uint64_t new_blocks; /* contents stored for the first time */
    uint64_t last_seq;   /* of the log now: views of the import are as of this */
};

int import_target_look(struct import_target *t, const struct import_options *options, struct chv_err *err);
/* Refuse what would begin before the last recorded event or end in the future. `option` is what set the time. */
int import_target_time(const struct import_target *t, uint64_t start_ns, uint64_t end_ns, const char *option,
                       struct chv_err *err);
/* Make the store if need be and open it for writing; the recorder's own events carry start_ns. */
int import_target_begin(struct import_target *t, uint64_t start_ns, struct chv_err *err);
/* Find, define or resize the space. */
int import_target_space(struct import_target *t, uint64_t bytes, enum chv_rest rest, const char *source,
                        struct chv_err *err);
/* Everything durable, lock released; also after a failure, or when nothing was begun. `result` may be NULL. */
int import_target_close(struct import_target *t, struct import_result *result, struct chv_err *err);

static inline void import_progress(const struct import_target *t, const char *what, uint64_t done, uint64_t total)
{
    if (t->options->progress) t->options->progress(what, done, total);
}

#endif

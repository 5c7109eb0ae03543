/* Inside of `verify`: what its parts share. */
#ifndef CHV_STORE_VERIFY_H
#define CHV_STORE_VERIFY_H

#include "chronovisor/maintain.h"
#include "store/checkpoint.h"
#include "store/index.h"
#include "store/meta.h"

struct verify {
    const struct chv_verify_options *options;
    struct chv_verify_result *result;
    struct meta meta;
    const uint8_t *public_key;        /* NULL: unsigned store */
    struct checkpoint checkpoint;     /* seq 0: none */
    bool checkpoint_met;
    uint64_t pack, pack_bytes;        /* where packs end, as the last COMMIT says */
    uint64_t *pack_ends;              /* by pack number: bytes of good records; 0: not there */
    uint64_t pack_count;              /* entries in pack_ends: pack + 1 */
    uint64_t content_events, addr_entries; /* of indexed events: what the index must hold */
    struct index *index;              /* NULL: damaged */
};

void verify_fault(struct verify *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int verify_log(struct verify *v, struct chv_err *err);
int verify_packs(struct verify *v, struct chv_err *err);
int verify_index(struct verify *v, struct chv_err *err);

#endif

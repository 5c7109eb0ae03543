/* A checkpoint: seq and digest of a COMMIT, for safekeeping elsewhere. */
#ifndef CHV_STORE_CHECKPOINT_H
#define CHV_STORE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"

struct checkpoint {
    uint8_t uuid[16];
    uint64_t seq;
    uint8_t digest[32];
    bool is_signed;
    uint8_t public_key[32];
};

/* Parse and, when signed, check the signature. EINVAL says which line is wrong. */
int checkpoint_parse(const char *text, struct checkpoint *out, struct chv_err *err);

#endif

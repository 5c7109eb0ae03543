/* SHA-256 of a file whose content comes with its holes left out. */
#ifndef CHV_TIMELINE_FILES_DIGEST_H
#define CHV_TIMELINE_FILES_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct files_digest {
    void *context; /* EVP_MD_CTX */
    uint64_t at;   /* hashed so far */
};

/* All return 0 or -errno. Offsets must not go backwards; a hole of more than 1 TiB is -EFBIG, because a
 * hostile size must not keep anybody hashing zeros for ever. */
int files_digest_init(struct files_digest *d);
int files_digest_data(struct files_digest *d, uint64_t offset, const void *data, size_t bytes);
int files_digest_finish(struct files_digest *d, uint64_t size_bytes, uint8_t sha256[32]);
void files_digest_fini(struct files_digest *d);

#endif

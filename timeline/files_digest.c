#include "timeline/files_digest.h"

#include <errno.h>
#include <openssl/evp.h>

#define MAX_HOLE_BYTES (UINT64_C(1) << 40)

int files_digest_init(struct files_digest *d)
{
    *d = (struct files_digest){.context = EVP_MD_CTX_new()};
    if (!d->context) return -ENOMEM;
    return EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

static int hash_hole(struct files_digest *d, uint64_t until)
{
    static const unsigned char zeros[65536];
    if (until < d->at) return -EPROTO;
    if (until - d->at > MAX_HOLE_BYTES) return -EFBIG;
    while (d->at < until) {
        size_t n = until - d->at < sizeof zeros ? (size_t)(until - d->at) : sizeof zeros;
        if (EVP_DigestUpdate(d->context, zeros, n) != 1) return -EIO;
        d->at += n;
    }
    return 0;
}

int files_digest_data(struct files_digest *d, uint64_t offset, const void *data, size_t bytes)
{
    int r = hash_hole(d, offset);
    if (r < 0) return r;
    d->at += bytes;
    return EVP_DigestUpdate(d->context, data, bytes) == 1 ? 0 : -EIO;
}

int files_digest_finish(struct files_digest *d, uint64_t size_bytes, uint8_t sha256[32])
{
    int r = hash_hole(d, size_bytes);
    if (r < 0) return r;
    return EVP_DigestFinal_ex(d->context, sha256, NULL) == 1 ? 0 : -EIO;
}

void files_digest_fini(struct files_digest *d)
{
    EVP_MD_CTX_free(d->context);
    d->context = NULL;
}

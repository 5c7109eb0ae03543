#include "store/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "chronovisor/maintain.h"
#include "store/sign.h"
#include "store/snapshot.h"

/* The value of line `key` at *p, which must come next; moves *p behind it. */
static bool take_line(const char **p, const char *key, char *value, size_t room)
{
    size_t n = strlen(key);
    const char *end = strchr(*p, '\n');
    if (!end || strncmp(*p, key, n) != 0 || (*p)[n] != ':' || (*p)[n + 1] != ' ') return false;
    size_t length = (size_t)(end - *p) - n - 2;
    if (length >= room) return false;
    memcpy(value, *p + n + 2, length);
    value[length] = 0;
    *p = end + 1;
    return true;
}

static bool take_hex(const char **p, const char *key, uint8_t *bytes, size_t count)
{
    char value[160];
    return take_line(p, key, value, sizeof value) && strlen(value) == 2 * count && hex_parse(value, bytes, count) == 0;
}

int checkpoint_parse(const char *text, struct checkpoint *out, struct chv_err *err)
{
    const char *p = text;
    char value[160], extra;
    uint8_t signature[64];
    memset(out, 0, sizeof *out);
    if (!take_line(&p, "chronovisor-checkpoint", value, sizeof value) || strcmp(value, "1") != 0)
        return chv_err_set(err, EINVAL, "not a checkpoint ('chronovisor-checkpoint: 1' must be its first line)");
    if (!take_hex(&p, "store", out->uuid, 16)) return chv_err_set(err, EINVAL, "checkpoint line 2 must be 'store: UUID'");
    if (!take_line(&p, "seq", value, sizeof value) || sscanf(value, "%" SCNu64 "%c", &out->seq, &extra) != 1 || out->seq == 0)
        return chv_err_set(err, EINVAL, "checkpoint line 3 must be 'seq: NUMBER'");
    if (!take_line(&p, "time", value, sizeof value)) return chv_err_set(err, EINVAL, "checkpoint line 4 must be 'time: …'");
    if (!take_hex(&p, "digest", out->digest, 32)) return chv_err_set(err, EINVAL, "checkpoint line 5 must be 'digest: HEX'");
    if (!*p) return 0;
    size_t signed_bytes = (size_t)(p - text);
    if (!take_hex(&p, "public-key", out->public_key, 32) || !take_hex(&p, "signature", signature, 64) || *p)
        return chv_err_set(err, EINVAL, "checkpoint lines 6 and 7 must be 'public-key: HEX' and 'signature: HEX'");
    if (!signature_valid(out->public_key, text, signed_bytes, signature))
        return chv_err_set(err, EINVAL, "the checkpoint's signature is not good: it was changed");
    out->is_signed = true;
    return 0;
}

int chv_store_checkpoint(const char *dir, const char *signing_key, char text[CHV_CHECKPOINT_BYTES], struct chv_err *err)
{
    struct chv_store *store;
    struct chv_event e;
    int r = chv_store_open(dir, &store, err);
    if (r < 0) return r;
    if (store->last_seq == 0) {
        chv_store_close(store);
        return chv_err_set(err, ENOENT, "%s: nothing has been recorded yet", dir);
    }
    struct signer *signer = NULL;
    const char *key = signing_key ? signing_key : store->meta.is_signed ? store->meta.signing_key : NULL;
    r = chv_store_event(store, store->last_seq, &e, err); /* what is durable ends with a COMMIT */
    if (r == 0 && e.op != CHV_OP_COMMIT)
        r = chv_err_set(err, EBADMSG, "seq:%" PRIu64 " is no COMMIT; 'chronovisor verify' says more", e.seq);
    if (r == 0 && key) r = signer_load(key, &signer, err);
    if (r == 0) {
        char uuid[33], digest[65], when[CLOCK_TEXT_BYTES], hex[129];
        uint8_t signature[64];
        int n = snprintf(text, CHV_CHECKPOINT_BYTES, "chronovisor-checkpoint: 1\nstore: %s\nseq: %" PRIu64 "\ntime: %s\ndigest: %s\n",
                         hex_format(store->meta.uuid, 16, uuid), e.seq, clock_format(clock_now_ns(), when),
                         hex_format(e.hash, 32, digest));
        if (signer) {
            r = signer_sign(signer, text, (size_t)n, signature);
            if (r < 0) chv_err_set(err, EIO, "the checkpoint could not be signed");
            n += snprintf(text + n, CHV_CHECKPOINT_BYTES - (size_t)n, "public-key: %s\n", hex_format(signer_public_key(signer), 32, hex));
            n += snprintf(text + n, CHV_CHECKPOINT_BYTES - (size_t)n, "signature: %s\n", hex_format(signature, 64, hex));
        }
        if (r == 0 && (r = io_replace(&io_real, dir, "checkpoint", text, (size_t)n)) < 0)
            chv_err_set(err, -r, "%s/checkpoint: %s", dir, strerror(-r));
    }
    signer_free(signer);
    chv_store_close(store);
    return r;
}

/* `verify`: one pass over the log, one over the packs, one over the index. */
#include "store/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/custody.h"

void verify_fault(struct verify *v, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    v->result->faults++;
    if (v->options->fault) v->options->fault(v->options->fault_arg, text);
}

static int load_checkpoint(struct verify *v, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], *text;
    size_t bytes;
    const char *given = v->options->checkpoint;
    meta_path(&v->meta, "checkpoint", path);
    int r = io_read_file(given ? given : path, 1 << 16, &text, &bytes);
    if (r == -ENOENT && !given) return 0;
    if (r < 0) return chv_err_set(err, -r, "checkpoint %s: %s", given ? given : path, strerror(-r));
    struct chv_err why;
    r = checkpoint_parse(text, &v->checkpoint, &why);
    free(text);
    if (r < 0 && given) return chv_err_set(err, EINVAL, "%s: %s", given, why.text);
    if (r < 0) {
        verify_fault(v, "checkpoint: %s", why.text);
        v->checkpoint.seq = 0;
        return 0;
    }
    if (memcmp(v->checkpoint.uuid, v->meta.uuid, 16) != 0) {
        if (given) return chv_err_set(err, EINVAL, "%s is a checkpoint of another store", given);
        verify_fault(v, "checkpoint: of another store");
        v->checkpoint.seq = 0;
    } else if (v->checkpoint.is_signed && v->public_key && memcmp(v->checkpoint.public_key, v->public_key, 32) != 0) {
        verify_fault(v, "checkpoint: signed by another key than the store's");
    }
    return 0;
}

int chv_store_verify(const char *dir, const struct chv_verify_options *options, struct chv_verify_result *result,
                     struct chv_err *err)
{
    struct verify v = {.options = options, .result = result};
    struct chv_err why;
    memset(result, 0, sizeof *result);
    int r = meta_load(dir, &v.meta, err);
    if (r < 0) return r;
    v.public_key = options->public_key ? options->public_key : v.meta.is_signed ? v.meta.public_key : NULL;
    r = load_checkpoint(&v, err);
    if (r < 0) return r;
    if (index_load(&v.meta, true, &v.index, &why) < 0) {
        verify_fault(&v, "%s", why.text);
        v.index = NULL;
    }
    r = verify_log(&v, err);
    if (r == 0) r = verify_packs(&v, err);
    if (r == 0 && v.index) r = verify_index(&v, err);
    if (r == 0 && custody_verify(dir, &result->custody_lines, &why) < 0) verify_fault(&v, "%s", why.text);
    index_unref(v.index);
    free(v.pack_ends);
    return r;
}

#include "sensor/memory/ram_capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/text_space.h"

int ram_capture_space_name(const char *space, char name[CHV_SPACE_NAME_BYTES + 1], struct chv_err *err)
{
    size_t n = strlen(space), most = CHV_SPACE_NAME_BYTES - strlen(CAPTURE_PREFIX);
    if (n == 0 || n > most) return chv_err_set(err, EINVAL, "space '%.60s': the name of a memory has 1 to %zu bytes", space, most);
    if (strncmp(space, CAPTURE_PREFIX, strlen(CAPTURE_PREFIX)) == 0)
        return chv_err_set(err, EINVAL, "space '%s': such names describe captures, they are not memory", space);
    strcpy(name, CAPTURE_PREFIX);
    strcat(name, space);
    return 0;
}

int ram_capture_write(const struct sink *sink, uint16_t id, uint32_t block_bytes, const struct ram_capture *capture,
                  uint64_t time_ns, struct chv_err *err)
{
    json_t *root = ram_capture_to_json(capture);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(root);
    char *padded = calloc(1, CAPTURE_BYTES);
    size_t bytes = text ? strlen(text) : 0;
    int r = 0;
    if (!text || !padded)
        r = chv_err_set(err, ENOMEM, "out of memory");
    else if (bytes >= CAPTURE_BYTES)
        r = chv_err_set(err, E2BIG, "the guest has too many processors and memory ranges to be described");
    if (r == 0) {
        memcpy(padded, text, bytes);
        const struct text_space to = {.id = id, .block_bytes = block_bytes, .time_ns = time_ns, .end = CAPTURE_BYTES};
        r = text_space_write(sink, &to, padded, (bytes / block_bytes + 1) * block_bytes, err); /* a NUL behind it, always */
    }
    free(text);
    free(padded);
    return r;
}

/* The text of the description in force at `seq`, NUL-terminated, in `text`. */
static int read_text(const struct chv_store *store, const struct chv_space *space, uint64_t seq, char *text, struct chv_err *err)
{
    const uint32_t block_bytes = chv_store_block_bytes(store);
    int whole = text_space_seq(store, space, seq, &seq, err);
    if (whole < 0) return whole;
    for (uint64_t b = 0; b < CAPTURE_BYTES / block_bytes; b++) {
        struct chv_extent e;
        char *at = text + b * block_bytes;
        int r = chv_store_block_at(store, space->id, b, seq, &e, err);
        if (r == 0 && e.state == CHV_STATE_ZERO) return 0;
        if (r == 0 && e.state != CHV_STATE_DATA)
            r = chv_err_set(err, EIO, "%s: part of it was not recorded", space->name);
        if (r == 0) r = chv_store_read_block(store, e.hash, at, err);
        if (r < 0) return r;
        if (memchr(at, 0, block_bytes)) return 0;
    }
    return 0;
}

static const struct chv_space *find_exact(const struct chv_store *store, const char *name)
{
    for (size_t i = 0; i < chv_store_space_count(store); i++)
        if (strcmp(chv_store_space(store, i)->name, name) == 0) return chv_store_space(store, i);
    return NULL;
}

int ram_capture_read(const struct chv_store *store, const char *space, uint64_t seq, struct ram_capture **out, struct chv_err *err)
{
    char name[CHV_SPACE_NAME_BYTES + 1];
    int r = ram_capture_space_name(space, name, err);
    if (r < 0) return r;
    const struct chv_space *found = find_exact(store, name);
    char *text = calloc(1, CAPTURE_BYTES + 1);
    *out = calloc(1, sizeof **out);
    if (!text || !*out)
        r = chv_err_set(err, ENOMEM, "out of memory");
    else if (found)
        r = read_text(store, found, seq, text, err);
    if (r == 0 && !text[0])
        r = chv_err_set(err, ENOENT, "%s: no capture of the memory '%s' as of seq:%llu; 'chronovisor acquire ram' makes one",
                        chv_store_dir(store), space, (unsigned long long)seq);
    json_t *root = r == 0 ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (r == 0) r = root ? ram_capture_from_json(root, *out, err) : chv_err_set(err, EPROTO, "it is not JSON");
    if (r < 0 && r != -ENOENT) chv_err_prefix(err, "%s", name);
    json_decref(root);
    free(text);
    if (r < 0) {
        free(*out);
        *out = NULL;
    }
    return r;
}

/* The seq of the description in force at `seq`; 0: there is none. Its first block changes whenever it is written: it holds times. */
static int description_at(const struct chv_store *store, const struct chv_space *description, uint64_t seq, uint64_t *found,
                          struct chv_err *err)
{
    struct chv_extent e;
    int r = chv_store_block_at(store, description->id, 0, seq, &e, err);
    *found = r == 0 && e.seq <= seq ? e.seq : 0;
    return r;
}

int ram_capture_view_seq(const struct chv_store *store, const struct chv_space *space, uint64_t seq, uint64_t *view_seq, struct chv_err *err)
{
    char name[CHV_SPACE_NAME_BYTES + 1];
    struct chv_event next;
    struct ram_capture *begun = NULL, *ended = NULL;
    uint64_t at;
    *view_seq = seq;
    const struct chv_space *description = ram_capture_space_name(space->name, name, NULL) == 0 ? find_exact(store, name) : NULL;
    if (!description) return 0;
    int r = description_at(store, description, seq, &at, err);
    if (r < 0 || at == 0) return r;
    r = chv_store_next_version(store, description->id, 0, at, &next, err);
    if (r == 1) r = ram_capture_read(store, space->name, at, &begun, err);
    if (r == 0 && begun && !begun->complete && begun->mode != CAPTURE_LIVE) {
        r = ram_capture_read(store, space->name, next.seq, &ended, err);
        if (r == 0 && ended->complete && ended->begin_ns == begun->begin_ns) *view_seq = next.seq;
    }
    free(begun);
    free(ended);
    return r < 0 ? r : 0;
}

int ram_capture_instant(const struct chv_store *store, const char *space, uint64_t *seq, struct chv_err *err)
{
    char name[CHV_SPACE_NAME_BYTES + 1];
    struct chv_store_info info;
    uint64_t end = 0;
    chv_store_info(store, &info);
    int r = ram_capture_space_name(space, name, err);
    const struct chv_space *description = r == 0 ? find_exact(store, name) : NULL;
    *seq = 0;
    if (description) r = description_at(store, description, info.last_seq, &end, err);
    if (r == 0 && end > 1) r = description_at(store, description, end - 1, seq, err);
    return r == 0 && *seq == 0 ? chv_err_set(err, ENOENT, "no capture of '%s'", space) : r;
}

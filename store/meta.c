#include "store/meta.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/event.h"
#include "base/clock.h"
#include "base/hex.h"
#include "chronovisor/recorder.h"
#include "store/sign.h"

void meta_path(const struct meta *meta, const char *name, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/%s", meta->dir, name);
}

void meta_segment_path(const struct meta *meta, uint64_t number, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/log/%08llu.seg", meta->dir, (unsigned long long)number);
}

void meta_pack_path(const struct meta *meta, uint64_t number, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/packs/%08llu.pack", meta->dir, (unsigned long long)number);
}

static int fits(const char *dir, struct chv_err *err)
{
    if (strlen(dir) < sizeof((struct meta *)0)->dir) return 0;
    return chv_err_set(err, ENAMETOOLONG, "the store's path is too long");
}

int meta_load(const char *dir, struct meta *out, struct chv_err *err)
{
    int r = fits(dir, err);
    if (r < 0) return r;
    memset(out, 0, sizeof *out);
    snprintf(out->dir, sizeof out->dir, "%s", dir);
    char path[STORE_PATH_BYTES], *text;
    size_t bytes;
    meta_path(out, "store.json", path);
    r = io_read_file(path, 1 << 16, &text, &bytes);
    if (r == -ENOENT || r == -ENOTDIR)
        return chv_err_set(err, ENOENT, "%s is not an evidence store (no store.json); 'chronovisor record' makes one", dir);
    if (r < 0) return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    json_t *root = json_loadb(text, bytes, 0, NULL);
    free(text);
    const char *uuid = json_string_value(json_object_get(root, "uuid"));
    const char *key = json_string_value(json_object_get(root, "public_key"));
    const char *signing = json_string_value(json_object_get(root, "signing_key"));
    json_int_t format = json_integer_value(json_object_get(root, "format"));
    json_int_t block = json_integer_value(json_object_get(root, "block_bytes"));
    if (root && format != CHV_FORMAT_VERSION)
        r = chv_err_set(err, EPROTO, "%s: log format %lld; this program reads format %u", path, (long long)format,
                        CHV_FORMAT_VERSION);
    else if (!uuid || strlen(uuid) != 32 || hex_parse(uuid, out->uuid, 16) < 0 || (block != 4096 && block != 512) ||
             (key && (strlen(key) != 64 || hex_parse(key, out->public_key, 32) < 0)) ||
             (signing && strlen(signing) >= sizeof out->signing_key))
        r = chv_err_set(err, EPROTO, "%s is damaged; restore it from a copy", path);
    out->block_bytes = (uint32_t)block;
    out->is_signed = key != NULL;
    if (r == 0 && signing) snprintf(out->signing_key, sizeof out->signing_key, "%s", signing);
    json_decref(root);
    return r;
}

int meta_lock(const struct meta *meta, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    meta_path(meta, "lock", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return chv_err_set(err, EBUSY, "%s is being written by another process; stop that first", meta->dir);
    }
    return fd;
}

static int make_dirs(const struct meta *meta, struct chv_err *err)
{
    static const char *const names[] = {"", "log", "packs", "index"};
    char path[STORE_PATH_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        meta_path(meta, names[i], path);
        if (mkdir(path, 0700) < 0 && errno != EEXIST) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    }
    return 0;
}

/* What a creation that was killed leaves: store.json comes last. */
static bool is_remnant(const char *dir, const char *name)
{
    if (strcmp(name, "store.json.tmp") == 0) return true;
    if (strcmp(name, "log") != 0 && strcmp(name, "packs") != 0 && strcmp(name, "index") != 0) return false;
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    DIR *d = opendir(path);
    bool empty = d != NULL;
    for (struct dirent *e; empty && (e = readdir(d));) empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d) closedir(d);
    return empty;
}

static int must_be_empty(const char *dir, struct chv_err *err)
{
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT ? 0 : chv_err_set(err, errno, "%s: %s", dir, strerror(errno));
    int r = 0;
    for (struct dirent *e; r != -EEXIST && (e = readdir(d));) { /* store.json may come last */
        if (strcmp(e->d_name, "store.json") == 0)
            r = chv_err_set(err, EEXIST, "%s already is an evidence store", dir);
        else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "lost+found") != 0 &&
                 !is_remnant(dir, e->d_name))
            r = chv_err_set(err, ENOTEMPTY, "%s is not empty and not a store; give an empty or new directory", dir);
    }
    closedir(d);
    return r;
}

int chv_store_create(const char *dir, const struct chv_store_config *config, struct chv_err *err)
{
    struct meta meta = {.block_bytes = config && config->block_bytes ? config->block_bytes : 4096};
    int r = fits(dir, err);
    if (r < 0) return r;
    if (meta.block_bytes != 4096 && meta.block_bytes != 512)
        return chv_err_set(err, EINVAL, "block size %u; a store has blocks of 4096 or 512 bytes", meta.block_bytes);
    snprintf(meta.dir, sizeof meta.dir, "%s", dir);
    char uuid[33], key[65], when[CLOCK_TEXT_BYTES];
    json_t *public_key = json_null(), *signing = json_null();
    if (config && config->signing_key) {
        char *absolute = realpath(config->signing_key, NULL);
        if (!absolute) return chv_err_set(err, errno, "signing key %s: %s", config->signing_key, strerror(errno));
        struct signer *signer;
        r = signer_load(absolute, &signer, err);
        if (r == 0) {
            public_key = json_string(hex_format(signer_public_key(signer), 32, key));
            signing = json_string(absolute);
            signer_free(signer);
        }
        free(absolute);
        if (r < 0) return r;
    }
    r = must_be_empty(dir, err);
    if (r == 0) r = make_dirs(&meta, err);
    if (r == 0 && RAND_bytes(meta.uuid, sizeof meta.uuid) != 1) r = chv_err_set(err, EIO, "no random numbers");
    if (r < 0) {
        json_decref(public_key);
        json_decref(signing);
        return r;
    }
    json_t *root = json_pack("{s:i, s:s, s:i, s:s, s:o, s:o}", "format", (int)CHV_FORMAT_VERSION, "uuid",
                             hex_format(meta.uuid, 16, uuid), "block_bytes", (int)meta.block_bytes, "created",
                             clock_format(clock_now_ns(), when), "public_key", public_key, "signing_key", signing);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(root);
    if (!text) return chv_err_set(err, ENOMEM, "%s: out of memory", dir);
    size_t n = strlen(text);
    text[n] = '\n';
    r = io_replace(&io_real, dir, "store.json", text, n + 1);
    free(text);
    if (r < 0) return chv_err_set(err, -r, "%s/store.json: %s", dir, strerror(-r));
    return 0;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int meta_list(const struct meta *meta, const char *folder, const char *suffix, uint64_t **numbers, uint64_t *count,
              struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    meta_path(meta, folder, path);
    *numbers = NULL;
    *count = 0;
    DIR *d = opendir(path);
    if (!d) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    size_t room = 0;
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        char *end;
        if (e->d_name[0] < '0' || e->d_name[0] > '9') continue;
        uint64_t number = strtoull(e->d_name, &end, 10);
        if (strcmp(end, suffix) != 0 || number == 0) continue;
        if (*count == room) {
            room = room ? 2 * room : 64;
            uint64_t *grown = realloc(*numbers, room * sizeof **numbers);
            if (!grown) r = chv_err_set(err, ENOMEM, "%s: out of memory", path);
            else *numbers = grown;
        }
        if (r == 0) (*numbers)[(*count)++] = number;
    }
    closedir(d);
    if (r < 0) {
        free(*numbers);
        *numbers = NULL;
        return r;
    }
    if (*count > 1) qsort(*numbers, *count, sizeof **numbers, compare_u64);
    return 0;
}

static json_t *sources_load(const struct meta *meta)
{
    char path[STORE_PATH_BYTES];
    meta_path(meta, "sources.json", path);
    return json_load_file(path, 0, NULL);
}

char *meta_source(const struct meta *meta, const char *space)
{
    json_t *root = sources_load(meta);
    const char *path = json_string_value(json_object_get(root, space));
    char *copy = path ? strdup(path) : NULL;
    json_decref(root);
    return copy;
}

int meta_set_source(const struct meta *meta, const struct io *io, const char *space, const char *path,
                    struct chv_err *err)
{
    json_t *root = sources_load(meta);
    if (!json_is_object(root)) {
        json_decref(root);
        root = json_object();
    }
    const char *now = json_string_value(json_object_get(root, space));
    int r = 0;
    if (!now || strcmp(now, path) != 0) {
        json_t *value = json_string(path);
        char *text = NULL;
        if (!value || json_object_set_new(root, space, value) < 0 ||
            !(text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS)))
            r = chv_err_set(err, EINVAL, "'%s' cannot be kept as a source: not UTF-8", path);
        if (text && (r = io_replace(io, meta->dir, "sources.json", text, strlen(text))) < 0)
            chv_err_set(err, -r, "%s/sources.json: %s", meta->dir, strerror(-r));
        free(text);
    }
    json_decref(root);
    return r;
}

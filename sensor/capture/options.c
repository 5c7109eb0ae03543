#include "sensor/capture/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int parse_path(const struct session_options *o, const char *key, const char *value, const char **out,
                      struct chv_err *err)
{
    if (!*value) return chv_err_set(err, EINVAL, "%s has no path", key);
    const char *path = o->resolve ? o->resolve(value) : value;
    if (!path) return chv_err_set(err, ENOMEM, "out of memory");
    *out = path;
    return 0;
}

/* "PATH", or "NAME=PATH" where NAME is of letters, digits, '.', '_', '-' and no file is called all of it. */
static int parse_disk(struct session_options *o, const char *value, struct chv_err *err)
{
    if (o->disks == SESSION_DISKS_MAX) return chv_err_set(err, EINVAL, "disk: more than %d of them", SESSION_DISKS_MAX);
    struct session_disk d = {.space = "disk:vda"};
    const char *equals = strchr(value, '=');
    size_t length = equals ? (size_t)(equals - value) : 0;
    struct stat st;
    bool named = length > 0 && stat(value, &st) < 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)value[i]) && !strchr("._-", value[i])) named = false;
    if (named && length > CHV_SPACE_NAME_BYTES - strlen("disk:"))
        return chv_err_set(err, EINVAL, "disk '%.40s': its name is longer than %zu characters", value,
                           CHV_SPACE_NAME_BYTES - strlen("disk:"));
    if (named)
        snprintf(d.space, sizeof d.space, "disk:%.*s", (int)length, value);
    else if (o->disks > 0)
        return chv_err_set(err, EINVAL, "disk: of several each needs a name: NAME=%s", value);
    for (size_t i = 0; i < o->disks; i++)
        if (strcmp(o->disk[i].space, d.space) == 0)
            return chv_err_set(err, EINVAL, "disk: two are called %s", d.space);
    const char *path = named ? equals + 1 : value;
    if (!*path) return chv_err_set(err, EINVAL, "disk '%.40s' has no path", value);
    int r = parse_path(o, "disk", path, &d.path, err);
    if (r == 0) o->disk[o->disks++] = d;
    return r;
}

/* Which of the words it is, from 0, or an error. */
static int parse_word(const char *key, const char *value, const char *const *words, struct chv_err *err)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(value, words[i]) == 0) return i;
    return chv_err_set(err, EINVAL, "%s '%.40s' is not one of %s, %s%s%s", key, value, words[0], words[1],
                       words[2] ? ", " : "", words[2] ? words[2] : "");
}

static int parse_switch(const char *key, const char *value, const char *const *words, bool *out, struct chv_err *err)
{
    int r = parse_word(key, value, words, err);
    if (r >= 0) *out = r == 1;
    return r < 0 ? r : 0;
}

static int parse_number(const char *key, const char *value, uint32_t *out, struct chv_err *err)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || errno || *end || v > UINT32_MAX)
        return chv_err_set(err, EINVAL, "%s '%.40s' is not a number from 0 to %u", key, value, UINT32_MAX);
    *out = (uint32_t)v;
    return 0;
}

static int parse_queue(const char *value, uint32_t *out, struct chv_err *err)
{
    uint32_t blocks = 0;
    int r = parse_number("queue", value, &blocks, err);
    if (r < 0) return r;
    if (blocks != 0 && (blocks < CHV_QUEUE_BLOCKS_MIN || blocks > CHV_QUEUE_BLOCKS_MAX))
        return chv_err_set(err, EINVAL, "queue %u: a queue has %u to %u blocks", blocks, CHV_QUEUE_BLOCKS_MIN,
                           CHV_QUEUE_BLOCKS_MAX);
    *out = blocks;
    return 0;
}

static int parse_block_size(const char *value, uint32_t *out, struct chv_err *err)
{
    uint32_t bytes = 0;
    int r = parse_number("block-size", value, &bytes, err);
    if (r < 0) return r;
    if (bytes != 512 && bytes != 4096)
        return chv_err_set(err, EINVAL, "block-size %u is neither 512 nor 4096", bytes);
    *out = bytes;
    return 0;
}

int session_option(struct session_options *o, const char *key, const char *value, struct chv_err *err)
{
    static const char *const baselines[] = {"cow", "full", "none", NULL};
    static const char *const on_off[] = {"off", "on", NULL};
    static const char *const behind[] = {"block", "gap", NULL};
    if (strcmp(key, "store") == 0) return parse_path(o, key, value, &o->store_dir, err);
    if (strcmp(key, "sign") == 0) return parse_path(o, key, value, &o->signing_key, err);
    if (strcmp(key, "socket") == 0) return parse_path(o, key, value, &o->socket, err);
    if (strcmp(key, "disk") == 0) return parse_disk(o, value, err);
    if (strcmp(key, "reads") == 0) return parse_switch(key, value, on_off, &o->record_reads, err);
    if (strcmp(key, "resync") == 0) return parse_switch(key, value, on_off, &o->resync, err);
    if (strcmp(key, "when-behind") == 0) return parse_switch(key, value, behind, &o->gap_when_behind, err);
    if (strcmp(key, "queue") == 0) return parse_queue(value, &o->queue_blocks, err);
    if (strcmp(key, "block-size") == 0) return parse_block_size(value, &o->block_bytes, err);
    if (strcmp(key, "baseline") != 0) return chv_err_set(err, ENOENT, "no option '%.40s'", key);
    int r = parse_word(key, value, baselines, err);
    if (r >= 0) o->baseline = (enum session_baseline)r;
    return r < 0 ? r : 0;
}

int session_options_complete(const struct session_options *o, struct chv_err *err)
{
    if (!o->store_dir) return chv_err_set(err, EINVAL, "where to? add store=DIR");
    if (o->disks == 0) return chv_err_set(err, EINVAL, "which disk? add disk=[NAME=]PATH");
    return 0;
}

const char *session_export_name(const char *space)
{
    return strncmp(space, "disk:", 5) == 0 ? space + 5 : space;
}

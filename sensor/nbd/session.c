#include "sensor/nbd/session.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* "PATH", or "NAME=PATH" where NAME is of letters, digits, '.', '_', '-' and no file is called all of it. */
static int parse_disk(struct session_options *o, const char *value, struct chv_err *err)
{
    if (o->disks == SESSION_DISKS_MAX) return chv_err_set(err, EINVAL, "more than %d disks", SESSION_DISKS_MAX);
    struct session_disk *d = &o->disk[o->disks];
    const char *equals = strchr(value, '=');
    size_t length = equals ? (size_t)(equals - value) : 0;
    struct stat st;
    bool named = length > 0 && stat(value, &st) < 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)value[i]) && !strchr("._-", value[i])) named = false;
    if (named && length > CHV_SPACE_NAME_BYTES - strlen("disk:"))
        return chv_err_set(err, EINVAL, "the disk's name '%.40s' is longer than 27 characters", value);
    d->path = named ? equals + 1 : value;
    if (named)
        snprintf(d->space, sizeof d->space, "disk:%.*s", (int)length, value);
    else if (o->disks == 0)
        snprintf(d->space, sizeof d->space, "disk:vda");
    else
        return chv_err_set(err, EINVAL, "of several disks each needs a name: NAME=%s", value);
    if (!*d->path) return chv_err_set(err, EINVAL, "disk '%s' has no path", value);
    for (size_t i = 0; i < o->disks; i++)
        if (strcmp(o->disk[i].space, d->space) == 0)
            return chv_err_set(err, EINVAL, "two disks are called %s", d->space);
    o->disks++;
    return 0;
}

static int parse_word(const char *key, const char *value, const char *const *words, struct chv_err *err)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(value, words[i]) == 0) return i;
    return chv_err_set(err, EINVAL, "%s '%.40s' is not one of %s, %s%s%s", key, value, words[0], words[1],
                       words[2] ? ", " : "", words[2] ? words[2] : "");
}

static int parse_number(const char *key, const char *value, uint64_t max, uint64_t *out, struct chv_err *err)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || errno || *end || v > max)
        return chv_err_set(err, EINVAL, "%s '%.40s' is not a number from 0 to %" PRIu64, key, value, max);
    *out = v;
    return 0;
}

int session_option(struct session_options *o, const char *key, const char *value, struct chv_err *err)
{
    static const char *const baselines[] = {"cow", "full", "none", NULL};
    static const char *const on_off[] = {"off", "on", NULL};
    static const char *const behind[] = {"block", "gap", NULL};
    uint64_t number = 0;
    int r = 0;
    if (strcmp(key, "store") == 0) {
        o->store_dir = value;
    } else if (strcmp(key, "disk") == 0) {
        r = parse_disk(o, value, err);
    } else if (strcmp(key, "sign") == 0) {
        o->signing_key = value;
    } else if (strcmp(key, "baseline") == 0) {
        r = parse_word(key, value, baselines, err);
        if (r >= 0) o->baseline = (enum session_baseline)r;
    } else if (strcmp(key, "reads") == 0) {
        r = parse_word(key, value, on_off, err);
        o->record_reads = r == 1;
    } else if (strcmp(key, "when-behind") == 0) {
        r = parse_word(key, value, behind, err);
        o->gap_when_behind = r == 1;
    } else if (strcmp(key, "resync") == 0) {
        r = parse_word(key, value, on_off, err);
        o->resync = r == 1;
    } else if (strcmp(key, "queue") == 0) {
        r = parse_number(key, value, UINT32_MAX, &number, err);
        o->queue_blocks = (uint32_t)number;
    } else if (strcmp(key, "block-size") == 0) {
        r = parse_number(key, value, 4096, &number, err);
        if (r == 0 && number != 512 && number != 4096)
            r = chv_err_set(err, EINVAL, "block-size %s is neither 512 nor 4096", value);
        o->block_bytes = (uint32_t)number;
    } else {
        return -ENOENT;
    }
    return r < 0 ? r : 0;
}

const char *session_export_name(const char *space)
{
    return strncmp(space, "disk:", 5) == 0 ? space + 5 : space;
}

struct capture *session_export(struct session *s, const char *name)
{
    for (size_t i = 0; i < s->attached; i++)
        if (strcmp(name, session_export_name(s->captures[i].space_name)) == 0) return &s->captures[i];
    return *name ? NULL : &s->captures[0];
}

int session_open(const struct session_options *options, struct session **out, struct chv_err *err)
{
    struct chv_store_config config = {.block_bytes = options->block_bytes, .signing_key = options->signing_key};
    int r = session_check(options, err);
    if (r < 0) return r;
    r = chv_store_create(options->store_dir, &config, err);
    if (r < 0 && r != -EEXIST) return r;

    struct session *s = calloc(1, sizeof *s);
    if (s) s->captures = calloc(options->disks, sizeof *s->captures);
    if (s) s->marks = calloc(options->disks, sizeof *s->marks);
    if (!s || !s->captures || !s->marks) {
        r = chv_err_set(err, ENOMEM, "out of memory");
        goto err_free;
    }
    s->options = *options;
    struct chv_recorder_options ro = {
        .queue_blocks = options->queue_blocks,
        .gap_when_behind = options->gap_when_behind,
        .signing_key = options->signing_key,
    };
    r = chv_recorder_open(options->store_dir, &ro, &s->rec, err);
    if (r < 0) goto err_free;
    /* what a killed recorder left in the queue is logged before the disks are compared with the log */
    uint64_t ticket;
    r = chv_recorder_append(s->rec, NULL, 0, &ticket, err);
    if (r >= 0) r = chv_recorder_wait(s->rec, ticket, err);
    for (size_t i = 0; r == 0 && i < options->disks; i++) {
        r = session_attach(s, &options->disk[i], &s->captures[i], &s->marks[i], err);
        if (r == 0) s->attached++;
    }
    /* before the first request: from now on the disks are in our hands */
    if (r == 0) r = background_mark(s, false, err);
    if (r == 0) r = background_start(s, err);
    if (r == 0) {
        *out = s;
        return 0;
    }
    for (size_t i = 0; i < s->attached; i++) {
        defer_stop(&s->captures[i].defer);
        session_detach(&s->captures[i]);
    }
    struct chv_err ignored;
    chv_recorder_close(s->rec, &ignored);
err_free:
    if (s) {
        free(s->captures);
        free(s->marks);
    }
    free(s);
    return r;
}

int session_close(struct session *s, char *summary, size_t summary_bytes, struct chv_err *err)
{
    struct chv_recorder_stats stats;
    struct chv_err ignored;
    int r = 0;
    background_stop(s);
    for (size_t i = 0; i < s->attached; i++) {
        struct capture *c = &s->captures[i];
        int drained = defer_drain(&c->defer);
        defer_stop(&c->defer);
        if (drained == 0) drained = disk_sync(&c->disk);
        if (drained < 0 && r == 0) r = chv_err_set(err, -drained, "%s: %s", c->disk.path, strerror(-drained));
    }
    chv_recorder_stats(s->rec, &stats);
    int closed = chv_recorder_close(s->rec, r == 0 ? err : &ignored);
    if (r == 0) r = closed;
    /* not in order: the next start compares */
    int marked = background_mark(s, r == 0, r == 0 ? err : &ignored);
    if (r == 0) r = marked;
    if (summary)
        snprintf(summary, summary_bytes,
                 "recorded %" PRIu64 " requests as %" PRIu64 " events, %" PRIu64 " blocks: %" PRIu64 " new, %" PRIu64
                 " seen before; %.1f MiB stored%s",
                 stats.requests, stats.events, stats.blocks, stats.new_blocks, stats.duplicate_blocks,
                 (double)stats.stored_bytes / (1 << 20), stats.gaps ? "; WITH GAPS" : "");
    for (size_t i = 0; i < s->attached; i++) session_detach(&s->captures[i]);
    free(s->captures);
    free(s->marks);
    free(s);
    return r;
}

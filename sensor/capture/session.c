#include "sensor/capture/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (r == 0 && (r = hold_start(&s->hold, options->store_dir, err)) < 0) background_stop(s);
    if (r == 0) {
        struct chv_err join_err; /* the guest's disk is what matters */
        if (join_server_start(&s->join, options->store_dir, s->captures[0].block_bytes, s->rec, &join_err) < 0)
            fprintf(stderr, "chronovisor record: %s; 'acquire' cannot add to this store\n", join_err.text);
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
    join_server_stop(&s->join);
    hold_stop(&s->hold);
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

#include "sensor/import/target.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define BLOCK_BYTES_DEFAULT 4096

/* What the store holds now, as of its handle. */
static void take(struct import_target *t)
{
    struct chv_store_info info;
    chv_store_info(t->store, &info);
    t->block_bytes = info.block_bytes;
    t->last_seq = info.last_seq;
    t->last_time_ns = info.last_seq ? info.last_time_ns : 0;
    t->before = NULL;
    for (size_t i = 0; i < chv_store_space_count(t->store); i++)
        if (strcmp(chv_store_space(t->store, i)->name, t->options->space) == 0) t->before = chv_store_space(t->store, i);
}

static int look(struct import_target *t, struct chv_err *err)
{
    int r = chv_store_open(t->options->store_dir, &t->store, err);
    if (r == 0) take(t);
    return r;
}

int import_target_look(struct import_target *t, const struct import_options *options, struct chv_err *err)
{
    *t = (struct import_target){.options = options};
    size_t n = strlen(options->space);
    if (n == 0 || n > CHV_SPACE_NAME_BYTES)
        return chv_err_set(err, EINVAL, "space '%.60s': a name has 1 to %u bytes", options->space, CHV_SPACE_NAME_BYTES);
    int r = look(t, err);
    if (r == -ENOENT) { /* not made yet */
        t->block_bytes = options->block_bytes ? options->block_bytes : BLOCK_BYTES_DEFAULT;
        return 0;
    }
    if (r == 0 && options->block_bytes && options->block_bytes != t->block_bytes)
        r = chv_err_set(err, EINVAL, "%s: its blocks have %u bytes, not %u", options->store_dir, t->block_bytes,
                        options->block_bytes);
    return r;
}

int import_target_time(const struct import_target *t, uint64_t start_ns, uint64_t end_ns, const char *option,
                       struct chv_err *err)
{
    char a[CLOCK_TEXT_BYTES], b[CLOCK_TEXT_BYTES];
    uint64_t now = clock_now_ns();
    if (start_ns < t->last_time_ns)
        return chv_err_set(err, EINVAL, "%s %s is before the last event of %s (%s); import into another store", option,
                           clock_format(start_ns, a), t->options->store_dir, clock_format(t->last_time_ns, b));
    if (end_ns > now)
        return chv_err_set(err, EINVAL, "%s %s: the import would end at %s, in the future", option,
                           clock_format(start_ns, a), clock_format(end_ns, b));
    return 0;
}

/* Is the log, whose lock is ours now, what was looked at, and perhaps more? Whoever cut it and wrote as many events as he
 * cut did so at a later time. */
static bool goes_on(const struct import_target *t)
{
    struct chv_recorder_stats stats;
    struct chv_event last;
    struct chv_err ignored;
    chv_recorder_stats(t->rec, &stats);
    return t->store && t->last_seq > 0 && stats.last_seq >= t->last_seq &&
           chv_store_event(t->store, t->last_seq, &last, &ignored) == 0 && last.time_ns == t->last_time_ns;
}

/* For what a crashed recorder left, or another one wrote in between. To open a store costs reading all of its packs that
 * is not indexed yet, up to half a gigabyte; so only what came is looked at, if that can be. */
static int look_again(struct import_target *t, struct chv_err *err)
{
    struct chv_err ignored;
    if (goes_on(t) && chv_store_refresh(t->store, &ignored) == 0) {
        take(t);
        return 0;
    }
    chv_store_close(t->store);
    t->store = NULL;
    return look(t, err);
}

int import_target_begin(struct import_target *t, uint64_t start_ns, struct chv_err *err)
{
    const char *dir = t->options->store_dir;
    uint64_t seen_seq = t->last_seq;
    if (!t->store) {
        struct chv_store_config config = {.block_bytes = t->block_bytes, .signing_key = t->options->signing_key};
        int r = chv_store_create(dir, &config, err);
        if (r < 0) return r;
    }
    struct chv_recorder_options options = {.clock_ns = start_ns, .signing_key = t->options->signing_key};
    int r = chv_recorder_open(dir, &options, &t->rec, err);
    if (r < 0) return r;
    r = look_again(t, err);
    if (r == 0 && t->last_seq != seen_seq && t->last_time_ns > start_ns)
        r = chv_err_set(err, EBUSY, "%s: was written to at this moment; try again", dir);
    return r;
}

int import_target_space(struct import_target *t, uint64_t bytes, enum chv_rest rest, const char *source,
                        struct chv_err *err)
{
    return chv_recorder_space(t->rec, t->options->space, bytes, rest, source, &t->space, err);
}

int import_target_close(struct import_target *t, struct import_result *result, struct chv_err *err)
{
    struct chv_recorder_stats stats = {0};
    int r = 0;
    chv_store_close(t->store);
    t->store = NULL;
    t->before = NULL;
    if (t->rec) {
        uint64_t ticket;
        r = chv_recorder_append(t->rec, NULL, 0, &ticket, err);
        if (r == 0) r = chv_recorder_wait(t->rec, ticket, err);
        chv_recorder_stats(t->rec, &stats);
        struct chv_err closing;
        int closed = chv_recorder_close(t->rec, &closing);
        if (r == 0 && closed < 0) {
            if (err) *err = closing;
            r = closed;
        }
        t->rec = NULL;
    }
    if (result) *result = (struct import_result){.events = stats.events, .new_blocks = stats.new_blocks, .last_seq = stats.last_seq};
    return r;
}

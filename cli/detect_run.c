#include "cli/detect_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hex.h"
#include "cli/alarm.h"
#include "cli/cli.h"
#include "store/custody.h"
#include "store/held.h"

struct run;

struct watched {
    uint16_t id;
    struct run *run;
    struct detector *detector;
};

struct again {
    uint16_t space;
    uint64_t key, time_ns;
};

struct run {
    struct chv_store *store;
    const struct detect_options *options;
    struct alarm_out *out;
    struct detect_result *result;
    struct yara_scan *yara;
    struct watched watched[FOLLOW_SPACES_MAX];
    size_t count;
    struct again again[DETECT_AGAIN_MAX];
    size_t next_again;
    uint64_t last_ns, last_seq; /* of the last event */
    bool failed;      /* out of memory */
};

/* Act first, then find out what was touched, then tell. */
static void raise_alarm(struct run *run, uint16_t space_id, json_t *alarm)
{
    const struct chv_space *space = chv_store_space_by_id(run->store, space_id);
    struct chv_err err;
    run->result->alarms++;
    if (run->options->hold) {
        char *text = json_dumps(alarm, JSON_COMPACT);
        int r = text ? held_place(chv_store_dir(run->store), text, &err) : chv_err_set(&err, ENOMEM, "out of memory");
        free(text);
        if (r == 0) /* not held before: that somebody held the disks belongs to the evidence */
            r = custody_append(chv_store_dir(run->store), "hold", "an alarm stopped writes to the recorded disks", "", &err);
        if (r < 0) cli_error_line("detect", err.text);
        json_object_set_new(alarm, "held", json_boolean(held_is(chv_store_dir(run->store))));
    }
    if (space) alarm_touched(alarm, run->store, space, !run->options->no_files);
    alarm_out_send(run->out, alarm);
}

static void on_detector(void *arg, const struct detector_alarm *why)
{
    struct watched *w = arg;
    const struct chv_space *space = chv_store_space_by_id(w->run->store, w->id);
    if (!space) return;
    json_t *alarm = alarm_new(w->run->store, space, "ransomware", why->raised_ns, why->began_ns);
    if (!alarm) return;
    alarm_explain(alarm, why);
    raise_alarm(w->run, w->id, alarm);
    json_decref(alarm);
}

static struct watched *watched_of(struct run *run, uint16_t id)
{
    for (size_t i = 0; i < run->count; i++)
        if (run->watched[i].id == id) return &run->watched[i];
    if (run->count == FOLLOW_SPACES_MAX) return NULL; /* follow says so */
    struct watched *w = &run->watched[run->count];
    *w = (struct watched){.id = id, .run = run, .detector = detector_new(run->options->model, on_detector, w)};
    if (!w->detector) {
        run->failed = true;
        return NULL;
    }
    run->count++;
    return w;
}

/* --- known-bad content ------------------------------------------------------------------------------------------- */

/* Was there an alarm about this in this space a moment ago? */
static bool covered(struct run *run, uint16_t space, uint64_t key, uint64_t time_ns)
{
    for (size_t i = 0; i < DETECT_AGAIN_MAX; i++) {
        struct again *a = &run->again[i];
        if (a->space != space || a->key != key || time_ns >= a->time_ns + DETECT_AGAIN_NS) continue;
        run->result->again++;
        return true;
    }
    run->again[run->next_again] = (struct again){space, key, time_ns};
    run->next_again = (run->next_again + 1) % DETECT_AGAIN_MAX;
    return false;
}

static void raise_content(struct run *run, const char *kind, const char *list, const char *rule, const struct chv_event *first,
                          const struct chv_event *last, json_t *more)
{
    const struct chv_space *space = chv_store_space_by_id(run->store, first->space);
    char hex[2 * CHV_HASH_BYTES + 1];
    json_t *alarm = space ? alarm_new(run->store, space, kind, last->time_ns, first->time_ns) : NULL;
    if (!alarm) return;
    json_object_set_new(alarm, "list", json_string(list));
    json_object_set_new(alarm, "rule", json_string(rule));
    json_object_set_new(alarm, "seq", json_integer((json_int_t)first->seq));
    json_object_set_new(alarm, "lba", json_integer((json_int_t)chv_event_lba(first)));
    json_object_set_new(alarm, "hash", json_string(hex_format(first->hash, CHV_HASH_BYTES, hex)));
    if (more) json_object_update(alarm, more);
    raise_alarm(run, first->space, alarm);
    json_decref(alarm);
}

static void check_watch(struct run *run, const struct chv_event *e)
{
    const struct watch_entry *entry = watch_list_find(run->options->watch, e->hash);
    uint64_t key;
    if (!entry) return;
    memcpy(&key, e->hash, sizeof key);
    if (covered(run, e->space, key, e->time_ns)) return;
    const char *name = watch_list_name(run->options->watch, entry);
    json_t *more = json_pack("{s:I}", "line", (json_int_t)entry->line);
    raise_content(run, "watch", run->options->watch_path, *name ? name : "listed block", e, e, more);
    json_decref(more);
}

static void on_yara(void *arg, const char *rule, const struct chv_event *first, const struct chv_event *last)
{
    struct run *run = arg;
    uint64_t key = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *p = rule; *p; p++) key = (key ^ (unsigned char)*p) * UINT64_C(1099511628211);
    if (!covered(run, first->space, key, first->time_ns))
        raise_content(run, "yara", run->options->yara_path, rule, first, last, NULL);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static int on_event(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    struct run *run = arg;
    const struct detect_options *o = run->options;
    run->result->events += e->seq != run->last_seq; /* a read is passed once a piece */
    run->last_seq = e->seq;
    run->last_ns = e->time_ns;
    if (a) ++*(a->kind == ACCESS_READ ? &run->result->reads : &run->result->changes);
    if (a && o->model) {
        struct watched *w = watched_of(run, e->space);
        if (w) detector_push(w->detector, a);
    }
    /* a commit comes when there was nothing else to do: time has passed for all */
    if (e->op == CHV_OP_COMMIT)
        for (size_t i = 0; i < run->count; i++) detector_advance(run->watched[i].detector, e->time_ns);
    if (e->op == CHV_OP_WRITE && a) {
        if (o->watch) check_watch(run, e);
        if (run->yara) yara_scan_write(run->yara, run->store, e);
    }
    if (run->failed) return chv_err_set(err, ENOMEM, "out of memory");
    return o->stop && *o->stop ? 1 : 0;
}

static int follow_on(struct run *run, struct follow *follow, struct chv_err *err)
{
    const struct timespec pause = {.tv_nsec = DETECT_POLL_NS};
    struct chv_store_info info;
    int r = 0;
    while (r == 0 && !*run->options->stop) {
        r = chv_store_refresh(run->store, err);
        if (r < 0) break;
        uint64_t before = follow_seq(follow);
        r = follow_step(follow, UINT64_MAX, on_event, run, err);
        if (run->yara) yara_scan_flush(run->yara, run->store);
        if (r != 0 || follow_seq(follow) != before) continue; /* more may have come meanwhile */
        uint64_t now = clock_now_ns();
        if (run->last_ns && now > run->last_ns + DETECT_QUIET_NS) /* nobody writes: the last second is over too */
            for (size_t i = 0; i < run->count; i++) detector_advance(run->watched[i].detector, now - DETECT_QUIET_NS);
        nanosleep(&pause, NULL);
    }
    /* what came until the very end */
    if (r >= 0 && chv_store_refresh(run->store, err) == 0) {
        static const volatile sig_atomic_t go_on;
        struct detect_options last = *run->options;
        last.stop = &go_on;
        run->options = &last;
        chv_store_info(run->store, &info);
        r = follow_step(follow, info.last_seq, on_event, run, err);
        if (run->yara) yara_scan_flush(run->yara, run->store);
    }
    return r < 0 ? r : 0;
}

int detect_run(struct chv_store *store, const struct detect_options *options, struct alarm_out *out,
               struct detect_result *result, struct chv_err *err)
{
    struct follow *follow = NULL;
    struct run *run = calloc(1, sizeof *run);
    if (!run) return chv_err_set(err, ENOMEM, "out of memory");
    *result = (struct detect_result){0};
    run->store = store;
    run->options = options;
    run->out = out;
    run->result = result;
    int r = 0;
    if (options->yara_path)
        r = yara_scan_new(options->yara_path, chv_store_block_bytes(store), on_yara, run, &run->yara, err);
    if (r == 0) r = follow_open(store, options->space, options->first_seq, &follow, err);
    if (r == 0)
        r = options->follow ? follow_on(run, follow, err) : follow_step(follow, options->last_seq, on_event, run, err);
    if (r >= 0 && run->yara) yara_scan_flush(run->yara, run->store);
    for (size_t i = 0; i < run->count; i++) {
        if (r >= 0) detector_finish(run->watched[i].detector);
        result->rows += detector_rows(run->watched[i].detector);
        if (detector_highest(run->watched[i].detector) > result->highest)
            result->highest = detector_highest(run->watched[i].detector);
        detector_free(run->watched[i].detector);
    }
    if (run->yara) yara_scan_counts(run->yara, &result->yara);
    yara_scan_free(run->yara);
    follow_close(follow);
    free(run);
    return r < 0 ? r : 0;
}

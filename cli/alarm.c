#include "cli/alarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BACK_STEP 8192u
#define BACK_EVENTS_MAX (1u << 20)
#define FLUSH_NEAR_NS UINT64_C(60000000000)

/* The newest flush of the space before `seq`, or where there is none within a minute the newest COMMIT: an instant at which
 * everything older was on stable storage. */
static bool find_clean(const struct chv_store *store, uint16_t space, uint64_t seq, struct chv_event *clean)
{
    struct chv_err err;
    bool found = false, flush = false;
    uint64_t end = seq, stop = seq > BACK_EVENTS_MAX ? seq - BACK_EVENTS_MAX : 0;
    while (!flush && end > stop) {
        uint64_t first = end > BACK_STEP ? end - BACK_STEP : 0;
        struct chv_cursor *cursor;
        const struct chv_event *batch;
        size_t count;
        struct chv_event newest_flush, newest_commit;
        bool has_flush = false, has_commit = false;
        if (end < 2 || chv_cursor_open(store, first ? first : 1, end - 1, &cursor, &err) < 0) break;
        while (chv_cursor_next(cursor, &batch, &count, &err) > 0)
            for (size_t i = 0; i < count; i++) {
                if (batch[i].op == CHV_OP_FLUSH && batch[i].space == space) newest_flush = batch[i], has_flush = true;
                if (batch[i].op == CHV_OP_COMMIT) newest_commit = batch[i], has_commit = true;
            }
        chv_cursor_close(cursor);
        if (has_commit && !found) *clean = newest_commit, found = true;
        if (has_flush) {
            if (!found || newest_flush.time_ns + FLUSH_NEAR_NS > clean->time_ns) *clean = newest_flush;
            found = flush = true;
        }
        end = first;
    }
    return found;
}

static json_t *time_text(uint64_t time_ns)
{
    char text[CLOCK_TEXT_BYTES];
    return json_string(clock_format(time_ns, text));
}

/* A word of a shell command line. */
static void quote(const char *word, char *out, size_t room)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:=@%+,";
    size_t used = 0;
    if (*word && strspn(word, plain) == strlen(word)) {
        snprintf(out, room, "%s", word);
        return;
    }
    out[used++] = '\'';
    for (; *word && used + 6 < room; word++) {
        if (*word == '\'')
            used += (size_t)sprintf(out + used, "'\\''");
        else
            out[used++] = *word;
    }
    out[used++] = '\'';
    out[used] = 0;
}

static void add_commands(json_t *alarm, const char *dir, const char *space, uint64_t seq)
{
    char words[2][8192], line[20000];
    quote(dir, words[0], sizeof words[0]);
    quote(space, words[1], sizeof words[1]);
    snprintf(line, sizeof line, "chronovisor rewind --store %s --space %s --to seq:%llu", words[0], words[1],
             (unsigned long long)seq);
    json_object_set_new(alarm, "rewind", json_string(line));
    snprintf(line, sizeof line, "chronovisor view --store %s --space %s --at seq:%llu", words[0], words[1],
             (unsigned long long)seq);
    json_object_set_new(alarm, "view", json_string(line));
}

json_t *alarm_new(struct chv_store *store, const struct chv_space *space, const char *kind, uint64_t raised_ns,
                  uint64_t began_ns)
{
    struct chv_err err;
    struct chv_event clean;
    char host[256] = "";
    uint64_t before = 0;
    json_t *alarm = json_object();
    char *dir = realpath(chv_store_dir(store), NULL);
    const char *shown = dir ? dir : chv_store_dir(store);
    gethostname(host, sizeof host - 1);
    if (chv_store_seq_at(store, began_ns ? began_ns - 1 : 0, &before, &err) < 0) before = 0;
    json_object_set_new(alarm, "alarm", json_string(kind));
    json_object_set_new(alarm, "time", time_text(raised_ns));
    json_object_set_new(alarm, "time_ns", json_integer((json_int_t)raised_ns));
    json_object_set_new(alarm, "began", time_text(began_ns));
    json_object_set_new(alarm, "began_ns", json_integer((json_int_t)began_ns));
    json_object_set_new(alarm, "began_seq", json_integer((json_int_t)before + 1));
    json_object_set_new(alarm, "store", json_string(shown));
    json_object_set_new(alarm, "space", json_string(space->name));
    if (*host) json_object_set_new(alarm, "host", json_string(host));
    if (find_clean(store, space->id, before + 1, &clean)) {
        json_object_set_new(alarm, "clean",
                            json_pack("{s:o, s:I, s:I, s:s}", "time", time_text(clean.time_ns), "time_ns",
                                      (json_int_t)clean.time_ns, "seq", (json_int_t)clean.seq, "op",
                                      clean.op == CHV_OP_FLUSH ? "flush" : "commit"));
        add_commands(alarm, shown, space->name, clean.seq);
    } else {
        json_object_set_new(alarm, "note", json_string("nothing was durable before it began: there is no instant to go back to"));
    }
    free(dir);
    return alarm;
}

void alarm_explain(json_t *alarm, const struct detector_alarm *why)
{
    json_t *reasons = json_array();
    for (size_t i = 0; i < why->reasons; i++)
        json_array_append_new(reasons, json_pack("{s:s, s:f, s:f}", "feature", why->why[i].name, "value", why->why[i].value,
                                                 "contribution", why->why[i].contribution));
    json_object_set_new(alarm, "score", json_real(why->score));
    json_object_set_new(alarm, "evidence", json_real(why->sum));
    json_object_set_new(alarm, "disk_encrypted", json_boolean(why->encrypted));
    json_object_set_new(alarm, "family", json_string(why->family));
    json_object_set_new(alarm, "family_probability", json_real(why->family_probability));
    json_object_set_new(alarm, "why", reasons);
}

/* --- Elastic Common Schema ---------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *alarm, const char *key)
{
    const char *text = json_string_value(json_object_get(alarm, key));
    return text ? text : "";
}

json_t *alarm_ecs(const json_t *alarm)
{
    const char *kind = text_of(alarm, "alarm");
    double score = json_number_value(json_object_get(alarm, "score"));
    bool scored = json_object_get(alarm, "score") != NULL;
    char message[512];
    snprintf(message, sizeof message, "%s in %.32s since %.40s%s%.200s", kind, text_of(alarm, "space"), text_of(alarm, "began"),
             json_object_get(alarm, "rule") ? ", rule " : "", text_of(alarm, "rule"));
    json_t *doc = json_pack(
        "{s:s, s:s, s:{s:s}, s:{s:s, s:[s], s:[s], s:s, s:s, s:s, s:s, s:f}, s:{s:s, s:s, s:s}, s:o}", "@timestamp",
        text_of(alarm, "time"), "message", message, "ecs", "version", "8.11.0", "event", "kind", "alert", "category",
        "malware", "type", "info", "module", "chronovisor", "dataset", "chronovisor.alarm", "action", kind, "start",
        text_of(alarm, "began"), "risk_score", scored ? 100 * score : 100.0, "observer", "vendor", "Chronovisor", "product",
        "chronovisor", "type", "sensor", "chronovisor", json_deep_copy(alarm));
    if (!doc) return NULL;
    if (*text_of(alarm, "host")) json_object_set_new(doc, "host", json_pack("{s:s}", "name", text_of(alarm, "host")));
    const char *rule = json_object_get(alarm, "rule") ? text_of(alarm, "rule") : text_of(alarm, "family");
    if (*rule) json_object_set_new(doc, "rule", json_pack("{s:s}", "name", rule));
    return doc;
}

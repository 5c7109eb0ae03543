/* A corpus of recordings (corpus/README.md) as a data set: its manifest names the runs, their stores hold the accesses. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/dataset_impl.h"
#include "detect/follow.h"

#define LINE_MAX_BYTES (64u << 10)
#define RUNS_MAX 100000u
#define TAIL_NS UINT64_C(10000000000) /* looked at after the workload has finished */

/* Names become columns of tables and lines of reports, and parts of paths: nothing in them may mean more. */
static bool plain_path(const char *text)
{
    if (!text || !*text || *text == '/' || strstr(text, "..")) return false;
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == 0x7f || *text == ',' || *text == '"') return false;
    return true;
}

static char *joined(const char *dir, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int add_run(struct dataset *d, const json_t *line, const char **why)
{
    const char *run = json_string_value(json_object_get(line, "run")), *label = json_string_value(json_object_get(line, "label"));
    const char *workload = json_string_value(json_object_get(line, "workload"));
    const char *filesystem = json_string_value(json_object_get(line, "filesystem"));
    const char *store = json_string_value(json_object_get(line, "store"));
    json_int_t begin = json_integer_value(json_object_get(line, "begin_ns")), finish = json_integer_value(json_object_get(line, "finish_ns"));
    *why = "run, workload, filesystem and store must be plain names";
    if (!plain_path(run) || !plain_path(workload) || !plain_path(filesystem) || !plain_path(store)) return -EBADMSG;
    *why = "label must be benign or ransomware";
    if (!label || (strcmp(label, "benign") != 0 && strcmp(label, "ransomware") != 0)) return -EBADMSG;
    *why = "begin_ns must be before finish_ns";
    if (begin <= 0 || finish <= begin) return -EBADMSG;
    *why = "more than 100000 runs";
    if (d->count == RUNS_MAX) return -EBADMSG;
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 64;
        struct dataset_run *grown = realloc(d->runs, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        d->runs = grown;
        d->room = room;
    }
    struct dataset_run *r = &d->runs[d->count++]; /* whatever was made is freed with the others */
    *r = (struct dataset_run){.path = strdup(run), .condition = strdup(filesystem), .family = strdup(workload), .store = strdup(store),
                              .has_reads = true, .has_writes = true, .ransomware = strcmp(label, "ransomware") == 0,
                              .begin_ns = (uint64_t)begin, .finish_ns = (uint64_t)finish};
    return r->path && r->condition && r->family && r->store ? 0 : -ENOMEM;
}

static int read_manifest(struct dataset *d, FILE *file, const char *path, struct chv_err *err)
{
    char *line = malloc(LINE_MAX_BYTES);
    unsigned number = 0;
    int r = line ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    while (r == 0 && fgets(line, LINE_MAX_BYTES, file)) {
        json_error_t at;
        const char *why = "not a JSON object";
        number++;
        if (!strchr(line, '\n') && !feof(file)) {
            r = chv_err_set(err, EBADMSG, "%.200s: line %u is longer than %u bytes", path, number, LINE_MAX_BYTES);
            break;
        }
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &at);
        int added = json_is_object(object) ? add_run(d, object, &why) : -EBADMSG;
        json_decref(object);
        if (added == -ENOMEM) r = chv_err_set(err, ENOMEM, "out of memory");
        else if (added < 0) r = chv_err_set(err, EBADMSG, "%.200s: line %u: %s", path, number, why);
    }
    free(line);
    return r;
}

static int compare_runs(const void *a, const void *b)
{
    const struct dataset_run *x = a, *y = b;
    return strcmp(x->path, y->path);
}

int dataset_open_corpus(const char *dir, struct dataset **out, struct chv_err *err)
{
    struct dataset *d = calloc(1, sizeof *d);
    char *path = joined(dir, "manifest.json");
    *out = NULL;
    FILE *file = path ? fopen(path, "re") : NULL;
    int r = d && path && (d->dir = strdup(dir)) ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0 && !file) r = chv_err_set(err, errno, "cannot open %.300s: %s; corpus/make writes it", path, strerror(errno));
    if (r == 0) r = read_manifest(d, file, path, err);
    if (r == 0 && d->count == 0) r = chv_err_set(err, ENOENT, "%.300s names no runs", path);
    if (file) fclose(file);
    free(path);
    if (r < 0) {
        dataset_close(d);
        return r;
    }
    qsort(d->runs, d->count, sizeof *d->runs, compare_runs);
    *out = d;
    return 0;
}

struct reading {
    const struct dataset_run *run;
    const struct dataset_options *options;
    dataset_access_fn *fn;
    void *arg;
    struct dataset_report *report;
    int stopped; /* by fn */
};

static int pass(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    struct reading *rd = arg;
    const struct dataset_run *run = rd->run;
    if (!a) return 0;
    rd->report->rows++;
    if (a->time_ns < run->begin_ns + rd->options->skip_ns || a->time_ns >= run->finish_ns + TAIL_NS) return 0;
    if (rd->options->reads_only && a->kind != ACCESS_READ) return 0;
    struct access own = *a;
    own.time_ns -= run->begin_ns;
    rd->report->accesses++;
    rd->stopped = rd->fn(rd->arg, &own);
    return rd->stopped;
}

int corpus_read(const struct dataset *d, const struct dataset_run *run, const struct dataset_options *options, dataset_access_fn *fn,
                void *arg, struct dataset_report *report, struct chv_err *err)
{
    struct reading rd = {.run = run, .options = options, .fn = fn, .arg = arg, .report = report};
    struct chv_store *store = NULL;
    struct chv_store_info info;
    struct follow *follow = NULL;
    char *path = joined(d->dir, run->store);
    int r = path ? chv_store_open(path, &store, err) : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) r = follow_open(store, 0, 1, &follow, err);
    if (r == 0) {
        chv_store_info(store, &info);
        r = follow_step(follow, info.last_seq, pass, &rd, err);
        follow_close(follow);
    }
    if (store) chv_store_close(store);
    free(path);
    return rd.stopped ? rd.stopped : r;
}

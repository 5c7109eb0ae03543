/* A corpus of recordings (corpus/README.md) as a data set: its manifest names the runs. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/dataset_impl.h"

#define LINE_MAX_BYTES (64u << 10)
#define RUNS_MAX 100000u
#define TREE_FILES_MAX 1000000000
#define TREE_KIB_MAX (INT64_C(1) << 40)

/* Names become columns of tables and lines of reports, and parts of paths: nothing in them may mean more. */
static bool plain_path(const char *text)
{
    if (!text || !*text || *text == '/' || strstr(text, "..")) return false;
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == 0x7f || *text == ',' || *text == '"') return false;
    return true;
}

/* A number that may be absent or null: 0 then. False: it is something else, or out of range. */
static bool number(const json_t *line, const char *name, json_int_t least, json_int_t most, uint64_t *out)
{
    const json_t *value = json_object_get(line, name);
    json_int_t v = json_integer_value(value);
    *out = 0;
    if (!value || json_is_null(value)) return true;
    if (!json_is_integer(value) || v < least || v > most) return false;
    *out = (uint64_t)v;
    return true;
}

/* Why a line is no run; NULL: it is one, and *run borrows its texts. */
static const char *parse_run(const json_t *line, struct dataset_run *run)
{
    const char *name = json_string_value(json_object_get(line, "run")), *label = json_string_value(json_object_get(line, "label"));
    const char *workload = json_string_value(json_object_get(line, "workload"));
    const char *filesystem = json_string_value(json_object_get(line, "filesystem"));
    const char *store = json_string_value(json_object_get(line, "store"));
    const json_t *hits = json_object_get(line, "hits");
    json_int_t begin = json_integer_value(json_object_get(line, "begin_ns")), finish = json_integer_value(json_object_get(line, "finish_ns"));
    uint64_t kib;
    if (!plain_path(name) || !plain_path(workload) || !plain_path(filesystem) || !plain_path(store))
        return "run, workload, filesystem and store must be plain names";
    if (!label || (strcmp(label, "benign") != 0 && strcmp(label, "ransomware") != 0)) return "label must be benign or ransomware";
    if (begin <= 0 || finish <= begin) return "begin_ns must be before finish_ns";
    *run = (struct dataset_run){.has_reads = true, .has_writes = true, .ransomware = strcmp(label, "ransomware") == 0,
                                .begin_ns = (uint64_t)begin, .finish_ns = (uint64_t)finish};
    if (!number(line, "malicious_ns", begin, finish, &run->malicious_ns)) return "malicious_ns must be null, or between begin_ns and finish_ns";
    if (run->malicious_ns && !run->ransomware) return "a benign run has a malicious_ns";
    if (!number(line, "tree_files", 1, TREE_FILES_MAX, &run->tree_files) || !number(line, "tree_kib", 1, TREE_KIB_MAX, &kib))
        return "tree_files and tree_kib must be positive numbers";
    if (hits && !json_is_null(hits) && !plain_path(json_string_value(hits))) return "hits must be a plain name";
    run->tree_bytes = kib * 1024;
    run->path = (char *)(uintptr_t)name;
    run->family = (char *)(uintptr_t)workload;
    run->condition = (char *)(uintptr_t)filesystem;
    run->store = (char *)(uintptr_t)store;
    run->hits = (char *)(uintptr_t)json_string_value(hits);
    return NULL;
}

static int add_run(struct dataset *d, const struct dataset_run *borrowed)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 64;
        struct dataset_run *grown = realloc(d->runs, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        d->runs = grown;
        d->room = room;
    }
    struct dataset_run *r = &d->runs[d->count++]; /* whatever was made is freed with the others */
    *r = *borrowed;
    r->path = strdup(borrowed->path);
    r->family = strdup(borrowed->family);
    r->condition = strdup(borrowed->condition);
    r->store = strdup(borrowed->store);
    if (borrowed->hits) r->hits = strdup(borrowed->hits);
    return r->path && r->family && r->condition && r->store && (r->hits || !borrowed->hits) ? 0 : -ENOMEM;
}

static int take_line(struct dataset *d, const char *text, const char *path, unsigned number, struct chv_err *err)
{
    json_error_t at;
    struct dataset_run run;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &at);
    const char *why = json_is_object(object) ? parse_run(object, &run) : "not a JSON object";
    int r = why ? 0 : add_run(d, &run);
    json_decref(object);
    if (why) dataset_complain(d, "%.200s: line %u: %s", path, number, why);
    return r < 0 ? chv_err_set(err, ENOMEM, "out of memory") : 0;
}

/* The rest of a line that does not fit. False: the file ends with it. */
static void skip_line(FILE *file)
{
    int c;
    do c = getc_unlocked(file);
    while (c != '\n' && c != EOF);
}

static int read_manifest(struct dataset *d, FILE *file, const char *path, struct chv_err *err)
{
    char *line = malloc(LINE_MAX_BYTES);
    int r = line ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (unsigned number = 1; r == 0 && fgets(line, LINE_MAX_BYTES, file); number++) {
        if (!strchr(line, '\n') && strlen(line) == LINE_MAX_BYTES - 1) {
            skip_line(file);
            dataset_complain(d, "%.200s: line %u is longer than %u bytes", path, number, LINE_MAX_BYTES);
        } else if (d->count == RUNS_MAX) {
            r = chv_err_set(err, EBADMSG, "%.200s: line %u: more than %u runs", path, number, RUNS_MAX);
        } else {
            r = take_line(d, line, path, number, err);
        }
    }
    if (r == 0 && ferror(file)) r = chv_err_set(err, errno, "cannot read %.200s: %s", path, strerror(errno));
    free(line);
    return r;
}

static int compare_runs(const void *a, const void *b)
{
    const struct dataset_run *x = a, *y = b;
    return strcmp(x->path, y->path);
}

/* A run that is named twice would be learned from and judged at once. */
static void drop_doubles(struct dataset *d, const char *path)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct dataset_run *r = &d->runs[i];
        if (kept > 0 && strcmp(d->runs[kept - 1].path, r->path) == 0) {
            dataset_complain(d, "%.200s: run %.200s is named twice", path, r->path);
            dataset_run_fini(r);
        } else {
            d->runs[kept++] = *r;
        }
    }
    d->count = kept;
}

int dataset_open_corpus(const char *dir, struct dataset **out, struct chv_err *err)
{
    struct dataset *d = calloc(1, sizeof *d);
    char *path = dataset_path(dir, "manifest.json");
    *out = NULL;
    FILE *file = path ? fopen(path, "re") : NULL;
    int r = d && path && (d->dir = strdup(dir)) ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0 && !file) r = chv_err_set(err, errno, "cannot open %.300s: %s; corpus/make writes it", path, strerror(errno));
    if (r == 0) r = read_manifest(d, file, path, err);
    if (r == 0 && d->count == 0)
        r = d->complaints > 0 ? chv_err_set(err, EBADMSG, "%s", d->complaint[0] ? d->complaint[0] : "out of memory")
                              : chv_err_set(err, ENOENT, "%.300s names no runs", path);
    if (r == 0) {
        qsort(d->runs, d->count, sizeof *d->runs, compare_runs);
        drop_doubles(d, path);
    }
    if (file) fclose(file);
    free(path);
    if (r < 0) {
        dataset_close(d);
        return r;
    }
    *out = d;
    return 0;
}

#include "detect/samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOSS_STEP_NS UINT64_C(10000000)

struct reading {
    struct samples *s;
    struct features *features;
    size_t room;
    bool failed, too_many;
    struct samples_run *run; /* that is being read */
    bool begun;              /* an access came */
    size_t losses_room;
};

static void take_row(void *arg, const struct feature_row *row)
{
    struct reading *r = arg;
    struct samples *s = r->s;
    if (r->failed) return;
    if (s->rows == r->room) {
        size_t room = r->room ? 2 * r->room : 4096;
        r->too_many = room > 2 * (size_t)SAMPLES_ROWS_MAX;
        double *x = r->too_many ? NULL : realloc(s->x, room * s->columns * sizeof *x);
        if (x) s->x = x;
        struct samples_row *rows = x ? realloc(s->row, room * sizeof *rows) : NULL;
        if (rows) s->row = rows;
        r->failed = !rows;
        if (r->failed) return;
        r->room = room;
    }
    memcpy(s->x + s->rows * s->columns, row->x, s->columns * sizeof *s->x);
    s->row[s->rows++] = (struct samples_row){row->end_ns, row->read_bytes, row->write_bytes, row->active, row->encrypted};
}

static int take_access(void *arg, const struct access *a)
{
    struct reading *r = arg;
    if (!r->begun) r->run->start_ns = a->time_ns;
    r->begun = true;
    features_push(r->features, a, take_row, r);
    return r->failed ? -ENOMEM : 0;
}

static void take_loss(void *arg, uint64_t time_ns, uint64_t written_bytes, uint64_t overwritten_bytes)
{
    struct reading *r = arg;
    struct samples_run *run = r->run;
    struct samples_loss *last = run->losses > 0 ? &run->loss[run->losses - 1] : NULL;
    if (!last || (time_ns > last->time_ns && time_ns - last->time_ns >= LOSS_STEP_NS && run->losses < SAMPLES_LOSSES_MAX)) {
        if (run->losses == r->losses_room) {
            size_t room = r->losses_room ? 2 * r->losses_room : 64;
            struct samples_loss *grown = realloc(run->loss, room * sizeof *grown);
            r->failed = !grown;
            if (!grown) return;
            run->loss = grown;
            r->losses_room = room;
        }
        run->loss[run->losses] = run->losses > 0 ? run->loss[run->losses - 1] : (struct samples_loss){0};
        last = &run->loss[run->losses++];
        last->time_ns = time_ns;
    }
    last->written_bytes += written_bytes;
    last->overwritten_bytes += overwritten_bytes;
}

const struct samples_loss *samples_loss_before(const struct samples_run *run, uint64_t time_ns)
{
    size_t low = 0, high = run->losses;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (run->loss[mid].time_ns < time_ns)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? &run->loss[low - 1] : NULL;
}

void samples_add_report(struct dataset_report *sum, const struct dataset_report *one)
{
    sum->rows += one->rows;
    sum->accesses += one->accesses;
    sum->unsorted += one->unsorted;
    sum->small += one->small;
    sum->rereads += one->rereads;
    sum->malformed += one->malformed;
    if (!sum->first_malformed[0]) memcpy(sum->first_malformed, one->first_malformed, sizeof sum->first_malformed);
}

bool samples_suits(const struct dataset_run *run, enum model_mode mode)
{
    return run->has_reads && (mode == MODEL_READS || run->has_writes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int samples_families(struct samples *s, const struct dataset *d, struct chv_err *err)
{
    for (size_t i = 0; i < dataset_count(d); i++) {
        const struct dataset_run *run = dataset_run(d, i);
        size_t f = 0;
        while (f < s->families && strcmp(s->family[f], run->family) != 0) f++;
        if (!samples_suits(run, s->mode) || f < s->families) continue;
        if (f == MODEL_CLASSES_MAX) return chv_err_set(err, EINVAL, "more than %d families in this data set", MODEL_CLASSES_MAX);
        s->family[s->families++] = run->family;
    }
    qsort(s->family, s->families, sizeof *s->family, by_name);
    return 0;
}

static void run_fini(struct samples_run *run)
{
    free(run->loss);
    hits_fini(&run->hits);
}

static int read_run(struct reading *r, const struct dataset *d, size_t index, const struct dataset_options *options, struct chv_err *err)
{
    struct samples *s = r->s;
    struct dataset_report report = {0};
    struct dataset_options own = *options;
    struct samples_run *run = &s->run[s->runs];
    *run = (struct samples_run){.run = dataset_run(d, index), .first = s->rows};
    while (strcmp(s->family[run->label], run->run->family) != 0) run->label++;
    s->ransomware[run->label] = run->run->ransomware;
    own.loss = run->run->malicious_ns ? take_loss : NULL;
    own.loss_arg = r;
    r->run = run;
    r->begun = false;
    r->losses_room = 0;
    r->features = features_new(s->set);
    int code = r->features ? dataset_hits(d, run->run, &run->hits, err) : chv_err_set(err, ENOMEM, "out of memory");
    if (code == 0) code = dataset_read(d, index, &own, take_access, r, &report, err);
    if (code == 0) features_finish(r->features, take_row, r);
    features_free(r->features);
    if (code == 0 && report.rows == 0) code = chv_err_set(err, EBADMSG, "%.300s holds no rows", run->run->path);
    if (r->too_many) code = chv_err_set(err, EFBIG, "more than %u rows; take fewer runs at once", SAMPLES_ROWS_MAX);
    else if (r->failed) code = chv_err_set(err, ENOMEM, "out of memory");
    if (code < 0) {
        s->rows = run->first;
        run_fini(run);
        return code;
    }
    samples_add_report(&s->report, &report);
    run->rows = s->rows - run->first;
    s->runs++;
    return 0;
}

static int read_all(struct reading *r, const struct dataset *d, const struct dataset_options *options, const struct samples_watch *watch,
                    struct chv_err *err)
{
    size_t left_out = 0;
    struct chv_err first = {0};
    int code = samples_families(r->s, d, err);
    for (size_t i = 0; i < dataset_count(d) && code == 0; i++) {
        if (watch && watch->progress) watch->progress(i, dataset_count(d));
        if (!samples_suits(dataset_run(d, i), r->s->mode)) continue;
        code = read_run(r, d, i, options, err);
        if (code == 0 || r->failed || code == -ENOMEM) continue;
        if (left_out++ == 0) first = *err;
        if (watch && watch->left_out) watch->left_out(watch->arg, i, err);
        code = 0;
    }
    if (code < 0 || r->s->runs > 0) return code;
    if (left_out > 0) return chv_err_set(err, EBADMSG, "not one run can be read; the first: %.400s", first.text);
    return chv_err_set(err, ENOENT, r->s->mode == MODEL_PAIRED ? "no run has both reads and writes; try --mode read" : "no run has reads");
}

int samples_read(const struct dataset *d, enum feature_set set, enum model_mode mode, const struct dataset_options *options,
                 const struct samples_watch *watch, struct samples **out, struct chv_err *err)
{
    struct dataset_options own = options ? *options : (struct dataset_options){0};
    own.reads_only = mode == MODEL_READS;
    struct samples *s = calloc(1, sizeof *s);
    if (!s) return chv_err_set(err, ENOMEM, "out of memory");
    s->set = set;
    s->mode = mode;
    s->columns = features_count(set);
    s->run = calloc(dataset_count(d) + 1, sizeof *s->run);
    struct reading r = {.s = s};
    int code = s->run ? read_all(&r, d, &own, watch, err) : chv_err_set(err, ENOMEM, "out of memory");
    if (code < 0) {
        samples_free(s);
        return code;
    }
    *out = s;
    return 0;
}

static int check_same(const struct samples *s, const struct samples *again, struct chv_err *err)
{
    bool same = again->runs == s->runs;
    for (size_t r = 0; same && r < s->runs; r++) same = again->run[r].run == s->run[r].run;
    return same ? 0 : chv_err_set(err, EBADMSG, "a run that was read before cannot be read again: the data set is being changed");
}

int samples_read_also(struct samples *s, const struct dataset *d, const struct dataset_options *options, uint64_t skip_ns,
                      const struct samples_watch *watch, struct chv_err *err)
{
    struct dataset_options own = options ? *options : (struct dataset_options){0};
    struct samples_watch quiet = {.progress = watch ? watch->progress : NULL}; /* what cannot be read was said before */
    own.skip_ns = skip_ns;
    samples_free(s->also);
    s->also = NULL;
    int code = samples_read(d, s->set, s->mode, &own, &quiet, &s->also, err);
    if (code < 0) return code;
    return check_same(s, s->also, err);
}

int samples_read_encrypted(struct samples *s, const struct dataset *d, const struct dataset_options *options, uint64_t also_from_ns,
                           const struct samples_watch *watch, struct chv_err *err)
{
    struct dataset_options own = options ? *options : (struct dataset_options){0};
    struct samples_watch quiet = {.progress = watch ? watch->progress : NULL};
    own.as_encrypted = true;
    samples_free(s->encrypted);
    s->encrypted = NULL;
    int code = samples_read(d, s->set, s->mode, &own, &quiet, &s->encrypted, err);
    if (code == 0) code = check_same(s, s->encrypted, err);
    return code < 0 ? code : samples_read_also(s->encrypted, d, &own, also_from_ns, &quiet, err);
}

void samples_free(struct samples *s)
{
    if (!s) return;
    samples_free(s->also);
    samples_free(s->encrypted);
    for (size_t r = 0; s->run && r < s->runs; r++) run_fini(&s->run[r]);
    free(s->x);
    free(s->row);
    free(s->run);
    free(s);
}

/* --- learning --- */

struct chosen {
    double *x, *weight;
    uint32_t *label, *run;
    size_t rows;
};

static void chosen_fini(struct chosen *c)
{
    free(c->x);
    free(c->weight);
    free(c->label);
    free(c->run);
}

static size_t active_rows(const struct samples *s, const struct samples_run *run)
{
    size_t n = 0;
    for (size_t i = run->first; i < run->first + run->rows; i++) n += s->row[i].active;
    return n;
}

static size_t rows_of(const struct samples *s, size_t run)
{
    return active_rows(s, &s->run[run]) + (s->also ? active_rows(s->also, &s->also->run[run]) : 0);
}

/* Idle rows carry their run's label but say nothing of it: they are left out. */
static void choose_run(struct chosen *c, const struct samples *s, size_t run, uint32_t label, double weight)
{
    for (size_t i = s->run[run].first; i < s->run[run].first + s->run[run].rows; i++) {
        if (!s->row[i].active) continue;
        memcpy(c->x + c->rows * s->columns, s->x + i * s->columns, s->columns * sizeof *c->x);
        c->label[c->rows] = label;
        c->run[c->rows] = (uint32_t)run;
        c->weight[c->rows++] = weight;
    }
}

const char *samples_class(const struct samples *s, size_t family)
{
    return !s->two ? s->family[family] : s->ransomware[family] ? "ransomware" : "benign";
}

static int train_part(const struct samples *s, const uint8_t *use, enum model_kind kind, uint64_t seed, struct model **out,
                      struct chv_err *err)
{
    size_t runs_of[MODEL_CLASSES_MAX] = {0}, families_of[MODEL_CLASSES_MAX] = {0}, active = 0, classes = 0;
    uint32_t label_of[MODEL_CLASSES_MAX] = {0};
    const char *names[MODEL_CLASSES_MAX];
    uint8_t ransomware[MODEL_CLASSES_MAX];
    for (size_t r = 0; r < s->runs; r++) {
        size_t n = use && !use[r] ? 0 : rows_of(s, r);
        active += n;
        runs_of[s->run[r].label] += n > 0;
    }
    for (size_t f = 0; f < s->families; f++) {
        if (runs_of[f] == 0) continue;
        const char *name = samples_class(s, f);
        while (label_of[f] < classes && strcmp(names[label_of[f]], name) != 0) label_of[f]++;
        families_of[label_of[f]]++;
        if (label_of[f] < classes) continue;
        names[classes] = name;
        ransomware[classes++] = s->ransomware[f];
    }
    struct chosen c = {.x = malloc((active + 1) * s->columns * sizeof *c.x), .weight = malloc((active + 1) * sizeof *c.weight),
                       .label = malloc((active + 1) * sizeof *c.label), .run = malloc((active + 1) * sizeof *c.run)};
    int code = c.x && c.weight && c.label && c.run ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (size_t r = 0; r < s->runs && code == 0; r++) {
        size_t n = use && !use[r] ? 0 : rows_of(s, r);
        uint32_t family = s->run[r].label;
        /* on average 1, so that limits on the weight of a leaf mean about as many rows */
        double share = (double)classes * (double)families_of[label_of[family]] * (double)runs_of[family];
        double weight = n > 0 ? (double)active / (share * (double)n) : 0;
        if (n > 0) choose_run(&c, s, r, label_of[family], weight);
        if (n > 0 && s->also) choose_run(&c, s->also, r, label_of[family], weight);
    }
    struct model_table table = {.set = s->set, .rows = c.rows, .columns = s->columns, .x = c.x, .label = c.label, .run = c.run,
                                .weight = c.weight, .class_name = names, .class_is_ransomware = ransomware, .classes = classes};
    if (code == 0) code = model_train(kind, &table, seed, out, err);
    chosen_fini(&c);
    if (code == 0 && model_describe(*out, s->mode, NULL, NULL) < 0) {
        model_free(*out);
        code = chv_err_set(err, ENOMEM, "out of memory");
    }
    return code;
}

int samples_train(const struct samples *s, const uint8_t *use, enum model_kind kind, uint64_t seed, struct model **out,
                  struct chv_err *err)
{
    struct model *encrypted = NULL;
    int code = train_part(s, use, kind, seed, out, err);
    if (code < 0 || !s->encrypted) return code;
    s->encrypted->two = s->two;
    code = train_part(s->encrypted, use, kind, seed, &encrypted, err);
    if (code < 0) {
        model_free(*out);
        *out = NULL;
        return code;
    }
    model_attach_encrypted(*out, encrypted);
    return 0;
}

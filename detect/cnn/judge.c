#include "detect/cnn/judge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cnn/head.h"
#include "detect/evaluate_impl.h"

struct judging {
    const struct samples *s;
    uint32_t *fold_of;              /* of each run */
    struct scored *scored; /* of each picture judged */
    size_t pictures;
    struct cnn_judgement *out;
};

/* What is learned from. */
struct learning {
    const double **x;
    uint32_t *label;
    double *weight;
    size_t rows;
};

static void learning_fini(struct learning *l)
{
    free(l->x);
    free(l->label);
    free(l->weight);
}

/* The pictures of the runs outside `fold`. False: out of memory. */
static bool choose(const struct judging *j, uint32_t fold, struct learning *l)
{
    const struct samples *s = j->s;
    size_t runs_of[MODEL_CLASSES_MAX] = {0};
    l->x = malloc((s->rows + 1) * sizeof *l->x);
    l->label = malloc((s->rows + 1) * sizeof *l->label);
    l->weight = malloc((s->rows + 1) * sizeof *l->weight);
    if (!l->x || !l->label || !l->weight) return false;
    for (size_t r = 0; r < s->runs; r++) runs_of[s->run[r].label] += j->fold_of[r] != fold && s->run[r].rows > 0;
    for (size_t r = 0; r < s->runs; r++) {
        const struct samples_run *run = &s->run[r];
        if (j->fold_of[r] == fold) continue;
        for (size_t i = run->first; i < run->first + run->rows; i++) {
            l->x[l->rows] = s->x + i * s->columns;
            l->label[l->rows] = run->label;
            l->weight[l->rows++] = 1 / ((double)runs_of[run->label] * (double)run->rows);
        }
    }
    return true;
}

/* As for the other models: without both sides there is nothing to tell apart. */
static bool both_sides(const struct samples *s, const struct learning *l)
{
    bool side[2] = {false, false};
    for (size_t i = 0; i < l->rows; i++) side[s->ransomware[l->label[i]] != 0] = true;
    return side[0] && side[1];
}

static size_t best_of(const double *p, size_t count)
{
    size_t best = 0;
    for (size_t c = 1; c < count; c++)
        if (p[c] > p[best]) best = c;
    return best;
}

static void judge_run(struct judging *j, const struct samples_run *run, const struct head *h)
{
    const struct samples *s = j->s;
    double p[MODEL_CLASSES_MAX], sum[MODEL_CLASSES_MAX] = {0};
    for (size_t i = run->first; i < run->first + run->rows; i++) {
        struct scored *w = &j->scored[j->pictures++];
        head_score(h, s->x + i * s->columns, p);
        *w = (struct scored){0, s->ransomware[run->label] != 0};
        for (size_t c = 0; c < s->families; c++) {
            sum[c] += p[c];
            if (s->ransomware[c]) w->score += p[c];
        }
        j->out->pictures.confusion[run->label][best_of(p, s->families)]++;
    }
    if (run->rows == 0) return;
    j->out->runs++;
    j->out->runs_right += best_of(sum, s->families) == run->label;
    j->out->pictures.family[run->label].runs++;
}

static int judge_fold(struct judging *j, uint32_t fold, struct chv_err *err)
{
    const struct samples *s = j->s;
    struct learning l = {0};
    struct head *h = NULL;
    int code = choose(j, fold, &l) ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (code == 0 && !both_sides(s, &l)) {
        j->out->pictures.folds_impossible++;
    } else if (code == 0) {
        struct head_table t = {.rows = l.rows, .columns = s->columns, .classes = s->families, .x = l.x, .label = l.label, .weight = l.weight};
        code = head_train(&t, &h, err);
    }
    learning_fini(&l);
    for (size_t r = 0; r < s->runs && h; r++)
        if (j->fold_of[r] == fold) judge_run(j, &s->run[r], h);
    head_free(h);
    return code;
}

static double accuracy(const struct samples *s, enum evaluate_split split, const struct evaluation *e)
{
    size_t right = 0, all = 0;
    for (size_t c = 0; c < s->families; c++) {
        right += e->confusion[c][c];
        for (size_t o = 0; o < s->families; o++) all += e->confusion[c][o];
    }
    return split != SPLIT_FAMILY && split != SPLIT_BENIGN && all > 0 ? (double)right / (double)all : NAN;
}

int cnn_judge(const struct samples *s, enum evaluate_split split, uint64_t seed, evaluate_progress_fn *progress,
              struct cnn_judgement *out, struct chv_err *err)
{
    memset(out, 0, sizeof *out);
    if (s->families < 2) return chv_err_set(err, EINVAL, "one family only ('%.60s'): nothing to tell apart", s->families ? s->family[0] : "");
    struct judging j = {.s = s, .out = out};
    j.fold_of = calloc(s->runs + 1, sizeof *j.fold_of);
    j.scored = calloc(s->rows + 1, sizeof *j.scored);
    int code = j.fold_of && j.scored ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    size_t folds = code == 0 ? evaluate_folds(s, split, seed, j.fold_of) : 0;
    for (uint32_t fold = 0; fold < folds && code == 0; fold++) {
        if (progress) progress(fold, folds);
        code = judge_fold(&j, fold, err);
    }
    out->pictures.folds = folds;
    if (code == 0) {
        if (measure_binary(j.scored, j.pictures, &out->pictures) < 0) code = chv_err_set(err, ENOMEM, "out of memory");
        measure_families(s, split, &out->pictures);
        out->accuracy = accuracy(s, split, &out->pictures);
    }
    free(j.fold_of);
    free(j.scored);
    return code;
}

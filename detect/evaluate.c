#include "detect/evaluate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/detector.h"
#include "detect/evaluate_impl.h"

#define RUN_FOLDS 5u

static const char *const split_names[SPLITS] = {"run", "half", "family", "benign", "condition"};

const char *evaluate_split_name(enum evaluate_split split)
{
    return (unsigned)split < SPLITS ? split_names[split] : NULL;
}

int evaluate_split_find(const char *name)
{
    for (int i = 0; i < SPLITS; i++)
        if (strcmp(name, split_names[i]) == 0) return i;
    return -1;
}

/* Which fold tests each run. Every run is tested once at most; those of no fold (count or more) are only learned from. */
struct folds {
    size_t count;
    uint32_t *of;
};

static void by_run(const struct samples *s, struct folds *f)
{
    size_t dealt = 0; /* family after family: a family with few runs is in as many folds as it can be */
    f->count = RUN_FOLDS;
    for (uint32_t c = 0; c < s->families; c++)
        for (size_t r = 0; r < s->runs; r++)
            if (s->run[r].label == c) f->of[r] = (uint32_t)(dealt++ % RUN_FOLDS);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Of an odd number the larger half is learned from. */
static void by_half(const struct samples *s, uint64_t seed, struct folds *f)
{
    f->count = 1;
    for (uint32_t c = 0; c < s->families; c++) {
        size_t left = 0, wanted;
        for (size_t r = 0; r < s->runs; r++) left += s->run[r].label == c;
        wanted = left / 2;
        for (size_t r = 0; r < s->runs; r++) { /* Knuth's algorithm S: each half is as likely as any other */
            if (s->run[r].label != c) continue;
            bool judged = draw(&seed) % left < wanted;
            f->of[r] = judged ? 0 : 1;
            wanted -= judged;
            left--;
        }
    }
}

/* One family of a side at a time; the other side's runs are dealt out to the folds. */
static void by_family(const struct samples *s, bool ransomware, struct folds *f)
{
    uint32_t fold_of[MODEL_CLASSES_MAX] = {0};
    f->count = 0;
    for (size_t c = 0; c < s->families; c++)
        if ((s->ransomware[c] != 0) == ransomware) fold_of[c] = (uint32_t)f->count++;
    size_t other = 0;
    for (size_t r = 0; r < s->runs; r++) {
        uint32_t c = s->run[r].label;
        bool held = (s->ransomware[c] != 0) == ransomware;
        f->of[r] = held || f->count == 0 ? fold_of[c] : (uint32_t)(other++ % f->count);
    }
}

static void by_condition(const struct samples *s, struct folds *f)
{
    f->count = 0;
    for (size_t r = 0; r < s->runs; r++) {
        size_t before = 0;
        while (before < r && strcmp(s->run[before].run->condition, s->run[r].run->condition) != 0) before++;
        f->of[r] = before < r ? f->of[before] : (uint32_t)f->count++;
    }
}

/* Alarms as detector.c raises them. */
static void judge_run(const struct samples *s, size_t r, const struct model *m, const size_t *class_of, const struct decision *decision,
                      struct judgements *j)
{
    size_t classes = evaluate_classes(s);
    struct evaluate_run *out = &j->run[r];
    struct decider d;
    uint64_t suspicious_ns = 0;
    decider_init(&d, decision ? decision : model_decision(m));
    out->judged = true;
    for (size_t i = s->run[r].first; i < s->run[r].first + s->run[r].rows; i++) {
        double p[MODEL_CLASSES_MAX], *of_row = j->probability + i * classes;
        const struct samples_row *row = &s->row[i];
        struct feature_row as_row = {.end_ns = row->end_ns, .read_bytes = row->read_bytes, .write_bytes = row->write_bytes,
                                     .active = row->active};
        double score = model_score(model_part(m, row->encrypted), s->x + i * s->columns, p);
        for (size_t c = 0; c < classes; c++) of_row[c] = 0;
        for (size_t c = 0; c < model_class_count(m); c++) of_row[class_of[c]] += p[c];
        if (!out->alarm) {
            out->read_bytes += row->read_bytes;
            out->write_bytes += row->write_bytes;
        }
        if (d.alarmed && row->end_ns > suspicious_ns + DETECTOR_REARM_NS) decider_reset(&d);
        bool raised = decider_push(&d, &as_row, score);
        if (raised || (row->active && score >= DETECTOR_SUSPICIOUS)) suspicious_ns = row->end_ns;
        if (d.sum > out->highest) out->highest = d.sum;
        if (raised && out->alarms < EVALUATE_ALARMS_KEPT) out->at_ns[out->alarms] = row->end_ns;
        if (raised && out->alarms++ == 0) {
            out->alarm = true;
            out->alarm_ns = row->end_ns;
        }
    }
}

/* The runs of one fold, or all (folds NULL). */
static void judge_runs(const struct samples *s, const struct model *m, const struct folds *folds, uint32_t fold,
                       const struct decision *decision, struct judgements *j)
{
    size_t class_of[MODEL_CLASSES_MAX] = {0};
    for (size_t c = 0; c < model_class_count(m); c++) {
        if (s->two)
            class_of[c] = model_class_is_ransomware(m, c);
        else
            while (strcmp(s->family[class_of[c]], model_class_name(m, c)) != 0) class_of[c]++;
    }
    for (size_t r = 0; r < s->runs; r++)
        if (!folds || folds->of[r] == fold) judge_run(s, r, m, class_of, decision, j);
}

static bool can_learn(const struct samples *s, const uint8_t *use)
{
    bool bad = false, good = false;
    for (size_t r = 0; r < s->runs; r++) {
        if (!use[r]) continue;
        if (s->ransomware[s->run[r].label])
            bad = true;
        else
            good = true;
    }
    return bad && good;
}

static int run_fold(const struct samples *s, const struct folds *folds, uint32_t fold, enum model_kind kind, uint64_t seed,
                    const struct decision *decision, struct judgements *j, struct evaluation *out, struct chv_err *err)
{
    uint8_t *use = calloc(s->runs, 1);
    if (!use) return chv_err_set(err, ENOMEM, "out of memory");
    for (size_t r = 0; r < s->runs; r++) use[r] = folds->of[r] != fold;
    struct model *m = NULL;
    int code = 0;
    if (!can_learn(s, use))
        out->folds_impossible++;
    else
        code = samples_train(s, use, kind, seed, &m, err);
    free(use);
    if (!m) return code;
    judge_runs(s, m, folds, fold, decision, j);
    model_free(m);
    return 0;
}

size_t evaluate_folds(const struct samples *s, enum evaluate_split split, uint64_t seed, uint32_t *of)
{
    struct folds f = {.of = of};
    if (split == SPLIT_RUN)
        by_run(s, &f);
    else if (split == SPLIT_HALF)
        by_half(s, seed, &f);
    else if (split == SPLIT_CONDITION)
        by_condition(s, &f);
    else
        by_family(s, split == SPLIT_FAMILY, &f);
    return f.count;
}

static int judgements_init(struct judgements *j, const struct samples *s, struct evaluation *out, struct chv_err *err)
{
    memset(out, 0, sizeof *out);
    *j = (struct judgements){.samples = s, .run = calloc(s->runs + 1, sizeof *j->run),
                             .probability = calloc(s->rows + 1, evaluate_classes(s) * sizeof *j->probability)};
    out->run = j->run;
    return j->run && j->probability ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

/* What it comes to, unless something failed; *out is empty then. */
static int conclude(struct judgements *j, enum evaluate_split split, uint64_t skip_ns, int code, struct evaluation *out, struct chv_err *err)
{
    if (code == 0 && (measure(j, split, skip_ns, out) < 0 || measure_losses(j, out) < 0)) code = chv_err_set(err, ENOMEM, "out of memory");
    free(j->probability);
    if (code < 0) evaluation_fini(out);
    return code;
}

int evaluate(const struct samples *s, enum model_kind kind, enum evaluate_split split, uint64_t seed, uint64_t skip_ns,
             const struct decision *decision, evaluate_progress_fn *progress, struct evaluation *out, struct chv_err *err)
{
    struct folds folds = {.of = calloc(s->runs + 1, sizeof *folds.of)};
    struct judgements j;
    int code = judgements_init(&j, s, out, err);
    if (code == 0 && !folds.of) code = chv_err_set(err, ENOMEM, "out of memory");
    if (code == 0) folds.count = evaluate_folds(s, split, seed, folds.of);
    for (uint32_t fold = 0; fold < folds.count && code == 0; fold++) {
        if (progress) progress(fold, folds.count);
        code = run_fold(s, &folds, fold, kind, seed, decision, &j, out, err);
    }
    out->folds = folds.count;
    free(folds.of);
    return conclude(&j, split, skip_ns, code, out, err);
}

int evaluate_given(const struct samples *s, const struct model *m, uint64_t skip_ns, const struct decision *decision,
                   struct evaluation *out, struct chv_err *err)
{
    struct judgements j;
    int code = judgements_init(&j, s, out, err);
    if (code == 0 && (!s->two || s->set != model_feature_set(m))) code = chv_err_set(err, EINVAL, "samples of other features than the model's");
    if (code == 0) judge_runs(s, m, NULL, 0, decision, &j);
    return conclude(&j, SPLIT_RUN, skip_ns, code, out, err);
}

void evaluation_fini(struct evaluation *e)
{
    struct evaluate_roc *rocs[] = {&e->roc, &e->runs_roc};
    for (size_t i = 0; i < 2; i++) {
        free(rocs[i]->fpr);
        free(rocs[i]->tpr);
        *rocs[i] = (struct evaluate_roc){0};
    }
    free(e->condition);
    free(e->run);
    e->condition = NULL;
    e->run = NULL;
}

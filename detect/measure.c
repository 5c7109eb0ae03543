/* Judgements of rows and runs as the figures that are usual. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/evaluate_impl.h"

struct windows {
    struct scored *list;
    size_t count;
};

/* Rows of one window: mean probabilities of the active ones. False: there was too little traffic. */
static bool window_of(const struct judgements *j, size_t first, size_t count, size_t classes, double *mean)
{
    const struct samples *s = j->samples;
    uint64_t bytes = 0, span_ns = s->row[first + count - 1].end_ns - s->row[first].end_ns + FEATURES_TICK_NS;
    size_t active = 0;
    memset(mean, 0, classes * sizeof *mean);
    for (size_t i = first; i < first + count; i++) {
        bytes += s->row[i].read_bytes + s->row[i].write_bytes;
        if (!s->row[i].active) continue;
        active++;
        for (size_t c = 0; c < classes; c++) mean[c] += j->probability[i * classes + c];
    }
    for (size_t c = 0; c < classes && active > 0; c++) mean[c] /= (double)active;
    return active > 0 && (double)bytes >= (double)span_ns / (double)FEATURES_TICK_NS * FEATURES_ACTIVE_BYTES;
}

static uint64_t window_number(const struct samples_run *run, const struct samples_row *row)
{
    return row->end_ns > run->start_ns ? (row->end_ns - run->start_ns - 1) / EVALUATE_WINDOW_NS : 0;
}

/* So many rows from `at` end in the same window. */
static size_t rows_of_window(const struct samples *s, const struct samples_run *run, size_t at)
{
    const struct samples_row *row = s->row + run->first;
    size_t end = at + 1;
    while (end < run->rows && window_number(run, &row[end]) == window_number(run, &row[at])) end++;
    return end - at;
}

static void windows_of_run(const struct judgements *j, size_t r, struct windows *w, struct evaluation *out)
{
    const struct samples *s = j->samples;
    const struct samples_run *run = &s->run[r];
    double mean[MODEL_CLASSES_MAX];
    size_t classes = evaluate_classes(s);
    for (size_t at = 0, count; at < run->rows; at += count) {
        size_t best = 0;
        count = rows_of_window(s, run, at);
        if (!window_of(j, run->first + at, count, classes, mean)) continue;
        struct scored one = {0, s->ransomware[run->label] != 0};
        for (size_t c = 0; c < classes; c++) {
            if (class_is_bad(s, c)) one.score += mean[c];
            if (mean[c] > mean[best]) best = c;
        }
        w->list[w->count++] = one;
        out->confusion[run->label][best]++;
    }
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static double f1_of(double precision, double recall)
{
    if (isnan(recall)) return NAN;
    return isnan(precision) || precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
}

static int by_score_down(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

int roc_of(struct scored *list, size_t count, struct evaluate_roc *roc, double *auc, double *tpr_at_fpr_1)
{
    double positives = 0, area = 0, up = 0, across = 0;
    for (size_t i = 0; i < count; i++) positives += list[i].ransomware;
    double negatives = (double)count - positives;
    *auc = *tpr_at_fpr_1 = NAN;
    if (positives == 0 || negatives == 0) return 0;
    roc->fpr = malloc((count + 1) * sizeof *roc->fpr);
    roc->tpr = malloc((count + 1) * sizeof *roc->tpr);
    if (!roc->fpr || !roc->tpr) return -ENOMEM;
    roc->fpr[0] = roc->tpr[0] = 0;
    roc->count = 1;
    *tpr_at_fpr_1 = 0;
    /* equal scores move together: a step of the curve is all of one score */
    qsort(list, count, sizeof *list, by_score_down);
    for (size_t i = 0; i < count;) {
        double more_up = 0, more_across = 0, score = list[i].score;
        for (; i < count && list[i].score == score; i++) *(list[i].ransomware ? &more_up : &more_across) += 1;
        area += more_across * (up + more_up / 2);
        up += more_up;
        across += more_across;
        if (across <= 0.01 * negatives) *tpr_at_fpr_1 = up / positives;
        roc->fpr[roc->count] = (float)(across / negatives);
        roc->tpr[roc->count++] = (float)(up / positives);
    }
    *auc = area / (positives * negatives);
    return 0;
}

int measure_binary(struct scored *list, size_t count, struct evaluation *out)
{
    double tp = 0, fp = 0, fn = 0;
    for (size_t i = 0; i < count; i++) {
        bool said = list[i].score >= 0.5, is = list[i].ransomware;
        tp += said && is;
        fp += said && !is;
        fn += !said && is;
        out->windows_ransomware += is;
    }
    out->windows = count;
    out->precision = ratio(tp, tp + fp);
    out->recall = ratio(tp, tp + fn);
    out->f1 = f1_of(out->precision, out->recall);
    return roc_of(list, count, &out->roc, &out->auc, &out->tpr_at_fpr_1);
}

const char *evaluate_class(const struct samples *s, size_t index)
{
    static const char *const two[] = {"benign", "ransomware"};
    if (s->two) return index < 2 ? two[index] : NULL;
    return index < s->families ? s->family[index] : NULL;
}

size_t evaluate_classes(const struct samples *s)
{
    return s->two ? 2 : s->families;
}

void measure_families(const struct samples *s, enum evaluate_split split, struct evaluation *out)
{
    double macro = 0, weighted = 0, total = 0, present = 0;
    for (size_t c = 0; c < s->families; c++) {
        if (s->two) {
            out->family[c].precision = out->family[c].recall = out->family[c].f1 = NAN;
            continue;
        }
        double is = 0, said = 0, right = (double)out->confusion[c][c];
        for (size_t o = 0; o < s->families; o++) is += (double)out->confusion[c][o], said += (double)out->confusion[o][c];
        struct evaluate_family *f = &out->family[c];
        f->precision = ratio(right, said);
        f->recall = ratio(right, is);
        f->f1 = f1_of(f->precision, f->recall);
        if (is == 0) continue;
        macro += f->f1;
        weighted += f->f1 * is;
        total += is;
        present++;
    }
    bool nameable = !s->two && (split == SPLIT_RUN || split == SPLIT_HALF || split == SPLIT_CONDITION);
    out->macro_f1 = nameable ? ratio(macro, present) : NAN;
    out->weighted_f1 = nameable ? ratio(weighted, total) : NAN;
}

int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(const double *sorted, size_t n, double q)
{
    if (n == 0) return NAN;
    double at = q * (double)(n - 1);
    size_t low = (size_t)at;
    double part = at - (double)low;
    return low + 1 < n && part > 0 ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[low];
}

double evaluate_poisson_most(size_t count)
{
    double low = 0, high = 10 + 3 * (double)count;
    for (int i = 0; i < 60; i++) { /* count or fewer are the less likely, the higher the mean */
        double mean = (low + high) / 2, sum = 0;
        for (size_t k = 0; k <= count; k++) sum += exp((double)k * log(mean) - mean - lgamma((double)k + 1));
        *(sum > 0.05 ? &low : &high) = mean;
    }
    return high;
}

/* How long one looked at a benign run. */
static void benign_time(const struct samples *s, const struct samples_run *run, double skip, struct evaluation *out)
{
    uint64_t before = run->start_ns;
    for (size_t i = run->first; i < run->first + run->rows; i++) {
        uint64_t tick = s->row[i].end_ns - before; /* there are no rows of a long silence */
        if (s->row[i].active) out->benign_active_seconds += (double)(tick < FEATURES_TICK_NS ? tick : FEATURES_TICK_NS) * 1e-9;
        before = s->row[i].end_ns;
    }
    double seen = (double)(before - run->start_ns) * 1e-9, ran = (double)(run->run->finish_ns - run->run->begin_ns) * 1e-9 - skip;
    out->benign_seconds += ran > seen ? ran : seen; /* a corpus says how long it looked; where nothing happened there are no rows */
}

static struct evaluate_condition *condition_of(struct evaluation *out, const char *name)
{
    size_t c = 0;
    while (c < out->conditions && strcmp(out->condition[c].name, name) != 0) c++;
    if (c == out->conditions) out->condition[out->conditions++].name = name;
    return &out->condition[c];
}

double evaluate_condition_f1(const struct evaluate_condition *c)
{
    return f1_of(ratio((double)c->detected, (double)(c->detected + c->false_alarms)), ratio((double)c->detected, (double)c->runs_ransomware));
}

static int by_condition_name(const void *a, const void *b)
{
    return strcmp(((const struct evaluate_condition *)a)->name, ((const struct evaluate_condition *)b)->name);
}

static void count_run(const struct samples *s, const struct samples_run *run, const struct evaluate_run *one, double skip,
                      struct evaluation *out)
{
    struct evaluate_condition *c = condition_of(out, run->run->condition);
    out->family[run->label].runs++;
    out->family[run->label].alarms += one->alarm;
    if (s->ransomware[run->label]) {
        out->runs_ransomware++;
        c->runs_ransomware++;
        out->detected += one->alarm;
        c->detected += one->alarm;
    } else {
        out->runs_benign++;
        c->runs_benign++;
        out->false_alarms += one->alarm;
        c->false_alarms += one->alarm;
        out->benign_alarms += one->alarms;
        benign_time(s, run, skip, out);
    }
}

static int runs(const struct judgements *j, uint64_t skip_ns, double *work, struct scored *scores, struct evaluation *out)
{
    const struct samples *s = j->samples;
    double *seconds = work, *written = work + s->runs, *read = work + 2 * s->runs;
    size_t n = 0, judged = 0;
    for (size_t r = 0; r < s->runs; r++) {
        const struct evaluate_run *one = &j->run[r];
        if (!one->judged) continue;
        bool bad = s->ransomware[s->run[r].label] != 0;
        count_run(s, &s->run[r], one, (double)skip_ns * 1e-9, out);
        scores[judged++] = (struct scored){one->highest, bad};
        if (!one->alarm || !bad) continue;
        seconds[n] = one->alarm_ns > skip_ns ? (double)(one->alarm_ns - skip_ns) * 1e-9 : 0;
        written[n] = (double)one->write_bytes;
        read[n++] = (double)one->read_bytes;
    }
    if (out->conditions > 0) qsort(out->condition, out->conditions, sizeof *out->condition, by_condition_name);
    qsort(seconds, n, sizeof *seconds, by_value);
    qsort(written, n, sizeof *written, by_value);
    qsort(read, n, sizeof *read, by_value);
    out->seconds_median = quantile(seconds, n, 0.5), out->seconds_p90 = quantile(seconds, n, 0.9);
    out->written_median = quantile(written, n, 0.5), out->written_p90 = quantile(written, n, 0.9);
    out->read_median = quantile(read, n, 0.5), out->read_p90 = quantile(read, n, 0.9);
    out->runs_precision = ratio((double)out->detected, (double)(out->detected + out->false_alarms));
    out->runs_recall = ratio((double)out->detected, (double)out->runs_ransomware);
    out->runs_f1 = f1_of(out->runs_precision, out->runs_recall);
    double days = out->benign_seconds / 86400;
    out->alarms_a_day = ratio((double)out->benign_alarms, days);
    out->alarms_a_day_most = ratio(evaluate_poisson_most(out->benign_alarms), days);
    return roc_of(scores, judged, &out->runs_roc, &out->runs_auc, &out->runs_tpr_at_fpr_1);
}

int measure(const struct judgements *j, enum evaluate_split split, uint64_t skip_ns, struct evaluation *out)
{
    const struct samples *s = j->samples;
    size_t most = s->rows > s->runs ? s->rows : s->runs;
    struct windows w = {.list = malloc((most + 1) * sizeof *w.list)};
    double *work = malloc((3 * s->runs + 1) * sizeof *work);
    out->condition = calloc(s->runs + 1, sizeof *out->condition);
    int code = w.list && work && out->condition ? 0 : -ENOMEM;
    if (code == 0) {
        for (size_t r = 0; r < s->runs; r++)
            if (j->run[r].judged) windows_of_run(j, r, &w, out);
        measure_families(s, split, out);
        code = measure_binary(w.list, w.count, out);
    }
    if (code == 0) code = runs(j, skip_ns, work, w.list, out);
    free(w.list);
    free(work);
    return code;
}

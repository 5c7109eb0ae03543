/* Judgements of rows and runs as the figures that are usual. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/evaluate_impl.h"

struct window {
    double score;
    bool ransomware;
};

struct windows {
    struct window *list;
    size_t count;
};

/* Ten rows beside each other: mean probabilities of the active ones. False: there was too little traffic. */
static bool window_of(const struct judgements *j, size_t first, size_t count, double *mean)
{
    const struct samples *s = j->samples;
    uint64_t bytes = 0;
    size_t active = 0;
    memset(mean, 0, s->families * sizeof *mean);
    for (size_t i = first; i < first + count; i++) {
        bytes += s->row[i].read_bytes + s->row[i].write_bytes;
        if (!s->row[i].active) continue;
        active++;
        for (size_t c = 0; c < s->families; c++) mean[c] += j->probability[i * s->families + c];
    }
    for (size_t c = 0; c < s->families && active > 0; c++) mean[c] /= (double)active;
    return active > 0 && bytes >= (uint64_t)count * FEATURES_ACTIVE_BYTES;
}

static void windows_of_run(const struct judgements *j, size_t r, struct windows *w, struct evaluation *out)
{
    const struct samples *s = j->samples;
    const struct samples_run *run = &s->run[r];
    double mean[MODEL_CLASSES_MAX];
    for (size_t at = 0; at < run->rows; at += EVALUATE_WINDOW_ROWS) {
        size_t count = run->rows - at < EVALUATE_WINDOW_ROWS ? run->rows - at : EVALUATE_WINDOW_ROWS, best = 0;
        if (!window_of(j, run->first + at, count, mean)) continue;
        struct window one = {0, s->ransomware[run->label] != 0};
        for (size_t c = 0; c < s->families; c++) {
            if (s->ransomware[c]) one.score += mean[c];
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
    double x = ((const struct window *)a)->score, y = ((const struct window *)b)->score;
    return (x < y) - (x > y);
}

static void binary(struct windows *w, struct evaluation *out)
{
    double tp = 0, fp = 0, fn = 0, positives = 0, negatives;
    for (size_t i = 0; i < w->count; i++) {
        bool said = w->list[i].score >= 0.5, is = w->list[i].ransomware;
        tp += said && is;
        fp += said && !is;
        fn += !said && is;
        positives += is;
    }
    negatives = (double)w->count - positives;
    out->windows = w->count;
    out->windows_ransomware = (size_t)positives;
    out->precision = ratio(tp, tp + fp);
    out->recall = ratio(tp, tp + fn);
    out->f1 = f1_of(out->precision, out->recall);
    /* equal scores move together: a step of the curve is all windows of one score */
    qsort(w->list, w->count, sizeof *w->list, by_score_down);
    double area = 0, up = 0, across = 0;
    out->tpr_at_fpr_1 = positives > 0 && negatives > 0 ? 0 : NAN;
    for (size_t i = 0; i < w->count;) {
        double more_up = 0, more_across = 0, score = w->list[i].score;
        for (; i < w->count && w->list[i].score == score; i++) *(w->list[i].ransomware ? &more_up : &more_across) += 1;
        area += more_across * (up + more_up / 2);
        up += more_up;
        across += more_across;
        if (negatives > 0 && across <= 0.01 * negatives) out->tpr_at_fpr_1 = ratio(up, positives);
    }
    out->auc = ratio(area, positives * negatives);
}

static void families(const struct samples *s, enum evaluate_split split, struct evaluation *out)
{
    double macro = 0, weighted = 0, total = 0, present = 0;
    for (size_t c = 0; c < s->families; c++) {
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
    bool nameable = split == SPLIT_RUN || split == SPLIT_CONDITION;
    out->macro_f1 = nameable ? ratio(macro, present) : NAN;
    out->weighted_f1 = nameable ? ratio(weighted, total) : NAN;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *sorted, size_t n, double q)
{
    if (n == 0) return NAN;
    double at = q * (double)(n - 1);
    size_t low = (size_t)at;
    double part = at - (double)low;
    return low + 1 < n ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[low];
}

static void runs(const struct judgements *j, uint64_t skip_ns, double *work, struct evaluation *out)
{
    const struct samples *s = j->samples;
    double *seconds = work, *written = work + s->runs, *read = work + 2 * s->runs;
    size_t n = 0;
    for (size_t r = 0; r < s->runs; r++) {
        const struct judgement *one = &j->run[r];
        if (!one->judged) continue;
        bool bad = s->ransomware[s->run[r].label] != 0;
        out->family[s->run[r].label].runs++;
        out->family[s->run[r].label].alarms += one->alarm;
        *(bad ? &out->runs_ransomware : &out->runs_benign) += 1;
        if (!one->alarm) continue;
        *(bad ? &out->detected : &out->false_alarms) += 1;
        if (!bad) continue;
        seconds[n] = one->alarm_ns > skip_ns ? (double)(one->alarm_ns - skip_ns) * 1e-9 : 0;
        written[n] = (double)one->write_bytes;
        read[n++] = (double)one->read_bytes;
    }
    qsort(seconds, n, sizeof *seconds, by_value);
    qsort(written, n, sizeof *written, by_value);
    qsort(read, n, sizeof *read, by_value);
    out->seconds_median = quantile(seconds, n, 0.5), out->seconds_p90 = quantile(seconds, n, 0.9);
    out->written_median = quantile(written, n, 0.5), out->written_p90 = quantile(written, n, 0.9);
    out->read_median = quantile(read, n, 0.5), out->read_p90 = quantile(read, n, 0.9);
}

int measure(const struct judgements *j, enum evaluate_split split, uint64_t skip_ns, struct evaluation *out)
{
    const struct samples *s = j->samples;
    struct windows w = {.list = malloc((s->rows + 1) * sizeof *w.list)};
    double *work = malloc((3 * s->runs + 1) * sizeof *work);
    int code = w.list && work ? 0 : -ENOMEM;
    if (code == 0) {
        for (size_t r = 0; r < s->runs; r++)
            if (j->run[r].judged) windows_of_run(j, r, &w, out);
        binary(&w, out);
        families(s, split, out);
        runs(j, skip_ns, work, out);
    }
    free(w.list);
    free(work);
    return code;
}

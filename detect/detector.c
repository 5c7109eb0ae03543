#include "detect/detector.h"

#include <stdlib.h>
#include <string.h>

struct detector {
    const struct model *model;
    struct features *features;
    struct decider decider;
    detector_alarm_fn *fn;
    void *arg;
    uint64_t rows, suspicious_ns; /* the end of the last suspicious row */
    double highest;
};

struct detector *detector_new(const struct model *model, detector_alarm_fn *fn, void *arg)
{
    struct detector *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->model = model;
    d->fn = fn;
    d->arg = arg;
    d->features = features_new(model_feature_set(model));
    if (!d->features) {
        free(d);
        return NULL;
    }
    decider_init(&d->decider, model_decision(model));
    return d;
}

void detector_free(struct detector *d)
{
    if (!d) return;
    features_free(d->features);
    free(d);
}

/* The features that raised this row's score most. */
static void explain(const struct model *m, const struct feature_row *row, struct detector_alarm *alarm)
{
    enum feature_set set = model_feature_set(m);
    size_t columns = features_count(set);
    double contribution[FEATURES_MAX] = {0};
    model_explain(m, row->x, contribution);
    while (alarm->reasons < DETECTOR_REASONS) {
        size_t best = columns;
        for (size_t i = 0; i < columns; i++)
            if (contribution[i] > 0 && (best == columns || contribution[i] > contribution[best])) best = i;
        if (best == columns) return;
        alarm->why[alarm->reasons++] =
            (struct detector_reason){features_name(set, best), row->x[best], contribution[best]};
        contribution[best] = 0;
    }
}

static void take_row(void *arg, const struct feature_row *row)
{
    struct detector *d = arg;
    double probability[MODEL_CLASSES_MAX] = {0};
    const struct model *m = model_part(d->model, row->encrypted);
    double score = model_score(m, row->x, probability);
    d->rows++;
    if (score > d->highest) d->highest = score;
    if (d->decider.alarmed && row->end_ns > d->suspicious_ns + DETECTOR_REARM_NS) decider_reset(&d->decider);
    if (row->active && score >= DETECTOR_SUSPICIOUS) d->suspicious_ns = row->end_ns;
    if (!decider_push(&d->decider, row, score)) return;

    struct detector_alarm alarm = {
        .raised_ns = row->end_ns,
        .began_ns = d->decider.rising_since_ns,
        .score = score,
        .sum = d->decider.sum,
        .encrypted = row->encrypted,
    };
    size_t best = 0, classes = model_class_count(m);
    for (size_t i = 1; i < classes; i++)
        if (probability[i] > probability[best]) best = i;
    alarm.family = model_class_name(m, best);
    alarm.family_probability = probability[best];
    explain(m, row, &alarm);
    d->suspicious_ns = row->end_ns;
    d->fn(d->arg, &alarm);
}

void detector_push(struct detector *d, const struct access *a)
{
    features_push(d->features, a, take_row, d);
}

void detector_advance(struct detector *d, uint64_t now_ns)
{
    features_advance(d->features, now_ns, take_row, d);
}

void detector_finish(struct detector *d)
{
    features_finish(d->features, take_row, d);
}

uint64_t detector_rows(const struct detector *d)
{
    return d->rows;
}

double detector_highest(const struct detector *d)
{
    return d->highest;
}

#include "detect/cnn/head.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DECAY 1e-4          /* of the weights; chosen beforehand, not by results */
#define STEPS_MAX 2000u
#define GRADIENT_SMALL 1e-6 /* its largest number */
#define OUTLIER 10.0        /* standard deviations; what is farther out is cut off, as for the other models */

struct head {
    size_t columns, classes;
    double *mean, *scale; /* of each column */
    float *weight;        /* (columns + 1) rows of `classes`; the last is the bias */
};

/* Columns to mean 0 and deviation 1 / sqrt(columns): the mean square of a row's length is then 1 at most, and the step below
 * holds whatever the network gives. A column that never moves is left out. */
static void learn_scaling(struct head *h, const struct head_table *t)
{
    double total = 0;
    for (size_t r = 0; r < t->rows; r++) {
        total += t->weight[r];
        for (size_t c = 0; c < h->columns; c++) h->mean[c] += t->weight[r] * t->x[r][c];
    }
    for (size_t c = 0; c < h->columns; c++) h->mean[c] /= total;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < h->columns; c++) {
            double d = t->x[r][c] - h->mean[c];
            h->scale[c] += t->weight[r] * d * d;
        }
    for (size_t c = 0; c < h->columns; c++) {
        double deviation = sqrt(h->scale[c] / total), least = 1e-6 * (fabs(h->mean[c]) + 1e-30);
        h->scale[c] = deviation > least && isfinite(deviation) ? 1 / (deviation * sqrt((double)h->columns)) : 0;
    }
}

static void scale_row(const struct head *h, const double *x, float *z)
{
    double most = OUTLIER / sqrt((double)h->columns);
    for (size_t c = 0; c < h->columns; c++) z[c] = (float)fmax(-most, fmin(most, (x[c] - h->mean[c]) * h->scale[c]));
    z[h->columns] = 1;
}

/* Classes lie beside each other, so that the inner loop is one sum after another for none of them. */
static void scores(const float *weight, const float *z, size_t columns, size_t classes, float *out)
{
    for (size_t k = 0; k < classes; k++) out[k] = 0;
    for (size_t c = 0; c < columns; c++)
        for (size_t k = 0; k < classes; k++) out[k] += z[c] * weight[c * classes + k];
}

static void softmax(const float *score, size_t classes, double *p)
{
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < classes; k++) most = fmax(most, (double)score[k]);
    for (size_t k = 0; k < classes; k++) sum += p[k] = exp((double)score[k] - most);
    for (size_t k = 0; k < classes; k++) p[k] /= sum;
}

struct descent {
    size_t columns, classes; /* columns with the bias */
    float *z, *ahead, *gradient, *score;
    double *p;
};

/* Of the mean loss at `ahead`; returns its largest number. */
static double find_gradient(const struct descent *d, const struct head_table *t, double total)
{
    size_t n = d->columns * d->classes;
    double largest = 0;
    for (size_t i = 0; i < n; i++) d->gradient[i] = (float)DECAY * d->ahead[i];
    for (size_t r = 0; r < t->rows; r++) {
        const float *z = d->z + r * d->columns;
        scores(d->ahead, z, d->columns, d->classes, d->score);
        softmax(d->score, d->classes, d->p);
        for (size_t k = 0; k < d->classes; k++) d->score[k] = (float)((d->p[k] - (t->label[r] == k)) * t->weight[r] / total);
        for (size_t c = 0; c < d->columns; c++)
            for (size_t k = 0; k < d->classes; k++) d->gradient[c * d->classes + k] += z[c] * d->score[k];
    }
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)d->gradient[i]));
    return largest;
}

/* Nesterov's accelerated gradient for strongly convex functions (Introductory Lectures on Convex Optimization, 2004, 2.2.11): the
 * softmax's curvature is half the mean square length of a row at most (columns 1, bias 1), the weights' is DECAY. */
static void descend(struct head *h, struct descent *d, const struct head_table *t)
{
    const double steep = 0.5 * 2 + DECAY, flat = DECAY, root = sqrt(flat / steep);
    const float momentum = (float)((1 - root) / (1 + root)), step = (float)(1 / steep);
    size_t n = d->columns * d->classes;
    double total = 0;
    for (size_t r = 0; r < t->rows; r++) total += t->weight[r];
    for (unsigned i = 0; i < STEPS_MAX && find_gradient(d, t, total) > GRADIENT_SMALL; i++)
        for (size_t w = 0; w < n; w++) {
            float next = d->ahead[w] - step * d->gradient[w];
            d->ahead[w] = next + momentum * (next - h->weight[w]);
            h->weight[w] = next;
        }
}

static int learn(struct head *h, const struct head_table *t)
{
    struct descent d = {.columns = h->columns + 1, .classes = h->classes};
    d.z = malloc(t->rows * d.columns * sizeof *d.z);
    d.ahead = calloc(d.columns * d.classes, sizeof *d.ahead);
    d.gradient = calloc(d.columns * d.classes, sizeof *d.gradient);
    d.score = calloc(d.classes, sizeof *d.score);
    d.p = calloc(d.classes, sizeof *d.p);
    int r = d.z && d.ahead && d.gradient && d.score && d.p ? 0 : -ENOMEM;
    if (r == 0) {
        learn_scaling(h, t);
        for (size_t i = 0; i < t->rows; i++) scale_row(h, t->x[i], d.z + i * d.columns);
        descend(h, &d, t);
    }
    free(d.z);
    free(d.ahead);
    free(d.gradient);
    free(d.score);
    free(d.p);
    return r;
}

int head_train(const struct head_table *t, struct head **out, struct chv_err *err)
{
    bool two = false;
    for (size_t r = 1; r < t->rows; r++) two |= t->label[r] != t->label[0];
    if (!two) return chv_err_set(err, EINVAL, "%zu pictures of one class: at least two are needed to learn from", t->rows);
    struct head *h = calloc(1, sizeof *h);
    if (!h) return chv_err_set(err, ENOMEM, "out of memory");
    *h = (struct head){.columns = t->columns, .classes = t->classes};
    h->mean = calloc(t->columns, sizeof *h->mean);
    h->scale = calloc(t->columns, sizeof *h->scale);
    h->weight = calloc((t->columns + 1) * t->classes, sizeof *h->weight);
    int r = h->mean && h->scale && h->weight ? learn(h, t) : -ENOMEM;
    if (r < 0) {
        head_free(h);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    *out = h;
    return 0;
}

void head_free(struct head *h)
{
    if (!h) return;
    free(h->mean);
    free(h->scale);
    free(h->weight);
    free(h);
}

void head_score(const struct head *h, const double *x, double *probability)
{
    double most = OUTLIER / sqrt((double)h->columns);
    for (size_t k = 0; k < h->classes; k++) probability[k] = (double)h->weight[h->columns * h->classes + k];
    for (size_t c = 0; c < h->columns; c++) {
        double z = fmax(-most, fmin(most, (x[c] - h->mean[c]) * h->scale[c]));
        for (size_t k = 0; k < h->classes; k++) probability[k] += z * (double)h->weight[c * h->classes + k];
    }
    double top = -INFINITY, sum = 0;
    for (size_t k = 0; k < h->classes; k++) top = fmax(top, probability[k]);
    for (size_t k = 0; k < h->classes; k++) sum += probability[k] = exp(probability[k] - top);
    for (size_t k = 0; k < h->classes; k++) probability[k] /= sum;
}

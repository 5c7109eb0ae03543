/* Nearest neighbours, by exhaustion over a bounded number of rows: small, exact, and the same everywhere. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

#define NEIGHBOURS_MAX 64u

void knn_fini(struct knn *k)
{
    free(k->label);
    free(k->x);
    *k = (struct knn){0};
}

static float distance(const float *a, const float *b, size_t columns, float limit)
{
    float sum = 0;
    for (size_t i = 0; i < columns;) {
        size_t stop = i + 16 < columns ? i + 16 : columns;
        for (; i < stop; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
        if (sum >= limit) return sum; /* cannot become one of the nearest any more */
    }
    return sum;
}

void knn_score(const struct model *m, const double *x, double *probability)
{
    const struct knn *k = &m->knn;
    double scaled[FEATURES_MAX];
    float row[FEATURES_MAX], near[NEIGHBOURS_MAX];
    uint16_t label[NEIGHBOURS_MAX];
    model_scale(m, x, scaled);
    for (size_t i = 0; i < m->columns; i++) row[i] = (float)scaled[i];
    for (uint32_t i = 0; i < k->neighbours; i++) near[i] = INFINITY, label[i] = 0;
    uint32_t last = k->neighbours - 1;
    for (uint32_t r = 0; r < k->rows; r++) {
        float d = distance(row, k->x + (size_t)r * m->columns, m->columns, near[last]);
        if (!(d < near[last])) continue; /* of equals the first stays */
        uint32_t at = last;
        for (; at > 0 && near[at - 1] > d; at--) near[at] = near[at - 1], label[at] = label[at - 1];
        near[at] = d, label[at] = k->label[r];
    }
    /* nearer ones count more; one neighbour's worth of doubt is spread over all classes */
    double total = 0, doubt = 0;
    for (size_t c = 0; c < m->classes; c++) probability[c] = 0;
    for (uint32_t i = 0; i < k->neighbours && near[i] < INFINITY; i++) {
        double w = 1 / (1 + sqrt((double)near[i]));
        probability[label[i]] += w;
        total += w;
        if (i == 0) doubt = w / 2;
    }
    for (size_t c = 0; c < m->classes; c++)
        probability[c] = (probability[c] + doubt / (double)m->classes) / (total + doubt);
}

void knn_encode(const struct model *m, struct payload_out *out)
{
    const struct knn *k = &m->knn;
    uint32_t head[2] = {k->rows, k->neighbours};
    payload_add(out, head, sizeof head);
    payload_add(out, k->label, k->rows * sizeof *k->label);
    payload_add(out, k->x, k->rows * m->columns * sizeof *k->x);
}

int knn_decode(struct model *m, struct payload *in, struct chv_err *err)
{
    struct knn *k = &m->knn;
    uint32_t head[2];
    const uint8_t *at = payload_take(in, sizeof head);
    if (!at) return chv_err_set(err, EBADMSG, "no room for rows");
    memcpy(head, at, sizeof head);
    if (head[0] == 0 || head[0] > KNN_ROWS_MAX || head[1] == 0 || head[1] > NEIGHBOURS_MAX || head[1] > head[0])
        return chv_err_set(err, EBADMSG, "%u rows and %u neighbours are not what a model has", head[0], head[1]);
    const uint8_t *labels = payload_take(in, (uint64_t)head[0] * sizeof *k->label);
    const uint8_t *rows = labels ? payload_take(in, (uint64_t)head[0] * m->columns * sizeof *k->x) : NULL;
    if (!rows) return chv_err_set(err, EBADMSG, "%u rows, but the payload ends before", head[0]);
    k->label = malloc(head[0] * sizeof *k->label);
    k->x = malloc(head[0] * m->columns * sizeof *k->x);
    if (!k->label || !k->x) return chv_err_set(err, ENOMEM, "out of memory");
    memcpy(k->label, labels, head[0] * sizeof *k->label);
    memcpy(k->x, rows, head[0] * m->columns * sizeof *k->x);
    for (uint32_t r = 0; r < head[0]; r++)
        if (k->label[r] >= m->classes) return chv_err_set(err, EBADMSG, "row %u is of no class", r);
    for (size_t i = 0; i < head[0] * m->columns; i++)
        if (!(fabsf(k->x[i]) <= 10)) /* model_scale cuts there; distances of larger ones may be infinite */
            return chv_err_set(err, EBADMSG, "a value that is no number, or larger than what is learned from");
    k->rows = head[0];
    k->neighbours = head[1];
    return 0;
}

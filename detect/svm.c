/* C-SVC with probabilities, as LIBSVM computes them, over dense rows. LIBSVM learns it (train_svm.c); its own predictor is
 * about as fast, but its reader of model files believes what it reads, so a file from outside never reaches it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

void svm_fini(struct svm *s)
{
    free(s->first);
    free(s->rho);
    free(s->coefficient);
    free(s->vector);
    *s = (struct svm){0};
}

static double sigmoid(double decision, double a, double b)
{
    double f = decision * a + b;
    return f >= 0 ? exp(-f) / (1 + exp(-f)) : 1 / (1 + exp(f));
}

/* From probabilities of pairs to those of classes: T.-F. Wu, C.-J. Lin, R. C. Weng, JMLR 5 (2004), algorithm 2, with the
 * tolerance and the most steps that LIBSVM has. */
static void couple(size_t k, double pair[MODEL_CLASSES_MAX][MODEL_CLASSES_MAX], double *p)
{
    double q[MODEL_CLASSES_MAX][MODEL_CLASSES_MAX], qp[MODEL_CLASSES_MAX], eps = 0.005 / (double)k;
    for (size_t t = 0; t < k; t++) {
        p[t] = 1.0 / (double)k;
        q[t][t] = 0;
        for (size_t j = 0; j < k; j++) {
            if (j == t) continue;
            q[t][t] += pair[j][t] * pair[j][t];
            q[t][j] = j < t ? q[j][t] : -pair[j][t] * pair[t][j];
        }
    }
    for (size_t step = 0; step < (k > 100 ? k : 100); step++) {
        double pqp = 0, worst = 0;
        for (size_t t = 0; t < k; t++) {
            qp[t] = 0;
            for (size_t j = 0; j < k; j++) qp[t] += q[t][j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (size_t t = 0; t < k; t++) worst = fmax(worst, fabs(qp[t] - pqp));
        if (worst < eps) break;
        for (size_t t = 0; t < k; t++) {
            double diff = (-qp[t] + pqp) / q[t][t];
            p[t] += diff;
            pqp = (pqp + diff * (diff * q[t][t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
            for (size_t j = 0; j < k; j++) {
                qp[j] = (qp[j] + diff * q[t][j]) / (1 + diff);
                p[j] /= 1 + diff;
            }
        }
    }
}

/* The decision of classes i < j: Σ over both classes' vectors of coefficient * kernel, less rho. */
static double decide(const struct svm *s, const double *kernel, size_t i, size_t j, double rho)
{
    const double *of_i = s->coefficient + (j - 1) * s->vectors, *of_j = s->coefficient + i * s->vectors;
    double sum = 0;
    for (uint32_t v = s->first[i]; v < s->first[i + 1]; v++) sum += of_i[v] * kernel[v];
    for (uint32_t v = s->first[j]; v < s->first[j + 1]; v++) sum += of_j[v] * kernel[v];
    return sum - rho;
}

void svm_score(const struct model *m, const double *x, double *probability)
{
    const struct svm *s = &m->svm;
    double row[FEATURES_MAX], pair[MODEL_CLASSES_MAX][MODEL_CLASSES_MAX];
    double *kernel = malloc(s->vectors * sizeof *kernel);
    if (!kernel) { /* nothing can be said */
        for (size_t c = 0; c < m->classes; c++) probability[c] = 1.0 / (double)m->classes;
        return;
    }
    model_scale(m, x, row);
    for (uint32_t v = 0; v < s->vectors; v++) {
        const double *vector = s->vector + (size_t)v * m->columns;
        double sum = 0;
        for (size_t i = 0; i < m->columns; i++) sum += (row[i] - vector[i]) * (row[i] - vector[i]);
        kernel[v] = exp(-s->gamma * sum);
    }
    size_t n = 0;
    for (size_t i = 0; i < s->classes; i++)
        for (size_t j = i + 1; j < s->classes; j++, n++) {
            double p = sigmoid(decide(s, kernel, i, j, s->rho[n]), s->prob_a[n], s->prob_b[n]);
            pair[i][j] = p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p;
            pair[j][i] = 1 - pair[i][j];
        }
    free(kernel);
    if (s->classes == 2) {
        probability[0] = pair[0][1];
        probability[1] = pair[1][0];
    } else {
        couple(s->classes, pair, probability);
    }
}

static size_t pairs_of(const struct svm *s)
{
    return (size_t)s->classes * (s->classes - 1) / 2;
}

void svm_encode(const struct model *m, struct payload_out *out)
{
    const struct svm *s = &m->svm;
    uint32_t head[2] = {s->vectors, s->classes};
    payload_add(out, head, sizeof head);
    payload_add(out, &s->gamma, sizeof s->gamma);
    payload_add(out, s->rho, 3 * pairs_of(s) * sizeof *s->rho);
    payload_add(out, s->coefficient, ((size_t)s->classes - 1) * s->vectors * sizeof *s->coefficient);
    payload_add(out, s->vector, (size_t)s->vectors * m->columns * sizeof *s->vector);
    payload_add(out, s->first, (s->classes + 1) * sizeof *s->first);
}

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static double *take_doubles(struct payload *in, size_t n, struct chv_err *err)
{
    const uint8_t *at = payload_take(in, (uint64_t)n * sizeof(double));
    double *copy = at ? malloc(n * sizeof *copy) : NULL;
    if (copy) memcpy(copy, at, n * sizeof *copy);
    if (!at)
        chv_err_set(err, EBADMSG, "the payload ends inside the vectors");
    else if (!copy)
        chv_err_set(err, ENOMEM, "out of memory");
    else if (!all_finite(copy, n)) {
        chv_err_set(err, EBADMSG, "a value that is no number");
        free(copy);
        copy = NULL;
    }
    return copy;
}

int svm_decode(struct model *m, struct payload *in, struct chv_err *err)
{
    struct svm *s = &m->svm;
    struct chv_err own;
    if (!err) err = &own;
    uint32_t head[2];
    const uint8_t *at = payload_take(in, sizeof head), *gamma = at ? payload_take(in, sizeof s->gamma) : NULL;
    if (!gamma) return chv_err_set(err, EBADMSG, "no room for vectors");
    memcpy(head, at, sizeof head);
    memcpy(&s->gamma, gamma, sizeof s->gamma);
    if (head[0] == 0 || head[0] > SVM_VECTORS_MAX || head[1] < 2 || head[1] != m->classes)
        return chv_err_set(err, EBADMSG, "%u vectors of %u classes are not what a model has", head[0], head[1]);
    if (!isfinite(s->gamma) || s->gamma <= 0) return chv_err_set(err, EBADMSG, "the kernel's gamma is no positive number");
    s->vectors = head[0];
    s->classes = head[1];
    if (!(s->rho = take_doubles(in, 3 * pairs_of(s), err))) return -err->code;
    s->prob_a = s->rho + pairs_of(s);
    s->prob_b = s->prob_a + pairs_of(s);
    if (!(s->coefficient = take_doubles(in, ((size_t)s->classes - 1) * s->vectors, err))) return -err->code;
    if (!(s->vector = take_doubles(in, (size_t)s->vectors * m->columns, err))) return -err->code;
    size_t bytes = ((size_t)s->classes + 1) * sizeof *s->first;
    const uint8_t *first = payload_take(in, bytes);
    if (!first) return chv_err_set(err, EBADMSG, "the payload ends before the classes' vectors are told");
    if (!(s->first = malloc(bytes))) return chv_err_set(err, ENOMEM, "out of memory");
    memcpy(s->first, first, bytes);
    for (uint32_t c = 0; c < s->classes; c++)
        if (s->first[c] > s->first[c + 1]) return chv_err_set(err, EBADMSG, "class %u ends before it begins", c);
    if (s->first[0] != 0 || s->first[s->classes] != s->vectors)
        return chv_err_set(err, EBADMSG, "the classes do not hold all vectors");
    return 0;
}

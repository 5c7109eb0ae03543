/* Learning: what all kinds share. */
#include <errno.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

/* Means and spreads of the columns, every row with its weight. A column that never moves is left out of distances. */
static void learn_scaling(struct model *m, const struct model_table *t)
{
    double total = 0;
    for (size_t c = 0; c < m->columns; c++) m->mean[c] = m->scale[c] = 0;
    for (size_t r = 0; r < t->rows; r++) {
        double w = t->weight ? t->weight[r] : 1;
        total += w;
        for (size_t c = 0; c < m->columns; c++) m->mean[c] += w * t->x[r * m->columns + c];
    }
    for (size_t c = 0; c < m->columns; c++) m->mean[c] = total > 0 ? m->mean[c] / total : 0;
    for (size_t r = 0; r < t->rows; r++) {
        double w = t->weight ? t->weight[r] : 1;
        for (size_t c = 0; c < m->columns; c++) {
            double d = t->x[r * m->columns + c] - m->mean[c];
            m->scale[c] += w * d * d;
        }
    }
    for (size_t c = 0; c < m->columns; c++) {
        double deviation = total > 0 ? sqrt(m->scale[c] / total) : 0;
        m->scale[c] = deviation > 1e-9 && isfinite(deviation) ? 1 / deviation : 0;
    }
}

static bool digest_table(const struct model_table *t, uint8_t out[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (size_t c = 0; good && c < t->columns; c++) {
        const char *name = features_name(t->set, c);
        good = EVP_DigestUpdate(ctx, name, strlen(name) + 1) == 1;
    }
    for (size_t c = 0; good && c < t->classes; c++)
        good = EVP_DigestUpdate(ctx, t->class_name[c], strlen(t->class_name[c]) + 1) == 1 &&
               EVP_DigestUpdate(ctx, &t->class_is_ransomware[c], 1) == 1;
    good = good && EVP_DigestUpdate(ctx, t->x, t->rows * t->columns * sizeof *t->x) == 1 &&
           EVP_DigestUpdate(ctx, t->label, t->rows * sizeof *t->label) == 1 &&
           (!t->run || EVP_DigestUpdate(ctx, t->run, t->rows * sizeof *t->run) == 1) &&
           (!t->weight || EVP_DigestUpdate(ctx, t->weight, t->rows * sizeof *t->weight) == 1) &&
           EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static uint64_t count_runs(const struct model_table *t)
{
    uint64_t runs = t->rows > 0;
    for (size_t r = 1; t->run && r < t->rows; r++) runs += t->run[r] != t->run[r - 1];
    return runs;
}

static int check_table(const struct model_table *t, struct chv_err *err)
{
    uint8_t seen[MODEL_CLASSES_MAX] = {0};
    size_t classes = 0;
    if (t->columns != features_count(t->set) || t->columns > FEATURES_MAX || t->classes > MODEL_CLASSES_MAX)
        return chv_err_set(err, EINVAL, "a table of %zu columns and %zu classes is not one of '%s'", t->columns, t->classes,
                           feature_set_name(t->set));
    for (size_t r = 0; r < t->rows; r++) {
        if (t->label[r] >= t->classes) return chv_err_set(err, EINVAL, "row %zu is of no class", r);
        classes += !seen[t->label[r]];
        seen[t->label[r]] = 1;
        for (size_t c = 0; c < t->columns; c++)
            if (!isfinite(t->x[r * t->columns + c]))
                return chv_err_set(err, EINVAL, "row %zu, %s is no number", r, features_name(t->set, c));
    }
    if (classes < 2) return chv_err_set(err, EINVAL, "%zu rows of %zu classes: at least two classes are needed to learn from", t->rows, classes);
    if (classes < t->classes) return chv_err_set(err, EINVAL, "%zu of %zu classes have no row to learn from", t->classes - classes, t->classes);
    return 0;
}

size_t *train_choose(const struct model_table *t, size_t most, size_t *count)
{
    size_t *chosen = malloc((t->rows ? t->rows : 1) * sizeof *chosen), n = 0;
    if (!chosen) return NULL;
    /* every k-th row of all: runs lie one after the other, so each gives its share */
    for (size_t r = 0; r < t->rows; r++)
        if (t->rows <= most || (r + 1) * most / t->rows != r * most / t->rows) chosen[n++] = r;
    *count = n;
    return chosen;
}

int train_knn(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err)
{
    (void)seed;
    size_t count = 0, *chosen = train_choose(t, 16384, &count);
    struct knn *k = &m->knn;
    k->label = malloc((count ? count : 1) * sizeof *k->label);
    k->x = malloc((count ? count : 1) * m->columns * sizeof *k->x);
    int r = chosen && k->label && k->x ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < count; i++) {
        double scaled[FEATURES_MAX];
        model_scale(m, t->x + chosen[i] * m->columns, scaled);
        for (size_t c = 0; c < m->columns; c++) k->x[i * m->columns + c] = (float)scaled[c];
        k->label[i] = (uint16_t)t->label[chosen[i]];
    }
    k->rows = (uint32_t)count;
    k->neighbours = count < 15 ? (uint32_t)count : 15;
    free(chosen);
    return r;
}

int model_train(enum model_kind kind, const struct model_table *table, uint64_t seed, struct model **out, struct chv_err *err)
{
    int r = check_table(table, err);
    if (r < 0) return r;
    struct model *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    m->kind = kind;
    m->mode = table->set == FEATURES_READ ? MODEL_READS : MODEL_PAIRED;
    m->set = table->set;
    m->columns = table->columns;
    m->classes = table->classes;
    m->rows = table->rows;
    m->runs = count_runs(table);
    m->seed = seed & INT64_MAX;
    m->decision = (struct decision){.threshold = 8, .drift = 0.5, .cap = 2};
    for (size_t c = 0; c < m->classes && r == 0; c++) {
        m->class_name[c] = strdup(table->class_name[c]);
        m->ransomware[c] = table->class_is_ransomware[c] != 0;
        if (!m->class_name[c]) r = chv_err_set(err, ENOMEM, "out of memory");
    }
    if (r == 0 && !digest_table(table, m->table_sha256)) r = chv_err_set(err, ENOMEM, "cannot compute the table's SHA-256");
    if (r == 0) learn_scaling(m, table);
    if (r == 0)
        r = kind == MODEL_SVM   ? train_svm(m, table, seed, err)
            : kind == MODEL_KNN ? train_knn(m, table, seed, err)
                                : train_forest(m, table, seed, err);
    if (r < 0) {
        model_free(m);
        return r;
    }
    *out = m;
    return 0;
}

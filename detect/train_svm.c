/* C-SVC with an RBF kernel and probabilities, learned by LIBSVM. */
#include <errno.h>
#include <libsvm/svm.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

#define ROWS_MOST 6000u /* training costs the square of it */

static void silent(const char *text)
{
    (void)text;
}

struct problem {
    struct svm_problem lib;
    struct svm_node *nodes;
};

static void problem_fini(struct problem *p)
{
    free(p->lib.x);
    free(p->lib.y);
    free(p->nodes);
}

static void add_row(struct problem *p, size_t n, const struct model *m, const double *x)
{
    struct svm_node *node = p->nodes + n * (m->columns + 1);
    double scaled[FEATURES_MAX];
    model_scale(m, x, scaled);
    for (size_t c = 0; c < m->columns; c++) node[c] = (struct svm_node){(int)c + 1, scaled[c]};
    node[m->columns].index = -1;
    p->lib.x[n] = node;
}

static bool problem_init(struct problem *p, const struct model *m, const struct model_table *t)
{
    size_t count = 0, *chosen = train_choose(t, ROWS_MOST, &count), width = m->columns + 1;
    *p = (struct problem){.lib = {.l = (int)count}};
    p->lib.x = calloc(count + 1, sizeof *p->lib.x);
    p->lib.y = calloc(count + 1, sizeof *p->lib.y);
    p->nodes = calloc((count + 1) * width, sizeof *p->nodes);
    bool good = chosen && p->lib.x && p->lib.y && p->nodes;
    /* by class: LIBSVM numbers the classes as it meets them, so that its numbers are ours */
    for (size_t c = 0, n = 0; good && c < m->classes; c++)
        for (size_t i = 0; i < count; i++) {
            if (t->label[chosen[i]] != c) continue;
            add_row(p, n, m, t->x + chosen[i] * m->columns);
            p->lib.y[n++] = (double)c;
        }
    free(chosen);
    return good;
}

bool svm_take_model(struct model *m, const struct svm_model *lib)
{
    struct svm *s = &m->svm;
    size_t k = m->classes, pairs = k * (k - 1) / 2, l = (size_t)lib->l;
    s->first = calloc(k + 1, sizeof *s->first);
    s->rho = calloc(3 * pairs, sizeof *s->rho);
    s->coefficient = calloc((k - 1) * l, sizeof *s->coefficient);
    s->vector = calloc(l * m->columns, sizeof *s->vector);
    if (!s->first || !s->rho || !s->coefficient || !s->vector) return false;
    s->gamma = lib->param.gamma;
    s->vectors = (uint32_t)l;
    s->classes = (uint32_t)k;
    s->prob_a = s->rho + pairs;
    s->prob_b = s->prob_a + pairs;
    for (size_t c = 0; c < k; c++) s->first[c + 1] = s->first[c] + (uint32_t)lib->nSV[c];
    for (size_t c = 0; c + 1 < k; c++) memcpy(s->coefficient + c * l, lib->sv_coef[c], l * sizeof *s->coefficient);
    for (size_t v = 0; v < l; v++)
        for (const struct svm_node *n = lib->SV[v]; n->index > 0; n++) s->vector[v * m->columns + (size_t)n->index - 1] = n->value;
    memcpy(s->rho, lib->rho, pairs * sizeof *s->rho);
    memcpy(s->prob_a, lib->probA, pairs * sizeof *s->prob_a);
    memcpy(s->prob_b, lib->probB, pairs * sizeof *s->prob_b);
    return true;
}

int train_svm(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err)
{
    struct problem p;
    struct svm_parameter parameter = {.svm_type = C_SVC, .kernel_type = RBF, .gamma = 1.0 / (double)m->columns, .C = 10,
                                      .cache_size = 256, .eps = 1e-3, .shrinking = 1, .probability = 1};
    int r = 0;
    svm_set_print_string_function(silent);
    if (!problem_init(&p, m, t)) {
        r = chv_err_set(err, ENOMEM, "out of memory");
    } else {
        const char *fault = svm_check_parameter(&p.lib, &parameter);
        srand((unsigned)seed); /* LIBSVM draws its inner folds with rand() */
        struct svm_model *lib = fault ? NULL : svm_train(&p.lib, &parameter);
        if (!lib)
            r = chv_err_set(err, EINVAL, "LIBSVM cannot learn from this: %.200s", fault ? fault : "no model");
        else if ((size_t)lib->nr_class != m->classes || !lib->probA || !lib->probB)
            r = chv_err_set(err, EINVAL, "LIBSVM cannot learn from this: %d of %zu classes have rows among those chosen", lib->nr_class, m->classes);
        else if (!svm_take_model(m, lib))
            r = chv_err_set(err, ENOMEM, "out of memory");
        if (lib) svm_free_and_destroy_model(&lib);
    }
    problem_fini(&p);
    return r;
}

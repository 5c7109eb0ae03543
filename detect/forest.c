/* Trees as flat arrays. XGBoost learns them (train_forest.c); scoring a row with its library costs tens of microseconds of
 * set-up, walking them here costs what the walk costs, and a file from outside never reaches that library. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

void forest_fini(struct forest *f)
{
    free(f->root);
    free(f->class_of);
    free(f->node);
    *f = (struct forest){0};
}

/* XGBoost compares in single precision: so do we, to reach the same leaves. */
static void to_float(const struct model *m, const double *x, float *out)
{
    for (size_t i = 0; i < m->columns; i++) out[i] = (float)x[i];
}

static const struct forest_node *leaf_of(const struct forest_node *root, const float *x)
{
    const struct forest_node *n = root;
    while (n->left) n = root + n->left + !(x[n->feature] < n->threshold);
    return n;
}

static void sum_trees(const struct model *m, const float *x, float *sum)
{
    const struct forest *f = &m->forest;
    memset(sum, 0, (m->classes + 1) * sizeof *sum);
    for (uint32_t t = 0; t < f->trees; t++) sum[f->class_of[t]] += leaf_of(f->node + f->root[t], x)->value;
}

/* Sums of a class's trees: of a random forest the mean of its leaves (each tree was learned at 1/trees), of boosting the
 * class's margin. Where there are trees of "ransomware or not" these decide that, and the others only which of either. */
static void finish(const struct model *m, const float *sum, double *p)
{
    double total = 0, bad = 0, most = -INFINITY;
    for (size_t c = 0; c < m->classes; c++) most = sum[c] > most ? (double)sum[c] : most;
    for (size_t c = 0; c < m->classes; c++) {
        p[c] = m->kind == MODEL_GBT ? exp((double)sum[c] - most) + 1e-9 : sum[c] > 0 ? (double)sum[c] : 0;
        total += p[c];
    }
    for (size_t c = 0; c < m->classes; c++) {
        p[c] = total > 0 ? p[c] / total : 1.0 / (double)m->classes;
        if (m->ransomware[c]) bad += p[c];
    }
    if (!m->forest.has_head || bad <= 0 || bad >= 1) return;
    double score = 1 / (1 + exp(-(double)sum[m->classes]));
    for (size_t c = 0; c < m->classes; c++) p[c] *= m->ransomware[c] ? score / bad : (1 - score) / (1 - bad);
}

void forest_score(const struct model *m, const double *x, double *probability)
{
    float row[FEATURES_MAX], sum[MODEL_CLASSES_MAX + 1];
    to_float(m, x, row);
    sum_trees(m, row, sum);
    finish(m, sum, probability);
}

/* How the score's log odds (boosting) or the score (forest) changes with each class's sum, at this row. */
static void slopes(const struct model *m, const double *p, double total, double *slope)
{
    double bad = 0;
    for (size_t c = 0; c < m->classes; c++) bad += m->ransomware[c] ? p[c] : 0;
    slope[m->classes] = m->forest.has_head;
    for (size_t c = 0; c < m->classes; c++) {
        double side = m->ransomware[c] ? bad : 1 - bad;
        double share = side > 1e-12 ? p[c] / side : 0;
        if (m->forest.has_head)
            slope[c] = 0;
        else if (m->kind == MODEL_GBT)
            slope[c] = m->ransomware[c] ? share : -share;
        else
            slope[c] = total > 0 ? (m->ransomware[c] ? 1 - bad : -bad) / total : 0;
    }
}

void forest_explain(const struct model *m, const double *x, double *contribution)
{
    const struct forest *f = &m->forest;
    float row[FEATURES_MAX], sum[MODEL_CLASSES_MAX + 1];
    double p[MODEL_CLASSES_MAX], slope[MODEL_CLASSES_MAX + 1], total = 0;
    to_float(m, x, row);
    memset(contribution, 0, m->columns * sizeof *contribution);
    sum_trees(m, row, sum);
    for (size_t c = 0; c < m->classes; c++) total += sum[c] > 0 ? (double)sum[c] : 0;
    finish(m, sum, p);
    slopes(m, p, total, slope);
    for (uint32_t t = 0; t < f->trees; t++) {
        const struct forest_node *root = f->node + f->root[t];
        for (const struct forest_node *n = root, *next; n->left; n = next) {
            next = root + n->left + !(row[n->feature] < n->threshold);
            contribution[n->feature] += slope[f->class_of[t]] * ((double)next->value - (double)n->value);
        }
    }
}

/* trees, total nodes; of each tree its class and its nodes; then all nodes. */
void forest_encode(const struct model *m, struct payload_out *out)
{
    const struct forest *f = &m->forest;
    uint32_t head[2] = {f->trees, f->root[f->trees]};
    payload_add(out, head, sizeof head);
    for (uint32_t t = 0; t < f->trees; t++) {
        uint32_t tree[2] = {f->class_of[t], f->root[t + 1] - f->root[t]};
        payload_add(out, tree, sizeof tree);
    }
    payload_add(out, f->node, head[1] * sizeof *f->node);
}

static int check_tree(const struct model *m, const struct forest_node *node, uint32_t count, uint32_t tree, struct chv_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct forest_node *n = &node[i];
        if (!isfinite(n->threshold) || !isfinite(n->value) || n->zero || n->feature >= m->columns)
            return chv_err_set(err, EBADMSG, "tree %u, node %u is no node of this model", tree, i);
        /* forward only, and both children inside: no walk can run in circles or out */
        if (n->left && (n->left <= i || n->left >= count - 1))
            return chv_err_set(err, EBADMSG, "tree %u, node %u points outside its tree or back", tree, i);
    }
    return 0;
}

int forest_decode(struct model *m, struct payload *in, struct chv_err *err)
{
    struct forest *f = &m->forest;
    uint32_t head[2];
    const uint8_t *at = payload_take(in, sizeof head);
    if (!at) return chv_err_set(err, EBADMSG, "no room for trees");
    memcpy(head, at, sizeof head);
    if (head[0] == 0 || head[0] > FOREST_TREES_MAX || head[1] < head[0] || head[1] > FOREST_NODES_MAX)
        return chv_err_set(err, EBADMSG, "%u trees of %u nodes are not what a model has", head[0], head[1]);
    const uint8_t *trees = payload_take(in, (uint64_t)head[0] * 8);
    const uint8_t *nodes = trees ? payload_take(in, (uint64_t)head[1] * sizeof *f->node) : NULL;
    if (!nodes) return chv_err_set(err, EBADMSG, "%u trees of %u nodes, but the payload ends before", head[0], head[1]);
    f->root = calloc((size_t)head[0] + 1, sizeof *f->root);
    f->class_of = calloc(head[0], sizeof *f->class_of);
    f->node = malloc(head[1] * sizeof *f->node);
    if (!f->root || !f->class_of || !f->node) return chv_err_set(err, ENOMEM, "out of memory");
    memcpy(f->node, nodes, head[1] * sizeof *f->node);
    for (uint32_t t = 0; t < head[0]; t++) {
        uint32_t tree[2];
        memcpy(tree, trees + (size_t)t * 8, sizeof tree);
        if (tree[0] >= m->classes + (m->kind == MODEL_GBT) || tree[1] == 0 || tree[1] > head[1] - f->root[t])
            return chv_err_set(err, EBADMSG, "tree %u is of no class or larger than all", t);
        f->class_of[t] = (uint16_t)tree[0];
        f->has_head |= tree[0] == m->classes;
        f->root[t + 1] = f->root[t] + tree[1];
        int r = check_tree(m, f->node + f->root[t], tree[1], t, err);
        if (r < 0) return r;
    }
    f->trees = head[0];
    if (f->root[f->trees] != head[1]) return chv_err_set(err, EBADMSG, "nodes that belong to no tree");
    return 0;
}

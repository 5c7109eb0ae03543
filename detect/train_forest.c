/* Random forest and gradient boosting, learned by XGBoost and taken over as flat trees.
 *
 * The forest is XGBoost's random-forest mode: one round of many parallel trees, each on a sample of the rows, with a sample of the
 * features at each node; one such forest a class, fitted to "is it this class?" by squared error without regularisation, so
 * that a leaf holds the share of its class among its rows, as in Breiman's.
 *
 * Boosting is two: few shallow trees tell ransomware from the rest, by those features alone of which more is always worse
 * (features_monotone), constrained to be so; what such trees learn of programs they know holds for those they do not. Others,
 * multinomial and over all features, name the family. Where no feature is monotone the latter decide both. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xgboost/c_api.h>

#include "detect/model_impl.h"

#define GBT_ROUNDS 120
#define HEAD_ROUNDS 60
enum { ALL_CLASSES = -1, HEAD = -2 }; /* in place of one class */

struct setting {
    const char *name, *value;
};

/* One thread: sums of floats then have one order, and the same table gives the same trees. */
static const struct setting common[] = {{"booster", "gbtree"},  {"tree_method", "hist"}, {"max_bin", "256"},
                                        {"nthread", "1"},       {"verbosity", "0"},      {"validate_parameters", "1"},
                                        {"max_delta_step", "0"}, {NULL, NULL}};
static const struct setting forest_settings[] = {
    {"objective", "reg:squarederror"}, {"base_score", "0"}, {"learning_rate", "1"},     {"reg_lambda", "0"},
    {"num_parallel_tree", "100"},      {"max_depth", "14"}, {"min_child_weight", "3"}, {"subsample", "0.632"},
    {"colsample_bynode", "0.3"},       {NULL, NULL}};
static const struct setting boost_settings[] = {
    {"objective", "multi:softprob"}, {"base_score", "0.5"}, {"learning_rate", "0.1"},    {"reg_lambda", "1"},
    {"max_depth", "4"},              {"subsample", "0.7"},  {"min_child_weight", "3"}, {"colsample_bynode", "0.4"},
    {NULL, NULL}};

static const struct setting head_settings[] = {
    {"objective", "binary:logistic"}, {"base_score", "0.5"}, {"learning_rate", "0.1"},     {"reg_lambda", "5"},
    {"max_depth", "3"},               {"subsample", "0.7"},  {"min_child_weight", "20"}, {"colsample_bytree", "0.7"},
    {NULL, NULL}};

static int failed(struct chv_err *err)
{
    char text[200];
    snprintf(text, sizeof text, "%.199s", XGBGetLastError());
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20) *p = ' ';
    return chv_err_set(err, EINVAL, "XGBoost cannot learn from this: %s", text);
}

static bool apply(BoosterHandle b, const struct setting *s)
{
    for (; s->name; s++)
        if (XGBoosterSetParam(b, s->name, s->value) != 0) return false;
    return true;
}

/* Only what is monotone: other columns are made constant, which no tree can split. The harmless side weighs twice as much: rows of
 * ransomware that does nothing yet, or no more, look like it, and shall not count as evidence. */
static void for_head(const struct model_table *t, float *x, float *weight)
{
    double side[2] = {0, 0}, total;
    for (size_t i = 0; i < t->rows; i++) side[t->class_is_ransomware[t->label[i]] != 0] += (double)weight[i];
    total = side[0] + side[1];
    for (size_t i = 0; i < t->rows; i++) {
        bool bad = t->class_is_ransomware[t->label[i]] != 0;
        if (side[bad] > 0) weight[i] *= (float)((bad ? 1 : 2) * total / 3 / side[bad]);
        for (size_t c = 0; c < t->columns; c++)
            if (features_monotone(t->set, c) == 0) x[i * t->columns + c] = 0;
    }
}

/* Where between the programs it knows and ransomware does a tree draw the line? Anywhere, to it; but the next harmless program will go
 * somewhat further than those at hand. So every harmless row comes once more, moved up by as much as the margin (evenly spread). */
static void add_margin(const struct model_table *t, float *x, float *weight)
{
    const double golden = 0.6180339887498949; /* multiples of it fill [0, 1) evenly */
    double margin = features_margin(t->set), part = 0;
    size_t to = t->rows;
    for (size_t i = 0; i < t->rows; i++) {
        if (t->class_is_ransomware[t->label[i]]) continue;
        part = part + golden < 1 ? part + golden : part + golden - 1;
        for (size_t c = 0; c < t->columns; c++)
            x[to * t->columns + c] = x[i * t->columns + c] + (float)(margin * part * features_monotone(t->set, c));
        weight[to++] = weight[i];
    }
}

static int make_matrix(const struct model_table *t, bool head, DMatrixHandle *out, struct chv_err *err)
{
    size_t rows = t->rows;
    for (size_t i = 0; head && i < t->rows; i++) rows += !t->class_is_ransomware[t->label[i]];
    float *x = malloc(rows * t->columns * sizeof *x), *weight = malloc(rows * sizeof *weight);
    int r = x && weight ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < t->rows * t->columns; i++) x[i] = (float)t->x[i];
    for (size_t i = 0; r == 0 && i < t->rows; i++) weight[i] = t->weight ? (float)t->weight[i] : 1;
    if (r == 0 && head) {
        for_head(t, x, weight);
        add_margin(t, x, weight);
    }
    DMatrixHandle d = NULL;
    if (r == 0 && (XGDMatrixCreateFromMat(x, rows, t->columns, NAN, &d) != 0 || XGDMatrixSetFloatInfo(d, "weight", weight, rows) != 0)) {
        r = failed(err);
        if (d) XGDMatrixFree(d);
    }
    free(x);
    free(weight);
    if (r == 0) *out = d;
    return r;
}

/* Labels: of one class against all others (only >= 0), of ransomware against the rest, or the class's number. */
static int set_labels(const struct model_table *t, int only, DMatrixHandle d, struct chv_err *err)
{
    bst_ulong rows = 0; /* what add_margin added is harmless */
    if (XGDMatrixNumRow(d, &rows) != 0) return failed(err);
    float *label = calloc(rows, sizeof *label);
    if (!label) return chv_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < t->rows; i++)
        label[i] = only == ALL_CLASSES                 ? (float)t->label[i]
                   : only == HEAD                      ? (float)(t->class_is_ransomware[t->label[i]] != 0)
                   : t->label[i] == (uint32_t)only ? 1.0f
                                                       : 0.0f;
    int r = XGDMatrixSetFloatInfo(d, "label", label, rows) == 0 ? 0 : failed(err);
    free(label);
    return r;
}

/* --- XGBoost's JSON to flat trees --- */

struct growing {
    struct forest *forest;
    size_t tree_room, node_room, nodes;
};

static bool make_room(struct growing *g, size_t more)
{
    struct forest *f = g->forest;
    if (f->trees + 1 >= g->tree_room) {
        size_t room = g->tree_room ? 2 * g->tree_room : 256;
        uint32_t *root = realloc(f->root, (room + 1) * sizeof *root);
        if (root) f->root = root;
        uint16_t *class_of = root ? realloc(f->class_of, room * sizeof *class_of) : NULL;
        if (!class_of) return false;
        f->class_of = class_of;
        g->tree_room = room;
    }
    if (g->nodes + more > g->node_room) {
        size_t room = 2 * (g->nodes + more);
        struct forest_node *node = realloc(f->node, room * sizeof *node);
        if (!node) return false;
        f->node = node;
        g->node_room = room;
    }
    return g->nodes + more <= FOREST_NODES_MAX && f->trees < FOREST_TREES_MAX;
}

static int64_t int_at(const json_t *array, size_t i)
{
    return (int64_t)json_number_value(json_array_get(array, i));
}

/* Breadth first, so that children lie side by side behind their parent. `order[new]` is XGBoost's number of the node. */
static bool add_tree(struct growing *g, const json_t *tree, uint16_t class_of, size_t columns)
{
    const json_t *lefts = json_object_get(tree, "left_children"), *rights = json_object_get(tree, "right_children");
    const json_t *features = json_object_get(tree, "split_indices"), *conditions = json_object_get(tree, "split_conditions");
    const json_t *cover = json_object_get(tree, "sum_hessian");
    size_t count = json_array_size(lefts), used = 1;
    if (count == 0 || !make_room(g, count)) return false;
    size_t *order = calloc(count, sizeof *order);
    if (!order) return false;
    struct forest_node *node = g->forest->node + g->nodes;
    bool good = true;
    for (size_t n = 0; n < used && good; n++) {
        int64_t left = int_at(lefts, order[n]), right = int_at(rights, order[n]), feature = int_at(features, order[n]);
        node[n] = (struct forest_node){.value = (float)json_number_value(json_array_get(conditions, order[n]))};
        if (left < 0) continue;
        good = used + 2 <= count && left < (int64_t)count && right >= 0 && right < (int64_t)count && feature >= 0 && feature < (int64_t)columns;
        if (!good) break;
        node[n].threshold = node[n].value;
        node[n].feature = (uint16_t)feature;
        node[n].left = (uint32_t)used;
        order[used++] = (size_t)left;
        order[used++] = (size_t)right;
    }
    for (size_t n = used; good && n-- > 0;) { /* backwards: children before parents */
        if (!node[n].left) continue;
        double wl = json_number_value(json_array_get(cover, order[node[n].left]));
        double wr = json_number_value(json_array_get(cover, order[node[n].left + 1]));
        double vl = (double)node[node[n].left].value, vr = (double)node[node[n].left + 1].value;
        node[n].value = (float)(wl + wr > 0 ? (wl * vl + wr * vr) / (wl + wr) : (vl + vr) / 2);
    }
    free(order);
    if (!good) return false;
    struct forest *f = g->forest;
    f->class_of[f->trees] = class_of;
    f->root[f->trees] = (uint32_t)g->nodes;
    g->nodes += used;
    f->root[++f->trees] = (uint32_t)g->nodes;
    return true;
}

static int take_trees(struct growing *g, BoosterHandle b, int only, size_t classes, size_t columns, struct chv_err *err)
{
    bst_ulong length = 0;
    const char *text = NULL;
    if (XGBoosterSaveModelToBuffer(b, "{\"format\": \"json\"}", &length, &text) != 0) return failed(err);
    json_t *root = json_loadb(text, length, 0, NULL);
    const json_t *model = json_object_get(json_object_get(json_object_get(root, "learner"), "gradient_booster"), "model");
    const json_t *trees = json_object_get(model, "trees"), *info = json_object_get(model, "tree_info");
    bool good = json_array_size(trees) > 0;
    for (size_t i = 0; i < json_array_size(trees) && good; i++) {
        int64_t of = only >= 0 ? only : only == HEAD ? (int64_t)classes : int_at(info, i);
        good = of >= 0 && of <= (int64_t)classes && add_tree(g, json_array_get(trees, i), (uint16_t)of, columns);
    }
    json_decref(root);
    return good ? 0 : chv_err_set(err, EINVAL, "XGBoost's trees cannot be taken over: too many, or of another layout than expected");
}

int forest_take_booster(struct model *m, void *booster, struct chv_err *err)
{
    struct growing g = {.forest = &m->forest};
    return take_trees(&g, booster, ALL_CLASSES, m->classes, m->columns, err);
}

/* "(1,0,…)": the constraint of each column. */
static void constraints(const struct model_table *t, char text[4 * FEATURES_MAX])
{
    char *at = text;
    for (size_t c = 0; c < t->columns; c++)
        at += sprintf(at, "%c%d", c ? ',' : '(', features_monotone(t->set, c) > 0 ? 1 : features_monotone(t->set, c) < 0 ? -1 : 0);
    strcpy(at, ")");
}

static int boost(struct growing *g, const struct model *m, const struct model_table *t, DMatrixHandle d, int only, uint64_t seed,
                 struct chv_err *err)
{
    BoosterHandle b = NULL;
    char number[24], classes[24], signs[4 * FEATURES_MAX];
    snprintf(number, sizeof number, "%u", (unsigned)(seed & INT32_MAX));
    snprintf(classes, sizeof classes, "%zu", m->classes);
    constraints(t, signs);
    int r = set_labels(t, only, d, err), rounds = only == ALL_CLASSES ? GBT_ROUNDS : only == HEAD ? HEAD_ROUNDS : 1;
    if (r < 0) return r;
    if (XGBoosterCreate(&d, 1, &b) != 0) return failed(err);
    bool good = apply(b, common) && apply(b, only == HEAD ? head_settings : only >= 0 ? forest_settings : boost_settings) &&
                XGBoosterSetParam(b, "seed", number) == 0;
    if (only == ALL_CLASSES) good = good && XGBoosterSetParam(b, "num_class", classes) == 0;
    if (only == HEAD) good = good && XGBoosterSetParam(b, "monotone_constraints", signs) == 0;
    for (int round = 0; good && round < rounds; round++) good = XGBoosterUpdateOneIter(b, round, d) == 0;
    r = good ? take_trees(g, b, only, m->classes, m->columns, err) : failed(err);
    XGBoosterFree(b);
    return r;
}

static bool wants_head(const struct model_table *t)
{
    bool monotone = false, sides[2] = {false, false};
    for (size_t c = 0; c < t->columns; c++) monotone |= features_monotone(t->set, c) != 0;
    for (size_t c = 0; c < t->classes; c++) sides[t->class_is_ransomware[c] != 0] = true;
    return monotone && sides[0] && sides[1];
}

int train_forest(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err)
{
    DMatrixHandle d = NULL;
    struct growing g = {.forest = &m->forest};
    int r = make_matrix(t, false, &d, err);
    if (r < 0) return r;
    if (m->kind == MODEL_GBT) r = boost(&g, m, t, d, ALL_CLASSES, seed, err);
    for (int c = 0; m->kind == MODEL_RF && c < (int)m->classes && r == 0; c++) r = boost(&g, m, t, d, c, seed + (uint64_t)c * 7919, err);
    XGDMatrixFree(d);
    if (r < 0 || m->kind != MODEL_GBT || !wants_head(t)) return r;
    r = make_matrix(t, true, &d, err);
    if (r < 0) return r;
    r = boost(&g, m, t, d, HEAD, seed, err);
    XGDMatrixFree(d);
    m->forest.has_head = r == 0;
    m->decision = (struct decision){.threshold = 8, .drift = 1.5, .cap = 2};
    return r;
}

/* Every kind of model: learns, tells apart, survives its file, is the same again, and says what its library says. */
#include <errno.h>
#include <libsvm/svm.h>
#include <math.h>
#include <xgboost/c_api.h>

#include "detect/model_impl.h"
#include "tests/unit.h"

#define ROWS 400u
#define CLASSES 3u

static const char *const names[CLASSES] = {"Zip", "Ransom \"A\"", "Übel"};
static const uint8_t bad[CLASSES] = {0, 1, 1};

struct world {
    struct model_table table;
    double *x;
    uint32_t *label, *run;
};

static double noise(uint64_t *seed)
{
    return (double)(unit_random(seed) >> 11) * 0x1p-53 - 0.5;
}

/* Where a class lies on a column: ransomware on the far side of those that speak for or against it, each family further on
 * every other one; else each class somewhere else. */
static double centre(enum feature_set set, size_t column, uint32_t class)
{
    int sign = features_monotone(set, column);
    if (sign == 0) return column % CLASSES == class ? 2 : 0;
    double far = !bad[class] ? 0 : column % 2 == class % 2 ? 3 : 1.5;
    return sign > 0 ? far : 3 - far;
}

/* Three clouds that overlap a little. */
static void world_init(struct world *w, enum feature_set set, uint64_t seed)
{
    size_t columns = features_count(set);
    w->x = malloc(ROWS * columns * sizeof *w->x);
    w->label = malloc(ROWS * sizeof *w->label);
    w->run = malloc(ROWS * sizeof *w->run);
    CHECK(w->x && w->label && w->run);
    for (size_t r = 0; r < ROWS; r++) {
        w->label[r] = (uint32_t)(r / 20 % CLASSES);
        w->run[r] = (uint32_t)(r / 20);
        for (size_t c = 0; c < columns; c++)
            w->x[r * columns + c] = centre(set, c, w->label[r]) + 3 * noise(&seed) + (c == 4 ? 1e6 * noise(&seed) : 0);
    }
    w->table = (struct model_table){.set = set, .rows = ROWS, .columns = columns, .x = w->x, .label = w->label, .run = w->run,
                                    .class_name = names, .class_is_ransomware = bad, .classes = CLASSES};
}

static void world_fini(struct world *w)
{
    free(w->x);
    free(w->label);
    free(w->run);
}

static void check_kind(const struct world *w, enum model_kind kind, const char *dir)
{
    struct chv_err err = {0};
    struct model *m, *again, *back;
    uint8_t *a, *b;
    size_t a_bytes, b_bytes, right = 0;
    char path[300];
    CHECK_OK(model_train(kind, &w->table, 7, &m, &err), err);
    CHECK_OK(model_train(kind, &w->table, 7, &again, &err), err);
    CHECK(model_encode(m, &a, &a_bytes) == 0 && model_encode(again, &b, &b_bytes) == 0);
    CHECK(a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0);
    snprintf(path, sizeof path, "%s/%s.model", dir, model_kind_name(kind));
    CHECK(model_describe(m, MODEL_PAIRED, "chronovisor train …", "{\"f1\": 0.5}") == 0);
    CHECK(model_describe(m, MODEL_PAIRED, NULL, "[]") < 0);
    CHECK_OK(model_save(m, path, &err), err);
    CHECK_OK(model_load(path, &back, &err), err);
    struct model_facts facts;
    model_facts(back, &facts);
    CHECK(strcmp(facts.command, "chronovisor train …") == 0 && strcmp(facts.metrics_json, "{\"f1\":0.5}") == 0);
    CHECK(facts.rows == ROWS && facts.runs == ROWS / 20 && facts.seed == 7 && model_kind(back) == kind);
    CHECK(model_class_count(back) == CLASSES && strcmp(model_class_name(back, 1), names[1]) == 0 && !model_class_name(back, 3));
    CHECK(!model_class_is_ransomware(back, 0) && model_class_is_ransomware(back, 2) && !model_reads_part(back));
    for (size_t r = 0; r < ROWS; r++) {
        double p[CLASSES], q[CLASSES], why[FEATURES_MAX], sum = 0;
        const double *x = w->x + r * w->table.columns;
        double score = model_score(m, x, p);
        size_t best = 0;
        CHECK(score == model_score(back, x, q) && memcmp(p, q, sizeof p) == 0);
        for (size_t c = 0; c < CLASSES; c++) {
            CHECK(p[c] >= 0 && p[c] <= 1);
            sum += p[c];
            if (p[c] > p[best]) best = c;
        }
        CHECK(fabs(sum - 1) < 1e-6 && fabs(score - p[1] - p[2]) < 1e-12);
        right += best == w->label[r];
        if (r % 50 == 0) model_explain(m, x, why);
        for (size_t c = 0; r % 50 == 0 && c < w->table.columns; c++) CHECK(isfinite(why[c]));
    }
    printf("%s: %zu of %u right, %zu bytes\n", model_kind_name(kind), right, ROWS, a_bytes);
    CHECK(right > ROWS * 8 / 10);
    free(a);
    free(b);
    model_free(m);
    model_free(again);
    model_free(back);
}

/* The likeliest reason for a row of class 1 must be one of the columns that part it from class 0. */
static void check_explanation(const struct world *w, enum model_kind kind)
{
    struct chv_err err;
    struct model *m;
    double why[FEATURES_MAX], x[FEATURES_MAX];
    CHECK_OK(model_train(kind, &w->table, 1, &m, &err), err);
    memcpy(x, w->x, sizeof *x * w->table.columns); /* a row of class 0 */
    for (size_t c = 0; c < w->table.columns; c++)
        if (c != 4) x[c] = 1.5 * centre(w->table.set, c, 1);
    CHECK(model_score(m, x, NULL) > 0.5);
    model_explain(m, x, why);
    size_t most = 0;
    for (size_t c = 0; c < w->table.columns; c++)
        if (why[c] > why[most]) most = c;
    CHECK(centre(w->table.set, most, 0) < centre(w->table.set, most, 1) && why[most] > 0);
    model_free(m);
}

static struct model *empty_model(const struct world *w, enum model_kind kind)
{
    struct model *m = calloc(1, sizeof *m);
    CHECK(m);
    m->kind = kind;
    m->set = w->table.set;
    m->columns = w->table.columns;
    m->classes = CLASSES;
    m->ransomware[1] = m->ransomware[2] = 1;
    for (size_t c = 0; c < m->columns; c++) m->scale[c] = c == 4 ? 1e-6 : 0.5;
    return m;
}

static void agrees_with_xgboost(const struct world *w)
{
    const struct model_table *t = &w->table;
    float *x = malloc(ROWS * t->columns * sizeof *x), label[ROWS];
    CHECK(x);
    for (size_t i = 0; i < ROWS * t->columns; i++) x[i] = (float)w->x[i];
    for (size_t i = 0; i < ROWS; i++) label[i] = (float)w->label[i];
    DMatrixHandle d;
    BoosterHandle b;
    CHECK(XGDMatrixCreateFromMat(x, ROWS, t->columns, NAN, &d) == 0 && XGDMatrixSetFloatInfo(d, "label", label, ROWS) == 0);
    CHECK(XGBoosterCreate(&d, 1, &b) == 0);
    static const char *const settings[][2] = {{"objective", "multi:softprob"}, {"num_class", "3"}, {"max_depth", "6"}, {"nthread", "1"},
                                              {"subsample", "0.7"}, {"num_parallel_tree", "3"}, {"tree_method", "exact"}, {"verbosity", "0"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) CHECK(XGBoosterSetParam(b, settings[i][0], settings[i][1]) == 0);
    for (int round = 0; round < 20; round++) CHECK(XGBoosterUpdateOneIter(b, round, d) == 0);
    struct model *m = empty_model(w, MODEL_GBT);
    struct chv_err err;
    CHECK_OK(forest_take_booster(m, b, &err), err);
    CHECK(m->forest.trees == 20 * 3 * CLASSES);
    const float *theirs;
    bst_ulong count;
    CHECK(XGBoosterPredict(b, d, 0, 0, 0, &count, &theirs) == 0 && count == ROWS * CLASSES);
    double worst = 0, p[CLASSES];
    for (size_t r = 0; r < ROWS; r++) {
        model_score(m, w->x + r * t->columns, p);
        for (size_t c = 0; c < CLASSES; c++) worst = fmax(worst, fabs(p[c] - (double)theirs[r * CLASSES + c]));
    }
    printf("XGBoost: at most %.2g apart\n", worst);
    CHECK(worst < 1e-6);
    model_free(m);
    XGBoosterFree(b);
    XGDMatrixFree(d);
    free(x);
}

static void silent(const char *text)
{
    (void)text;
}

static void agrees_with_libsvm(const struct world *w)
{
    size_t columns = w->table.columns, n = 0;
    struct model *m = empty_model(w, MODEL_SVM);
    struct svm_node *nodes = calloc(ROWS * (columns + 1), sizeof *nodes), *x[ROWS];
    double y[ROWS], scaled[FEATURES_MAX];
    size_t row_of[ROWS];
    CHECK(nodes);
    for (uint32_t c = 0; c < CLASSES; c++)
        for (size_t r = 0; r < ROWS; r++) {
            if (w->label[r] != c) continue;
            x[n] = nodes + n * (columns + 1);
            model_scale(m, w->x + r * columns, scaled);
            for (size_t i = 0; i < columns; i++) x[n][i] = (struct svm_node){(int)i + 1, scaled[i]};
            x[n][columns].index = -1;
            row_of[n] = r;
            y[n++] = c;
        }
    struct svm_problem problem = {.l = (int)ROWS, .y = y, .x = x};
    struct svm_parameter parameter = {.svm_type = C_SVC, .kernel_type = RBF, .gamma = 0.05, .C = 1, .cache_size = 16, .eps = 1e-3, .shrinking = 1,
                                      .probability = 1};
    svm_set_print_string_function(silent);
    struct svm_model *lib = svm_train(&problem, &parameter);
    CHECK(lib && svm_take_model(m, lib));
    double worst = 0, p[CLASSES], q[CLASSES];
    for (size_t r = 0; r < ROWS; r++) {
        svm_predict_probability(lib, x[r], q);
        model_score(m, w->x + row_of[r] * columns, p);
        for (size_t c = 0; c < CLASSES; c++) worst = fmax(worst, fabs(p[c] - q[c]));
    }
    printf("LIBSVM: at most %.2g apart\n", worst);
    CHECK(worst < 1e-6);
    svm_free_and_destroy_model(&lib);
    free(nodes);
    model_free(m);
}

/* Where harmless rows end those of ransomware begin, and go on for twice the margin: what is a quarter of it further than any
 * harmless row seen is still taken for harmless, what is further than all of it is not. */
static void keeps_distance(const struct world *w)
{
    struct chv_err err;
    struct model *m;
    struct model_table t = w->table;
    const double margin = features_margin(t.set), line = 10;
    uint64_t seed = 11;
    double *x = malloc(ROWS * t.columns * sizeof *x), at[FEATURES_MAX];
    CHECK(x && margin > 0);
    for (size_t r = 0; r < ROWS; r++) {
        double part = noise(&seed) + 0.5, value = bad[t.label[r]] ? line + 2 * margin * part : line - part;
        for (size_t c = 0; c < t.columns; c++) x[r * t.columns + c] = features_monotone(t.set, c) * value;
    }
    t.x = x;
    CHECK_OK(model_train(MODEL_GBT, &t, 1, &m, &err), err);
    for (size_t c = 0; c < t.columns; c++) at[c] = features_monotone(t.set, c) * (line + margin / 4);
    CHECK(model_score(m, at, NULL) < 0.5);
    for (size_t c = 0; c < t.columns; c++) at[c] = features_monotone(t.set, c) * (line + margin * 1.5);
    CHECK(model_score(m, at, NULL) > 0.5);
    model_free(m);
    free(x);
}

static void refuses_tables(const struct world *w)
{
    struct chv_err err;
    struct model *m;
    struct model_table t = w->table;
    uint32_t same[ROWS] = {0};
    t.label = same;
    CHECK(model_train(MODEL_GBT, &t, 1, &m, &err) == -EINVAL && strstr(err.text, "classes"));
    t = w->table;
    t.rows = 0;
    CHECK(model_train(MODEL_KNN, &t, 1, &m, &err) == -EINVAL);
    t = w->table;
    double kept = w->x[5];
    w->x[5] = NAN;
    CHECK(model_train(MODEL_RF, &t, 1, &m, &err) == -EINVAL && strstr(err.text, "no number"));
    w->x[5] = kept;
}

int main(void)
{
    char dir[256];
    struct world w, paper;
    unit_temp_dir(dir);
    world_init(&w, FEATURES_DEFAULT, 3);
    world_init(&paper, FEATURES_PAPER, 5);
    for (int kind = 0; kind < MODEL_KINDS; kind++) check_kind(&w, (enum model_kind)kind, dir);
    check_explanation(&w, MODEL_RF);
    check_explanation(&w, MODEL_GBT);
    check_explanation(&w, MODEL_KNN);
    agrees_with_xgboost(&w);
    agrees_with_xgboost(&paper);
    agrees_with_libsvm(&w);
    keeps_distance(&w);
    refuses_tables(&w);
    world_fini(&w);
    world_fini(&paper);
    unit_remove_tree(dir);
    return 0;
}

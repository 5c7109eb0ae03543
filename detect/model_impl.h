/* Inside a model: what detect/model*.c, forest.c, svm.c, knn.c and the trainers share. */
#ifndef CHV_DETECT_MODEL_IMPL_H
#define CHV_DETECT_MODEL_IMPL_H

#include "detect/model.h"

/* Bounds of what a file may make us allocate or walk. */
#define FOREST_TREES_MAX 65536u
#define FOREST_NODES_MAX (8u << 20)
#define SVM_VECTORS_MAX 65536u
#define KNN_ROWS_MAX 65536u

/* Children lie side by side behind their parent: `left` and left + 1, so a walk always ends. 16 bytes, as in the file. */
struct forest_node {
    float threshold;  /* x < threshold goes left */
    float value;      /* of a leaf; elsewhere the mean of what is below, weighted by what was learned there */
    uint32_t left;    /* from the tree's root; 0: a leaf */
    uint16_t feature;
    uint16_t zero;
};
_Static_assert(sizeof(struct forest_node) == 16, "the file holds these as they are");

struct forest {
    uint32_t trees;
    uint32_t *root;    /* trees + 1: where each begins in node */
    uint16_t *class_of; /* the number of classes itself: log odds of "ransomware or not" (GBT) */
    bool has_head;      /* there are such */
    struct forest_node *node;
};

/* C-SVC with an RBF kernel, one against one, as LIBSVM has it. */
struct svm {
    uint32_t vectors, classes;    /* classes that have vectors: all */
    double gamma;
    uint32_t *first;              /* classes + 1: where each class's vectors begin */
    double *rho, *prob_a, *prob_b; /* classes * (classes - 1) / 2, pairs in order (0,1), (0,2), … */
    double *coefficient;          /* (classes - 1) rows of `vectors` */
    double *vector;               /* vectors rows of columns, scaled */
};

struct knn {
    uint32_t rows, neighbours;
    uint16_t *label;
    float *x;                     /* rows of columns, scaled */
};

struct model {
    enum model_kind kind;
    enum model_mode mode;
    enum feature_set set;
    size_t columns, classes;
    char *class_name[MODEL_CLASSES_MAX];
    uint8_t ransomware[MODEL_CLASSES_MAX];
    double mean[FEATURES_MAX], scale[FEATURES_MAX]; /* scaled = (x - mean) * scale; of SVM and kNN */
    struct decision decision;
    uint64_t rows, runs, seed;
    uint8_t table_sha256[32];
    char *command, *metrics;
    struct forest forest;
    struct svm svm;
    struct knn knn;
    struct model *reads, *encrypted;
};

/* A bounded cursor over a payload: take() fails for good at the first lack. */
struct payload {
    const uint8_t *at;
    size_t left;
};
static inline const uint8_t *payload_take(struct payload *p, uint64_t bytes)
{
    if (bytes > p->left) return NULL;
    const uint8_t *taken = p->at;
    p->at += bytes;
    p->left -= (size_t)bytes;
    return taken;
}

/* A payload being made; `failed` once memory ran out. */
struct payload_out {
    uint8_t *data;
    size_t bytes, room;
    bool failed;
};
void payload_add(struct payload_out *out, const void *data, size_t bytes);

/* Each kind: probabilities of all classes for a row, its payload, and the way back. decode returns 0, -ENOMEM, or -EBADMSG
 * with a reason in err; m has its columns and classes by then. */
void forest_score(const struct model *m, const double *x, double *probability);
void forest_explain(const struct model *m, const double *x, double *contribution);
void forest_encode(const struct model *m, struct payload_out *out);
int forest_decode(struct model *m, struct payload *in, struct chv_err *err);
void forest_fini(struct forest *f);

void svm_score(const struct model *m, const double *x, double *probability);
void svm_encode(const struct model *m, struct payload_out *out);
int svm_decode(struct model *m, struct payload *in, struct chv_err *err);
void svm_fini(struct svm *s);

void knn_score(const struct model *m, const double *x, double *probability);
void knn_encode(const struct model *m, struct payload_out *out);
int knn_decode(struct model *m, struct payload *in, struct chv_err *err);
void knn_fini(struct knn *k);

/* One row as SVM and kNN see it; far outliers are cut off at 10 standard deviations. */
void model_scale(const struct model *m, const double *x, double *scaled);

/* Memory as a file: the whole of it, copied and checked. */
int model_decode(const void *data, size_t bytes, const char *name, struct model **out, struct chv_err *err);
/* malloc'd; -ENOMEM. */
int model_encode(const struct model *m, uint8_t **data, size_t *bytes);

/* --- trainers (detect_train: the only part that needs XGBoost and LIBSVM) --- */
int train_forest(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err);
int train_svm(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err);
int train_knn(struct model *m, const struct model_table *t, uint64_t seed, struct chv_err *err);
/* A library's trained model as ours; also for tests, which compare the two. m has its columns and classes; the booster is
 * multinomial with a base score for all classes alike, the SVM's labels are 0, 1, 2, … in order. */
int forest_take_booster(struct model *m, void *booster, struct chv_err *err);
struct svm_model;
bool svm_take_model(struct model *m, const struct svm_model *lib);
/* Rows for a kind that cannot take all: at most `most`, evenly from every run. malloc'd indexes in order; *count of them. */
size_t *train_choose(const struct model_table *t, size_t most, size_t *count);

#endif

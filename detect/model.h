/* Models that turn a row of features into probabilities of classes. */
#ifndef CHV_DETECT_MODEL_H
#define CHV_DETECT_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "detect/features.h"

#define MODEL_CLASSES_MAX 64

enum model_kind { MODEL_RF, MODEL_SVM, MODEL_KNN, MODEL_GBT };

/* Rows to learn from. `run` groups rows that must never be split. */
struct model_table {
    enum feature_set set;
    size_t rows, columns;
    const double *x;          /* rows * columns */
    const uint32_t *label;    /* class of each row */
    const uint32_t *run;
    const double *weight;     /* of each row, or NULL */
    const char *const *class_name;
    const uint8_t *class_is_ransomware;
    size_t classes;
};

struct model;
int model_train(enum model_kind kind, const struct model_table *table, uint64_t seed, struct model **out, struct chv_err *err);
/* One file: features, scaling, classes, digest of the training data, metrics, decision, trees. A bad file is refused with
 * a reason (EBADMSG) before anything is believed. */
int model_load(const char *path, struct model **out, struct chv_err *err);
int model_save(const struct model *m, const char *path, struct chv_err *err);
void model_free(struct model *m);

enum feature_set model_feature_set(const struct model *m);
size_t model_class_count(const struct model *m);
const char *model_class_name(const struct model *m, size_t index);
/* Probability of each class (sum 1); returns that of all ransomware classes together. Any thread. */
double model_score(const struct model *m, const double *x, double *probability);
/* How much each feature moved this row's score (signed; columns of them): for explanations. */
void model_explain(const struct model *m, const double *x, double *contribution);

/* --- decide.h's parameters, kept in the model --- */
struct decision {
    double threshold;      /* of the sum */
    double drift;          /* taken off each tick's evidence */
    double cap;            /* most evidence of one tick */
};
const struct decision *model_decision(const struct model *m);

#endif

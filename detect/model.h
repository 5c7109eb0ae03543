/* Models that turn a row of features into probabilities of classes. */
#ifndef CHV_DETECT_MODEL_H
#define CHV_DETECT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "detect/features.h"

#define MODEL_CLASSES_MAX 64
#define MODEL_FILE_BYTES_MAX (256u << 20) /* a larger file is refused unread */

enum model_kind { MODEL_RF, MODEL_SVM, MODEL_KNN, MODEL_GBT, MODEL_KINDS };
const char *model_kind_name(enum model_kind kind);
int model_kind_find(const char *name); /* or -1 */

/* What the streams a model is for show: READS is for those of which only reads are known. */
enum model_mode { MODEL_PAIRED, MODEL_READS };

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
/* Learn; the same table and seed give the same model. EINVAL: fewer than two classes, or nothing to learn from. */
int model_train(enum model_kind kind, const struct model_table *table, uint64_t seed, struct model **out, struct chv_err *err);
/* One file: features, scaling, classes, digest of the training data, metrics, decision, trees. A bad file is refused with
 * a reason (EBADMSG) before anything is believed. */
int model_load(const char *path, struct model **out, struct chv_err *err);
int model_save(const struct model *m, const char *path, struct chv_err *err);
void model_free(struct model *m);

enum model_kind model_kind(const struct model *m);
enum model_mode model_mode(const struct model *m);
enum feature_set model_feature_set(const struct model *m);
size_t model_class_count(const struct model *m);
const char *model_class_name(const struct model *m, size_t index);
bool model_class_is_ransomware(const struct model *m, size_t index);
/* Probability of each class (sum 1); returns that of all ransomware classes together. Any thread.
 * probability may be NULL; x holds features_count() of the model's set. */
double model_score(const struct model *m, const double *x, double *probability);
/* How much each feature moved this row's score (signed; columns of them): for explanations. Trees: differences along the
 * paths (Saabas 2014), in log odds (GBT) or probability (RF); others: the score less the score with that one feature at
 * the training mean. */
void model_explain(const struct model *m, const double *x, double *contribution);

/* A file may hold two: the second is for streams that show reads only. */
const struct model *model_reads_part(const struct model *m); /* NULL: none; m itself if that is what it is for */
/* m takes `reads` over (freed with it). */
void model_attach_reads(struct model *m, struct model *reads);

/* Another may be for disks that are encrypted whole (cipher.h), where entropies say nothing: it has m's features and classes, and
 * what it says counts by m's decision. */
const struct model *model_part(const struct model *m, bool encrypted); /* what judges a row of such a disk; m itself where there is one part */
/* m takes `encrypted` over (freed with it); the same set and classes. */
void model_attach_encrypted(struct model *m, struct model *encrypted);

/* What is known of a model beside what it computes: shown by `models`, kept in the file. */
struct model_facts {
    uint64_t rows, runs, seed;
    uint8_t table_sha256[32];  /* of the rows, labels and names it learned from */
    const char *command;       /* that trained it; NULL: unknown */
    const char *metrics_json;  /* an object; NULL: none */
};
void model_facts(const struct model *m, struct model_facts *out); /* borrowed from m */
/* Copies, for a part for encrypted disks too, whose metrics are the pair's; 0 or -ENOMEM, -EINVAL (metrics that are no JSON object). */
int model_describe(struct model *m, enum model_mode mode, const char *command, const char *metrics_json);

/* --- decide.h's parameters, kept in the model --- */
struct decision {
    double threshold;      /* of the sum */
    double drift;          /* taken off each tick's evidence */
    double cap;            /* most evidence of one tick */
};
const struct decision *model_decision(const struct model *m);
void model_set_decision(struct model *m, const struct decision *decision); /* of a part for encrypted disks too */

#endif

/* How good a kind of model is on runs it did not learn from. Whole runs are held out, never rows of one. */
#ifndef CHV_DETECT_EVALUATE_H
#define CHV_DETECT_EVALUATE_H

#include "detect/samples.h"

enum evaluate_split {
    SPLIT_RUN,       /* five folds, every family's runs spread over them */
    SPLIT_FAMILY,    /* one ransomware family held out at a time, with an equal share of the benign runs */
    SPLIT_BENIGN,    /* one benign program held out at a time, with an equal share of the ransomware runs */
    SPLIT_CONDITION, /* one condition (operating system, disk) held out at a time */
    SPLITS
};
const char *evaluate_split_name(enum evaluate_split split);
int evaluate_split_find(const char *name); /* or -1 */

#define EVALUATE_WINDOW_ROWS 10u /* windows of 10 s, beside each other; active ones have FEATURES_ACTIVE_BYTES a second */

struct evaluate_family {
    size_t runs, alarms;           /* runs judged; with an alarm */
    double precision, recall, f1;  /* of windows, as a class; NAN when nothing can be said */
};

struct evaluation {
    size_t folds, folds_impossible; /* the latter had no ransomware, or no two classes, left to learn from */
    /* windows: ransomware or not, at a score of 0.5 */
    size_t windows, windows_ransomware;
    double precision, recall, f1, auc, tpr_at_fpr_1;
    /* windows: which family. Of what was held out with all its kind nothing can be named: NAN for those splits */
    double macro_f1, weighted_f1;
    size_t confusion[MODEL_CLASSES_MAX][MODEL_CLASSES_MAX]; /* [is][was said] */
    /* runs */
    size_t runs_ransomware, runs_benign, detected, false_alarms;
    double seconds_median, seconds_p90;     /* from the first second looked at to the alarm, of detected runs */
    double written_median, written_p90;     /* bytes written before it */
    double read_median, read_p90;           /* bytes read before it */
    struct evaluate_family family[MODEL_CLASSES_MAX]; /* as in samples */
};

typedef void evaluate_progress_fn(size_t done, size_t total);
/* `decision` NULL: the models' own. skip_ns: where the runs' looking began. 0 or -errno. */
int evaluate(const struct samples *s, enum model_kind kind, enum evaluate_split split, uint64_t seed, uint64_t skip_ns,
             const struct decision *decision, evaluate_progress_fn *progress, struct evaluation *out, struct chv_err *err);

#endif

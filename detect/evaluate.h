/* How good a kind of model is on runs it did not learn from. Whole runs are held out, never rows of one. */
#ifndef CHV_DETECT_EVALUATE_H
#define CHV_DETECT_EVALUATE_H

#include "detect/samples.h"

enum evaluate_split {
    SPLIT_RUN,       /* five folds, every family's runs spread over them */
    SPLIT_HALF,      /* the papers': half of each family's runs, drawn by the seed, to learn from, the other half to judge */
    SPLIT_FAMILY,    /* one ransomware family held out at a time, with an equal share of the benign runs */
    SPLIT_BENIGN,    /* one benign program held out at a time, with an equal share of the ransomware runs */
    SPLIT_CONDITION, /* one condition (operating system and disk; file system) held out at a time */
    SPLITS
};
const char *evaluate_split_name(enum evaluate_split split);
int evaluate_split_find(const char *name); /* or -1 */

#define EVALUATE_WINDOW_NS UINT64_C(10000000000) /* windows lie beside each other; active ones have FEATURES_ACTIVE_BYTES a second */

/* What an attack had done by the alarm. Of a run whose alarm never came: all that it did, and no time is long enough (INFINITY).
 * A run whose alarm came before anything malicious happened has lost nothing, and is counted as early. */
enum evaluate_loss {
    LOSS_SECONDS,           /* from malicious_ns: the first change of a file, in the guest's cache */
    LOSS_SECONDS_DISK,      /* from the first change after that which reached the disk */
    LOSS_WRITTEN,           /* bytes written to the disk since malicious_ns, by whatever program */
    LOSS_WRITTEN_SHARE,     /* of the tree's bytes; a program that writes copies and overwrites as well comes to more than 1 */
    LOSS_OVERWRITTEN,       /* bytes of the disk, of what had been written before the program began, that were changed or discarded */
    LOSS_OVERWRITTEN_SHARE, /* of the tree's bytes; what was only unlinked is still there */
    LOSS_FILES_DISK,        /* estimate: files hit in the guest by when as many bytes were changed there as LOSS_WRITTEN */
    LOSS_FILES_DISK_SHARE,  /* of the tree's files */
    LOSS_FILES_GUEST,       /* files changed in the guest, on the disk or not; by the report at the alarm or the next one */
    LOSS_FILES_GUEST_SHARE,
    LOSS_BYTES_GUEST,
    LOSS_BYTES_GUEST_SHARE,
    LOSSES
};
#define EVALUATE_PROMPT_SECONDS 2.0
#define EVALUATE_PROMPT_BYTES (16u << 20)
const char *evaluate_loss_name(enum evaluate_loss loss); /* as in JSON */

struct evaluate_losses {
    size_t runs, found, early;      /* of runs with a malicious_ns; found without the early ones */
    size_t prompt, minute;          /* of those found: within EVALUATE_PROMPT_*, either; within a minute, both of disk time */
    double median[LOSSES], p90[LOSSES], worst[LOSSES]; /* over all of the runs; NAN: not known of any */
};

struct evaluate_family {
    size_t runs, alarms;           /* runs judged; with an alarm */
    double precision, recall, f1;  /* of windows, as a class; NAN when nothing can be said, or it is none */
    struct evaluate_losses losses;
};

struct evaluate_condition {
    const char *name;
    size_t runs_ransomware, runs_benign, detected, false_alarms;
};

double evaluate_condition_f1(const struct evaluate_condition *c); /* of its runs; NAN: no ransomware among them */

#define EVALUATE_ALARMS_KEPT 8

/* One of the samples' runs. */
struct evaluate_run {
    bool judged, alarm;
    uint64_t alarm_ns;        /* the first alarm, in the rows' time */
    size_t alarms;            /* a minute without anything suspicious, and a next one may come, as it does live */
    uint64_t at_ns[EVALUATE_ALARMS_KEPT]; /* of the first of them */
    double highest;           /* of the decider's sum */
    uint64_t read_bytes, write_bytes; /* before the alarm */
};

/* A receiver operating characteristic, from (0, 0) to (1, 1). */
struct evaluate_roc {
    float *fpr, *tpr;
    size_t count;
};

struct evaluation {
    size_t folds, folds_impossible; /* the latter had no ransomware, or no two classes, left to learn from */
    /* windows: ransomware or not, at a score of 0.5 */
    size_t windows, windows_ransomware;
    double precision, recall, f1, auc, tpr_at_fpr_1;
    struct evaluate_roc roc;
    /* windows: which family. Of what was held out with all its kind nothing can be named: NAN for those splits */
    double macro_f1, weighted_f1;
    size_t confusion[MODEL_CLASSES_MAX][MODEL_CLASSES_MAX]; /* [family that it is][class that was said] */
    /* runs: ransomware or not, by the alarm; the curve by the decider's highest sum */
    size_t runs_ransomware, runs_benign, detected, false_alarms;
    double runs_precision, runs_recall, runs_f1, runs_auc, runs_tpr_at_fpr_1;
    struct evaluate_roc runs_roc;
    /* benign time */
    double benign_seconds, benign_active_seconds;
    size_t benign_alarms;                 /* all of them: a run can have several */
    double alarms_a_day, alarms_a_day_most; /* of benign time; the most at 95%, were they a Poisson process */
    double seconds_median, seconds_p90;     /* from the first second looked at to the alarm, of detected runs */
    double written_median, written_p90;     /* bytes written before it */
    double read_median, read_p90;           /* bytes read before it */
    struct evaluate_losses losses;          /* of a corpus; runs 0 elsewhere */
    struct evaluate_family family[MODEL_CLASSES_MAX]; /* as in samples */
    struct evaluate_condition *condition;   /* by name */
    size_t conditions;
    struct evaluate_run *run;               /* as in samples */
};

typedef void evaluate_progress_fn(size_t done, size_t total);
/* `decision` NULL: the models' own. skip_ns: where the runs' looking began. 0 or -errno. The samples outlive *out. */
int evaluate(const struct samples *s, enum model_kind kind, enum evaluate_split split, uint64_t seed, uint64_t skip_ns,
             const struct decision *decision, evaluate_progress_fn *progress, struct evaluation *out, struct chv_err *err);
/* The same of a model that is there: nothing is learned, nothing held out, so what it learned from must not be among the samples
 * for the figures to mean anything. The samples' two must be set: it is judged by ransomware or not. m's features are the samples'. */
int evaluate_given(const struct samples *s, const struct model *m, uint64_t skip_ns, const struct decision *decision,
                   struct evaluation *out, struct chv_err *err);
void evaluation_fini(struct evaluation *e);
/* The classes that can be said: the families, or just benign and ransomware where samples learn two. NULL: no more. */
const char *evaluate_class(const struct samples *s, size_t index);
size_t evaluate_classes(const struct samples *s);

/* The figures as a JSON object (jansson's, new): those of windows and runs; with `all`, also families, conditions and which runs
 * were missed or alarmed falsely. What is not known, or would take for ever, is null. NULL: out of memory. */
struct json_t *evaluation_json(const struct samples *s, const struct evaluation *e, bool all);
/* For at most so many events a unit with 95% confidence: the mean of a Poisson process that gives `count` or fewer with 5%. */
double evaluate_poisson_most(size_t count);

#endif

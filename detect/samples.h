/* The rows of many runs of a data set, in memory: what is learned from and judged by. */
#ifndef CHV_DETECT_SAMPLES_H
#define CHV_DETECT_SAMPLES_H

#include "detect/dataset.h"
#include "detect/model.h"

#define SAMPLES_ROWS_MAX (8u << 20) /* a larger table is refused */

struct samples_run {
    const struct dataset_run *run; /* the data set's */
    size_t first, rows;            /* in the table */
    uint32_t label;                /* index into family */
};

/* Of one row, beside its features. */
struct samples_row {
    uint64_t end_ns, read_bytes, write_bytes;
    bool active;
};

struct samples {
    enum feature_set set;
    enum model_mode mode;
    bool two;                 /* learn two classes, benign and ransomware, in place of the families */
    size_t columns, rows, runs, families;
    double *x;                /* rows * columns */
    struct samples_row *row;
    struct samples_run *run;
    const char *family[MODEL_CLASSES_MAX]; /* sorted; the data set's */
    uint8_t ransomware[MODEL_CLASSES_MAX];
    struct dataset_report report; /* of all runs together */
    struct samples *also; /* owned, or NULL: the same runs looked at from later on, to learn from as well */
};

typedef void samples_progress_fn(size_t done, size_t total);

/* Read every run that suits the mode: MODEL_PAIRED those with writes and reads, MODEL_READS all with reads, their writes left
 * out. keep_artefacts and skip_ns of options count; it may be NULL. ENOENT: no run suits. The data set outlives it. */
int samples_read(const struct dataset *d, enum feature_set set, enum model_mode mode, const struct dataset_options *options,
                 samples_progress_fn *progress, struct samples **out, struct chv_err *err);
void samples_free(struct samples *s);

/* The same runs with so much of their beginning left out, to be learned from as well: a model shall not lean on how programs start. */
int samples_read_also(struct samples *s, const struct dataset *d, const struct dataset_options *options, uint64_t skip_ns,
                      samples_progress_fn *progress, struct chv_err *err);
/* The class that a family's rows are learned as, by name. */
const char *samples_class(const struct samples *s, size_t family);

/* Learn from the active rows of the runs with use[run] != 0 (NULL: all); every class weighs the same, in it every family, and in
 * that every run. EINVAL when there are not two classes. */
int samples_train(const struct samples *s, const uint8_t *use, enum model_kind kind, uint64_t seed, struct model **out,
                  struct chv_err *err);

#endif

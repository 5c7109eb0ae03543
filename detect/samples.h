/* The rows of many runs of a data set, in memory: what is learned from and judged by. */
#ifndef CHV_DETECT_SAMPLES_H
#define CHV_DETECT_SAMPLES_H

#include "detect/dataset.h"
#include "detect/model.h"

#define SAMPLES_ROWS_MAX (8u << 20) /* a larger table is refused */

/* What a run had changed on the disk since its malicious_ns: the sums from this change on, to the next of these. Changes within
 * 10 ms are one. */
struct samples_loss {
    uint64_t time_ns, written_bytes, overwritten_bytes;
};
#define SAMPLES_LOSSES_MAX (1u << 20) /* of a run; beyond that they are all one, and so never too late */

struct samples_run {
    const struct dataset_run *run; /* the data set's */
    size_t first, rows;            /* in the table */
    uint32_t label;                /* index into family */
    uint64_t start_ns;             /* of the first access; times as in the rows */
    /* of a corpus's runs with a malicious_ns */
    struct samples_loss *loss;     /* in order of time; the first is of the first change that reached the disk */
    size_t losses;
    struct hits hits;
};

/* Of one row, beside its features. */
struct samples_row {
    uint64_t end_ns, read_bytes, write_bytes;
    bool active, encrypted;
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
    struct samples *encrypted; /* owned, or NULL: the same runs as an encrypted disk would show them; a second part learns from them */
};

/* Who is told how it goes; each may be NULL, and `watch` itself. */
struct samples_watch {
    void (*progress)(size_t done, size_t total);
    void (*left_out)(void *arg, size_t index, const struct chv_err *why); /* a run of the data set that cannot be read */
    void *arg;
};

/* Read every run that suits the mode: MODEL_PAIRED those with writes and reads, MODEL_READS all with reads, their writes left
 * out. keep_artefacts and skip_ns of options count; it may be NULL. A run that cannot be read is left out, and said.
 * ENOENT: no run suits; EBADMSG: some do, but none can be read. The data set outlives it. */
int samples_read(const struct dataset *d, enum feature_set set, enum model_mode mode, const struct dataset_options *options,
                 const struct samples_watch *watch, struct samples **out, struct chv_err *err);
void samples_free(struct samples *s);

/* The same runs with so much of their beginning left out, to be learned from as well: a model shall not lean on how programs start.
 * One that could be read before and cannot any more is an error. */
int samples_read_also(struct samples *s, const struct dataset *d, const struct dataset_options *options, uint64_t skip_ns,
                      const struct samples_watch *watch, struct chv_err *err);
/* The same runs as an encrypted disk would show them, and what samples_read_also adds, so that samples_train makes a pair. */
int samples_read_encrypted(struct samples *s, const struct dataset *d, const struct dataset_options *options, uint64_t also_from_ns,
                           const struct samples_watch *watch, struct chv_err *err);
/* What had been changed before that time. NULL: nothing. */
const struct samples_loss *samples_loss_before(const struct samples_run *run, uint64_t time_ns);
/* Parts of it, for tables of other columns. Does the run have what the mode looks at? Fill family[] from the runs that suit s->mode
 * (EINVAL: too many). Add one run's report to a sum. */
bool samples_suits(const struct dataset_run *run, enum model_mode mode);
int samples_families(struct samples *s, const struct dataset *d, struct chv_err *err);
void samples_add_report(struct dataset_report *sum, const struct dataset_report *one);

/* The class that a family's rows are learned as, by name. */
const char *samples_class(const struct samples *s, size_t family);

/* Learn from the active rows of the runs with use[run] != 0 (NULL: all); every class weighs the same, in it every family, and in
 * that every run. With s->encrypted a pair (model_attach_encrypted). EINVAL when there are not two classes. */
int samples_train(const struct samples *s, const uint8_t *use, enum model_kind kind, uint64_t seed, struct model **out,
                  struct chv_err *err);

#endif

/* Between evaluate.c (who is held out, and what is said of them), measure.c (what that is worth), and cnn/judge.c, which does the
 * same for pictures. */
#ifndef CHV_DETECT_EVALUATE_IMPL_H
#define CHV_DETECT_EVALUATE_IMPL_H

#include "detect/evaluate.h"

/* What models that did not learn from a run say of it. */
struct judgements {
    const struct samples *samples;
    struct evaluate_run *run; /* one a run */
    double *probability;      /* samples' rows * evaluate_classes */
};
static inline bool class_is_bad(const struct samples *s, size_t class)
{
    return s->two ? class == 1 : s->ransomware[class] != 0;
}

/* Fill what `out` says of windows and runs. 0 or -ENOMEM. */
int measure(const struct judgements *j, enum evaluate_split split, uint64_t skip_ns, struct evaluation *out);
/* Fill what it says of losses (losses.c). 0 or -ENOMEM. */
int measure_losses(const struct judgements *j, struct evaluation *out);

/* A score and what it was given to. */
struct scored {
    double score;
    bool ransomware;
};
/* Sorts the list. auc and tpr_at_fpr_1 NAN where one side is missing. 0 or -ENOMEM. */
int roc_of(struct scored *list, size_t count, struct evaluate_roc *roc, double *auc, double *tpr_at_fpr_1);

/* What `out` says of windows as ransomware or not; sorts the list. 0 or -ENOMEM. And of families, from its confusion matrix. */
int measure_binary(struct scored *list, size_t count, struct evaluation *out);
void measure_families(const struct samples *s, enum evaluate_split split, struct evaluation *out);

/* Of numbers in order, INFINITY among them; NAN of none. */
double quantile(const double *sorted, size_t n, double q);
int by_value(const void *a, const void *b); /* for qsort of doubles */

/* How many folds, and which of them tests each run (none: a number beyond them); of[] has an entry a run. */
size_t evaluate_folds(const struct samples *s, enum evaluate_split split, uint64_t seed, uint32_t *of);

#endif

/* How well a head on a network's vectors tells families apart, on pictures of runs it did not learn from. */
#ifndef CHV_DETECT_CNN_JUDGE_H
#define CHV_DETECT_CNN_JUDGE_H

#include "detect/evaluate.h"

struct cnn_judgement {
    /* of pictures: all up to confusion (its windows are pictures), and of `family` all but alarms; there are none here */
    struct evaluation pictures;
    double accuracy;         /* of pictures, by family; NAN for splits that hold families out */
    size_t runs, runs_right; /* whose pictures' mean probability is highest for their family */
};

/* s: of vectors_read(). Every family weighs the same in learning, in it every run. EINVAL: there are not two families. Whatever it
 * returns, evaluation_fini(&out->pictures) ends it. */
int cnn_judge(const struct samples *s, enum evaluate_split split, uint64_t seed, evaluate_progress_fn *progress,
              struct cnn_judgement *out, struct chv_err *err);

#endif

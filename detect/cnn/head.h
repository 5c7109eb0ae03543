/* What takes the place of a network's classifier when its other layers stay as they are: multinomial logistic regression (a layer
 * of softmax) on its vectors. Convex, so that what is learned does not hang on a seed: the same table gives the same head. */
#ifndef CHV_DETECT_CNN_HEAD_H
#define CHV_DETECT_CNN_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

struct head_table {
    size_t rows, columns, classes;
    const double *const *x; /* a pointer a row, to `columns` finite numbers */
    const uint32_t *label;  /* < classes */
    const double *weight;   /* of each row; their sum is not 0 */
};

struct head;
/* EINVAL: fewer than two classes have rows. ENOMEM. */
int head_train(const struct head_table *t, struct head **out, struct chv_err *err);
void head_free(struct head *h);
/* The probability of each class, sum 1. */
void head_score(const struct head *h, const double *x, double *probability);

#endif

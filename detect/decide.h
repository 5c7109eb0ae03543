/* From scores of rows to one alarm: a one-sided CUSUM (Page 1954) over log odds. */
#ifndef CHV_DETECT_DECIDE_H
#define CHV_DETECT_DECIDE_H

#include <stdbool.h>

#include "detect/model.h"

struct decider {
    struct decision decision;
    double sum;
    uint64_t rising_since_ns; /* the estimated beginning: when the sum last left zero */
    bool alarmed;             /* raised already; once a stream until decider_reset */
};

void decider_init(struct decider *d, const struct decision *decision);
/* A row's score; true when this is the row at which the alarm is raised. Idle rows decay, they are no evidence. */
bool decider_push(struct decider *d, const struct feature_row *row, double score);
void decider_reset(struct decider *d);

#endif

/* Between evaluate.c (who is held out, and what is said of them) and measure.c (what that is worth). */
#ifndef CHV_DETECT_EVALUATE_IMPL_H
#define CHV_DETECT_EVALUATE_IMPL_H

#include "detect/evaluate.h"

/* What models that did not learn from a run say of it. */
struct judgement {
    bool judged, alarm;
    uint64_t alarm_ns, read_bytes, write_bytes; /* before the alarm */
};

struct judgements {
    const struct samples *samples;
    struct judgement *run;  /* one a run */
    double *probability;    /* samples' rows * families */
};

/* Fill what `out` says of windows and runs. 0 or -ENOMEM. */
int measure(const struct judgements *j, enum evaluate_split split, uint64_t skip_ns, struct evaluation *out);

#endif

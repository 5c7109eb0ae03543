/* What an evaluation says, for people and for programs: a table, JSON, a picture. */
#ifndef CHV_CLI_EVALUATE_OUT_H
#define CHV_CLI_EVALUATE_OUT_H

#include "detect/evaluate.h"

struct evaluate_facts {
    const struct samples *samples;
    enum model_kind kind;
    enum evaluate_split split;
    uint64_t seed, skip_ns;
    const char *given; /* the model file that was judged; NULL: models were learned */
};

/* To standard output. */
void evaluate_print_table(const struct evaluate_facts *f, const struct evaluation *e);
void evaluate_print_json(const struct evaluate_facts *f, const struct evaluation *e);
/* Receiver operating characteristics, confusion matrix, time to the alarm; SVG or PNG by how the path ends. 0 or -errno. */
int evaluate_plot(const struct evaluate_facts *f, const struct evaluation *e, const char *path, struct chv_err *err);

#endif

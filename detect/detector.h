/* One space watched: accesses in, alarms out. Features, model and decider together, and what a person wants to know. */
#ifndef CHV_DETECT_DETECTOR_H
#define CHV_DETECT_DETECTOR_H

#include <stdbool.h>

#include "detect/decide.h"

#define DETECTOR_REASONS 5u
#define DETECTOR_REARM_NS UINT64_C(60000000000) /* so long nothing suspicious, and a next alarm is another attack */
#define DETECTOR_SUSPICIOUS 0.5                 /* a row's score */

struct detector_reason {
    const char *name; /* of a feature; static */
    double value, contribution;
};

struct detector_alarm {
    uint64_t raised_ns; /* the end of the row that raised it */
    uint64_t began_ns;  /* estimate: the start of the first suspicious second */
    double score, sum;  /* of that row; of the decider */
    bool encrypted;     /* the disk was taken for an encrypted one (cipher.h) */
    const char *family; /* the likeliest class; the model's */
    double family_probability;
    struct detector_reason why[DETECTOR_REASONS]; /* what raised the score most, first; those that did at all */
    size_t reasons;
};

/* `alarm` is the callee's until it returns. */
typedef void detector_alarm_fn(void *arg, const struct detector_alarm *alarm);

struct detector;
/* The model outlives it. NULL: out of memory. */
struct detector *detector_new(const struct model *model, detector_alarm_fn *fn, void *arg);
void detector_free(struct detector *d);
void detector_push(struct detector *d, const struct access *a);
/* Time has come to now_ns without an access. */
void detector_advance(struct detector *d, uint64_t now_ns);
/* The end of the stream: its last, unfinished second counts too. */
void detector_finish(struct detector *d);
/* Rows scored so far, and the highest score. */
uint64_t detector_rows(const struct detector *d);
double detector_highest(const struct detector *d);

#endif

#include "detect/decide.h"

#include <math.h>
#include <string.h>

/* How fast doubt fades while nothing happens: an idle tick keeps this much of the sum. */
#define IDLE_KEEPS 0.98

void decider_init(struct decider *d, const struct decision *decision)
{
    *d = (struct decider){.decision = *decision};
}

void decider_reset(struct decider *d)
{
    decider_init(d, &(struct decision){d->decision.threshold, d->decision.drift, d->decision.cap});
}

bool decider_push(struct decider *d, const struct feature_row *row, double score)
{
    if (!row->active) {
        d->sum *= IDLE_KEEPS;
        return false;
    }
    /* a score of 0 or 1 is as much as can be said, not infinitely much; one that is no number says nothing */
    double p = score < 1e-6 ? 1e-6 : score > 1 - 1e-6 ? 1 - 1e-6 : score;
    double evidence = log(p / (1 - p)) - d->decision.drift;
    if (!(evidence <= d->decision.cap)) evidence = isnan(evidence) ? 0 : d->decision.cap;
    if (evidence < -d->decision.cap) evidence = -d->decision.cap;
    if (d->sum <= 0 && evidence > 0)
        d->rising_since_ns = row->end_ns > FEATURES_TICK_NS ? row->end_ns - FEATURES_TICK_NS : 0;
    d->sum += evidence;
    if (d->sum < 0) d->sum = 0;
    if (d->alarmed || d->sum < d->decision.threshold) return false;
    d->alarmed = true;
    return true;
}

/* One alarm a stream: when it comes, when it does not, and since when it says it began. */
#include <math.h>

#include "detect/decide.h"
#include "tests/unit.h"

#define SECOND FEATURES_TICK_NS

static bool push(struct decider *d, uint64_t second, bool active, double score)
{
    struct feature_row row = {.end_ns = (second + 1) * SECOND, .active = active};
    return decider_push(d, &row, score);
}

int main(void)
{
    struct decider d;
    const struct decision usual = {.threshold = 8, .drift = 0.5, .cap = 2};
    decider_init(&d, &usual);
    for (uint64_t s = 0; s < 1000; s++) CHECK(!push(&d, s, true, 0.3));
    CHECK(d.sum == 0);
    /* the cap: no second says more than 2, so four are needed; once only */
    for (uint64_t s = 1000; s < 1003; s++) CHECK(!push(&d, s, true, 1));
    CHECK(push(&d, 1003, true, 1) && d.rising_since_ns == 1000 * SECOND);
    for (uint64_t s = 1004; s < 1100; s++) CHECK(!push(&d, s, true, 1));
    CHECK(d.alarmed);
    decider_reset(&d);
    CHECK(!d.alarmed && d.sum == 0 && d.decision.cap == 2);

    /* idle seconds are no evidence, whatever they score; the sum fades */
    CHECK(!push(&d, 0, true, 1) && !push(&d, 1, true, 1));
    double before = d.sum;
    for (uint64_t s = 2; s < 200; s++) CHECK(!push(&d, s, false, 1));
    CHECK(d.sum < before / 10 && d.sum > 0);

    /* half and half is no evidence, and the drift takes the sum down again */
    decider_reset(&d);
    CHECK(!push(&d, 0, true, 1));
    for (uint64_t s = 1; s < 10; s++) CHECK(!push(&d, s, true, 0.5));
    CHECK(d.sum == 0);
    /* what rises later begins later */
    CHECK(!push(&d, 20, true, 0.99) && d.rising_since_ns == 20 * SECOND);

    /* a score that is no number says nothing */
    decider_reset(&d);
    for (uint64_t s = 0; s < 100; s++) CHECK(!push(&d, s, true, NAN));
    CHECK(d.sum == 0);
    return 0;
}

/* Instants as people write them, and as the log keeps them: UTC nanoseconds. */
#ifndef CHV_BASE_CLOCK_H
#define CHV_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

/* CLOCK_REALTIME now. */
uint64_t clock_now_ns(void);
/* CLOCK_MONOTONIC now: for how long something takes. */
uint64_t clock_monotonic_ns(void);

/* An instant given on a command line. */
struct instant {
    enum { INSTANT_TIME, INSTANT_SEQ } kind;
    uint64_t value; /* UTC ns, or a sequence number */
};

/* Parse RFC 3339 ("2026-11-22T10:41:07.5Z", offset or 'Z'; a space for the 'T' and a missing zone
 * (taken as UTC) and missing time of day are accepted), relative ("-10m", "-1h30m", "-2d", "-45s", "-250ms"),
 * "now", "@SECONDS[.FRACTION]" (Unix) or "seq:N". Relative means before now_ns.
 * EINVAL with a text that says what is wrong. */
int instant_parse(const char *text, uint64_t now_ns, struct instant *out, struct chv_err *err);

#define CLOCK_TEXT_BYTES 40
/* RFC 3339 in UTC with nanoseconds trimmed to the microsecond: 2026-11-22T10:41:07.500000Z */
const char *clock_format(uint64_t time_ns, char buf[CLOCK_TEXT_BYTES]);

#endif

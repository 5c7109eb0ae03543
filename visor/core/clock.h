/* Time: the processor's counter, from what the firmware's clock said at boot. */
#ifndef VISOR_CORE_CLOCK_H
#define VISOR_CORE_CLOCK_H

#include "visor/core/lib.h"

/* At boot: counts `hz` a second, and stood at `start` when it was utc_ns (nanoseconds since 1970, UTC; 0: nobody
 * knows). */
void clock_init(uint64_t hz, uint64_t start, uint64_t utc_ns);

/* Nanoseconds since 1970, or since the start if nobody knows; never goes backwards on one processor. */
uint64_t clock_ns(void);

/* Waits, doing nothing. */
void clock_wait_us(unsigned microseconds);

/* Nanoseconds since 1970 of a date in the Gregorian calendar, 1970 to 2200; 0 for anything else. */
uint64_t clock_from_date(unsigned year, unsigned month, unsigned day, unsigned seconds_of_day, uint32_t ns);

#endif

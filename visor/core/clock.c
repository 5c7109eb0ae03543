#include "visor/core/clock.h"
#include "visor/arch/x86/cpu.h"

#define NS UINT64_C(1000000000)

static uint64_t counter_hz = 1, counter_start, start_ns;

void clock_init(uint64_t hz, uint64_t start, uint64_t utc_ns)
{
    counter_hz = hz ? hz : NS;
    counter_start = start;
    start_ns = utc_ns;
}

uint64_t clock_ns(void)
{
    uint64_t since = rdtsc() - counter_start;
    return start_ns + since / counter_hz * NS + since % counter_hz * NS / counter_hz;
}

void clock_wait_us(unsigned microseconds)
{
    uint64_t until = rdtsc() + counter_hz / 1000000 * microseconds;
    while ((int64_t)(rdtsc() - until) < 0) pause_cpu();
}

uint64_t clock_from_date(unsigned year, unsigned month, unsigned day, unsigned seconds_of_day, uint32_t ns)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 || seconds_of_day > 86400 ||
        ns >= NS)
        return 0;
    unsigned y = month > 2 ? year : year - 1; /* leap days count from March on */
    uint64_t leaps = (y / 4 - y / 100 + y / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    uint64_t days = (year - 1970) * 365u + leaps + before[month - 1] + day - 1;
    return (days * 86400 + seconds_of_day) * NS + ns;
}

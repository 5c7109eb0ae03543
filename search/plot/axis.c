/* Ticks and their labels. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "search/plot/plot.h"

#define SECOND UINT64_C(1000000000)

double axis_step(double range, unsigned most)
{
    if (!(range > 0) || most == 0) return 1;
    double rough = range / most, power = pow(10, floor(log10(rough)));
    static const double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i] * power >= rough * (1 - 1e-9)) return steps[i] * power;
    return 10 * power;
}

uint64_t axis_time_step(uint64_t range_ns, unsigned most)
{
    static const uint64_t steps[] = {
        SECOND,         2 * SECOND,     5 * SECOND,     10 * SECOND,    15 * SECOND,     30 * SECOND,
        60 * SECOND,    120 * SECOND,   300 * SECOND,   600 * SECOND,   900 * SECOND,    1800 * SECOND,
        3600 * SECOND,  7200 * SECOND,  10800 * SECOND, 21600 * SECOND, 43200 * SECOND,  86400 * SECOND,
        172800 * SECOND, 604800 * SECOND, 1209600 * SECOND, 2592000 * SECOND,
    };
    uint64_t rough = range_ns / (most ? most : 1);
    if (rough <= SECOND / 2) {
        double step = axis_step((double)range_ns, most);
        return step < 1 ? 1 : (uint64_t)step;
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i] >= rough) return steps[i];
    return rough > UINT64_MAX / 2 ? UINT64_MAX / 2 : (rough / (2592000 * SECOND) + 1) * (2592000 * SECOND);
}

void axis_time_label(uint64_t time_ns, uint64_t step_ns, char *buf, size_t bytes)
{
    time_t seconds = (time_t)(time_ns / SECOND);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm)) {
        snprintf(buf, bytes, "?");
        return;
    }
    size_t n = strftime(buf, bytes, step_ns >= 86400 * SECOND  ? "%d %b"
                                    : step_ns >= 3600 * SECOND ? "%d %b %H:%M"
                                    : step_ns >= 60 * SECOND   ? "%H:%M"
                                                               : "%H:%M:%S",
                        &tm);
    if (step_ns >= SECOND) return;
    int digits = 1;
    for (uint64_t unit = SECOND / 10; unit > 1 && step_ns % unit != 0; unit /= 10) digits++;
    char fraction[16];
    snprintf(fraction, sizeof fraction, "%09llu", (unsigned long long)(time_ns % SECOND));
    snprintf(buf + n, bytes - n, ".%.*s", digits, fraction);
}

const char *axis_byte_unit(double bytes, double *unit)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t i = 0;
    *unit = 1;
    while (i + 1 < sizeof names / sizeof *names && bytes >= *unit * 1024) {
        *unit *= 1024;
        i++;
    }
    return names[i];
}

void axis_bytes_label(double bytes, char *buf, size_t buf_bytes)
{
    double unit;
    const char *name = axis_byte_unit(bytes, &unit);
    double value = bytes / unit;
    snprintf(buf, buf_bytes, value >= 100 || value == floor(value) ? "%.0f %s" : value >= 10 ? "%.1f %s" : "%.2f %s",
             value, name);
}

void axis_duration_label(double seconds, char *buf, size_t bytes)
{
    static const struct {
        double from, unit;
        const char *name;
    } units[] = {{2 * 86400, 86400, "d"}, {2 * 3600, 3600, "h"}, {2 * 60, 60, "min"}, {1, 1, "s"}, {1e-3, 1e-3, "ms"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (seconds < units[i].from) continue;
        snprintf(buf, bytes, "%.3g %s", seconds / units[i].unit, units[i].name);
        return;
    }
    snprintf(buf, bytes, "%.3g µs", seconds * 1e6);
}

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

const char *clock_format(uint64_t time_ns, char buf[CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(time_ns / SECOND_NS);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(buf, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, CLOCK_TEXT_BYTES - n, ".%06uZ", (unsigned)(time_ns % SECOND_NS / 1000));
    return buf;
}

/* Up to max_digits digits; returns how many were read. */
static int digits(const char **p, int max_digits, uint64_t *value)
{
    int n = 0;
    uint64_t v = 0;
    while (n < max_digits && isdigit((unsigned char)**p)) {
        v = v * 10 + (uint64_t)(**p - '0');
        (*p)++;
        n++;
    }
    *value = v;
    return n;
}

/* ".123" as nanoseconds; digits past the ninth are dropped. */
static uint64_t fraction_ns(const char **p)
{
    uint64_t ns = 0, unit = SECOND_NS / 10;
    if (**p != '.') return 0;
    for ((*p)++; isdigit((unsigned char)**p); (*p)++) {
        ns += (uint64_t)(**p - '0') * unit;
        unit /= 10;
    }
    return ns;
}

static bool relative(const char *p, uint64_t now_ns, uint64_t *out)
{
    static const struct { const char *unit; uint64_t ns; } units[] = {
        {"ms", SECOND_NS / 1000}, {"s", SECOND_NS}, {"m", 60 * SECOND_NS}, {"h", 3600 * SECOND_NS},
        {"d", 86400 * SECOND_NS}, {"w", 7 * 86400 * SECOND_NS},
    };
    uint64_t total = 0;
    if (!*p) return false;
    while (*p) {
        uint64_t value;
        if (digits(&p, 9, &value) == 0) return false;
        size_t i;
        for (i = 0; i < sizeof units / sizeof *units; i++) {
            size_t n = strlen(units[i].unit);
            if (strncmp(p, units[i].unit, n) == 0 && !(n == 1 && *p == 'm' && p[1] == 's')) {
                p += n;
                break;
            }
        }
        uint64_t part;
        if (i == sizeof units / sizeof *units || __builtin_mul_overflow(value, units[i].ns, &part) ||
            __builtin_add_overflow(total, part, &total))
            return false;
    }
    *out = total > now_ns ? 0 : now_ns - total;
    return true;
}

static bool two(const char **p, char separator, uint64_t max, uint64_t *value)
{
    if (separator && *(*p)++ != separator) return false;
    return digits(p, 2, value) == 2 && *value <= max;
}

static bool rfc3339(const char *p, uint64_t *out)
{
    uint64_t year, month, day, hour = 0, minute = 0, second = 0, ns = 0;
    int64_t offset = 0;
    if (digits(&p, 4, &year) != 4 || *p != '-' || year < 1970) return false;
    if (!two(&p, '-', 12, &month) || !two(&p, '-', 31, &day) || month < 1 || day < 1) return false;
    if (*p == 'T' || *p == 't' || *p == ' ') {
        p++;
        if (!two(&p, 0, 23, &hour) || !two(&p, ':', 59, &minute)) return false;
        if (*p == ':') {
            if (!two(&p, ':', 60, &second)) return false;
            ns = fraction_ns(&p);
        }
        if (*p == 'Z' || *p == 'z') {
            p++;
        } else if (*p == '+' || *p == '-') {
            int64_t sign = *p++ == '-' ? -1 : 1;
            uint64_t oh, om;
            if (!two(&p, 0, 23, &oh) || !two(&p, ':', 59, &om)) return false;
            offset = sign * (int64_t)(oh * 3600 + om * 60);
        }
    }
    if (*p) return false;
    struct tm tm = {.tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day,
                    .tm_hour = (int)hour, .tm_min = (int)minute, .tm_sec = (int)second};
    int mday = tm.tm_mday;
    time_t t = timegm(&tm);
    if (tm.tm_mday != mday && second < 60) return false; /* 31 February */
    int64_t unix_seconds = (int64_t)t - offset;
    if (unix_seconds < 0 || (uint64_t)unix_seconds > UINT64_MAX / SECOND_NS - 1) return false;
    *out = (uint64_t)unix_seconds * SECOND_NS + ns;
    return true;
}

int instant_parse(const char *text, uint64_t now_ns, struct instant *out, struct chv_err *err)
{
    const char *p = text;
    out->kind = INSTANT_TIME;
    if (strcmp(text, "now") == 0) {
        out->value = now_ns;
        return 0;
    }
    if (strncmp(text, "seq:", 4) == 0) {
        p += 4;
        out->kind = INSTANT_SEQ;
        if (digits(&p, 18, &out->value) > 0 && !*p) return 0;
    } else if (*p == '@') {
        p++;
        uint64_t seconds;
        if (digits(&p, 10, &seconds) > 0) {
            out->value = seconds * SECOND_NS + fraction_ns(&p);
            if (!*p) return 0;
        }
    } else if (*p == '-') {
        if (relative(p + 1, now_ns, &out->value)) return 0;
    } else if (rfc3339(p, &out->value)) {
        return 0;
    }
    return chv_err_set(err, EINVAL,
                       "'%.60s' is not an instant; give RFC 3339 (2026-11-22T10:41:07Z), -10m, @UNIX, seq:N or now",
                       text);
}

#include "base/clock.h"

#include "tests/unit.h"

static const uint64_t now = UINT64_C(1800000000000000000);

static void parses(const char *text, uint64_t value)
{
    struct instant i;
    struct chv_err err;
    CHECK_OK(instant_parse(text, now, &i, &err), err);
    if (i.value != value) fprintf(stderr, "%s: %llu\n", text, (unsigned long long)i.value);
    CHECK(i.kind == INSTANT_TIME && i.value == value);
}

static void refuses(const char *text)
{
    struct instant i;
    struct chv_err err;
    if (instant_parse(text, now, &i, &err) == 0) fprintf(stderr, "accepted '%s'\n", text);
    CHECK(instant_parse(text, now, &i, &err) == -22);
    CHECK(!strchr(err.text, '\n'));
}

int main(void)
{
    const uint64_t s = UINT64_C(1000000000);
    parses("now", now);
    parses("@1.5", 3 * s / 2);
    parses("-10m", now - 600 * s);
    parses("-1h30m", now - 5400 * s);
    parses("-250ms", now - s / 4);
    parses("-2d", now - 172800 * s);
    parses("1970-01-01T00:00:01Z", s);
    parses("2026-11-22T10:41:07.5Z", UINT64_C(1795344067500000000));
    parses("2026-11-22 10:41:07.5", UINT64_C(1795344067500000000));
    parses("2026-11-22T12:41:07.5+02:00", UINT64_C(1795344067500000000));
    parses("2026-11-22", UINT64_C(1795305600000000000));
    struct instant i;
    struct chv_err err;
    CHECK_OK(instant_parse("seq:42", now, &i, &err), err);
    CHECK(i.kind == INSTANT_SEQ && i.value == 42);
    refuses("");
    refuses("yesterday");
    refuses("-");
    refuses("-10");
    refuses("-10x");
    refuses("-999999999w999999999w");
    refuses("2026-13-01");
    refuses("2026-02-31");
    refuses("2026-11-22T25:00:00Z");
    refuses("2026-11-22T10:41:07Zjunk");
    refuses("2026-11-22T10:41:07+99:00");
    refuses("seq:");
    refuses("seq:-1");
    refuses("@");
    refuses("@12junk");
    char text[CLOCK_TEXT_BYTES];
    CHECK(strcmp(clock_format(UINT64_C(1795344067500000000), text), "2026-11-22T10:41:07.500000Z") == 0);
    return 0;
}

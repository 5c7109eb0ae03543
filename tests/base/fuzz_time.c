/* Any text as an instant: refused with a reason, or a time that is printed and parsed back to itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t now = UINT64_C(1795344067123456789);
    char *text = malloc(size + 1), printed[CLOCK_TEXT_BYTES];
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = 0;
    struct instant instant, again;
    struct chv_err err = {.text = ""};
    int r = instant_parse(text, now, &instant, &err);
    if (r < 0 && (r != -EINVAL || !err.text[0])) abort();
    if (r == 0 && instant.kind == INSTANT_TIME) {
        clock_format(instant.value, printed);
        if (instant_parse(printed, now, &again, &err) < 0 || again.kind != INSTANT_TIME) abort();
        if (again.value / 1000 != instant.value / 1000) abort(); /* printed to the microsecond */
    }
    free(text);
    return 0;
}

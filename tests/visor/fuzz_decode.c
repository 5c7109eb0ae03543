/* Any bytes as an instruction: what is decoded has a length, and that many bytes are what it takes. First byte: the
 * mode. */
#include "visor/core/decode.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned modes[] = {16, 32, 64};
    struct decoded d, again;
    if (!size) return 0;
    size_t n = size - 1 > DECODE_MAX ? DECODE_MAX : size - 1;
    unsigned bits = modes[data[0] % 3];
    uint8_t *code = malloc(n ? n : 1);
    memcpy(code, data + 1, n);
    if (decode(code, n, bits, &d)) {
        if (!d.length || d.length > n || d.reg > 15) abort();
        if (d.width != 1 && d.width != 2 && d.width != 4 && d.width != 8) abort();
        if (!decode(code, d.length, bits, &again) || again.length != d.length ||
            decode(code, d.length - 1, bits, &again))
            abort();
    }
    free(code);
    return 0;
}

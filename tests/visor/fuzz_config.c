/* Any bytes as chronovisor.cfg: a value is what it says, without blanks around it, and ends where the buffer does. */
#include "visor/core/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"nic", "hide", "key", "ring_mib", "loader"};
    static const size_t rooms[] = {1, 2, 16, 65, CONFIG_VALUE_MAX};
    const struct config c = {(const char *)data, size};
    for (unsigned n = 0; n < ARRAY_LENGTH(names); n++) {
        uint64_t whole = config_number(&c, names[n], 7);
        for (unsigned r = 0; r < ARRAY_LENGTH(rooms); r++)
            for (unsigned index = 0; index < 3; index++) {
                char *value = malloc(rooms[r]);
                bool got = config_get(&c, names[n], index, value, rooms[r]);
                size_t length = strlen(value);
                if (length >= rooms[r] || (!got && length)) abort();
                if (got && length && (value[0] == ' ' || value[length - 1] == ' ' || value[length - 1] == '\r')) abort();
                if (got && !index && !strcmp(value, "0x1f") && whole != 31) abort();
                free(value);
            }
    }
    return 0;
}

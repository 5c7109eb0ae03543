/* Any bytes as a kernel's type information: refused, or every name in it can be asked for. */
#include <stdlib.h>

#include "sensor/memory/linux_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"thing", "self", "l", "far", "huge", "bad", "list_head", "task_struct"};
    static const char *const fields[] = {"x", "pid", "list.prev", "one", "arr", "y", "next.next"};
    struct btf *b;
    struct btf_field f;
    struct linux_offsets at;
    struct chv_err err;
    if (size < BTF_HEADER_BYTES || btf_length(data) > BTF_BYTES_MAX || btf_parse(data, size, &b, &err) < 0) return 0;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (btf_field(b, types[t], fields[i], &f) == 0 &&
                ((uint64_t)f.offset + f.bytes > btf_size(b, types[t]) || btf_size(b, types[t]) == 0))
                abort();
    linux_offsets_fill(b, &at, &err);
    btf_free(b);
    return 0;
}

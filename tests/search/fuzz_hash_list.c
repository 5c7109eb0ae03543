/* Any bytes as a hash list: entries or one error that names a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search/hash_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    FILE *in = fmemopen((void *)data, size, "r");
    if (!in) return 0;
    struct hash_list *list = hash_list_new(in, "fuzz", 4096);
    struct hash_entry e;
    struct chv_err err = {0};
    int r;
    uint64_t line = 0;
    while ((r = hash_list_next(list, &e, &err)) == 1) {
        if (e.line <= line || (!e.has_sha256 && !e.has_md5) || strlen(e.name) > size)
            abort();
        line = e.line;
    }
    if (r < 0 && (strncmp(err.text, "fuzz:", 5) != 0 || strchr(err.text, '\n'))) abort();
    hash_list_free(list);
    fclose(in);
    return 0;
}

/* rawlog STORE: the content of every written block in order, on stdout: what a log without deduplication
 * and compression would hold. */
#include <stdio.h>
#include <stdlib.h>

#include "chronovisor/chronovisor.h"

static int stop(const struct chv_err *err)
{
    fprintf(stderr, "rawlog: %s\n", err->text);
    return 2;
}

int main(int argc, char **argv)
{
    struct chv_err err = {0};
    struct chv_store *store;
    struct chv_cursor *cursor;
    struct chv_store_info info;
    static uint8_t block[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: rawlog STORE\n");
        return 2;
    }
    if (chv_store_open(argv[1], &store, &err) < 0)
        return stop(&err);
    chv_store_info(store, &info);
    if (chv_cursor_open(store, info.first_seq, info.last_seq, &cursor, &err) < 0)
        return stop(&err);
    const struct chv_event *batch;
    size_t count;
    int r;
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) == 1)
        for (size_t i = 0; i < count; i++) {
            if (batch[i].op != CHV_OP_WRITE)
                continue;
            if (chv_store_read_block(store, batch[i].hash, block, &err) < 0)
                return stop(&err);
            if (fwrite(block, info.block_bytes, 1, stdout) != 1)
                return 2;
        }
    if (r < 0)
        return stop(&err);
    chv_cursor_close(cursor);
    chv_store_close(store);
    return fflush(stdout) ? 2 : 0;
}

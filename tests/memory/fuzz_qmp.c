/* Any bytes as what a QMP peer says, in pieces of any size. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16) return 0;
    size_t piece = (size_t)data[0] + 1;
    struct qmp_reader reader;
    struct chv_err err;
    char *line;
    size_t bytes, room;
    if (qmp_reader_init(&reader, &err) < 0) abort();
    for (size_t at = 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        char *to = qmp_reader_room(&reader, &room);
        if (room < n) abort();
        memcpy(to, data + at, n);
        qmp_reader_filled(&reader, n);
        while (qmp_reader_next(&reader, &line, &bytes) > 0) {
            struct qmp_message m;
            err = (struct chv_err){.text = ""};
            int r = qmp_message_parse(line, bytes, &m, &err);
            if (r == 0 ? !m.value || strlen(m.text) >= sizeof m.text : err.code != EPROTO || m.value) abort();
            if (r == 0)
                for (const char *c = m.text; *c; c++)
                    if ((unsigned char)*c < 0x20) abort();
            qmp_message_fini(&m);
        }
    }
    qmp_reader_fini(&reader);
    return 0;
}

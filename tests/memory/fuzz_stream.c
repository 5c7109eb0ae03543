/* Any bytes as QEMU's migration stream, in pieces of any size: what is announced is kept to, whatever it is. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size, at, piece, blocks;
    uint64_t bytes[STREAM_BLOCKS_MAX];
    uint8_t page[STREAM_PAGE_BYTES];
};

static ssize_t fill(void *context, uint8_t *to, size_t room)
{
    struct input *in = context;
    size_t n = in->size - in->at < in->piece ? in->size - in->at : in->piece;
    if (room == 0) abort();
    if (n > room) n = room;
    memcpy(to, in->data + in->at, n);
    in->at += n;
    return (ssize_t)n;
}

static int block(void *context, size_t number, const char *name, uint64_t bytes, struct chv_err *err)
{
    struct input *in = context;
    (void)err;
    if (number != in->blocks || number >= STREAM_BLOCKS_MAX || bytes == 0 || bytes % STREAM_PAGE_BYTES || strlen(name) >= STREAM_NAME_BYTES)
        abort();
    in->bytes[in->blocks++] = bytes;
    return 0;
}

static int page(void *context, size_t number, uint64_t offset, const uint8_t *data, struct chv_err *err)
{
    struct input *in = context;
    if (number >= in->blocks || offset % STREAM_PAGE_BYTES || offset >= in->bytes[number]) abort();
    if (data) memcpy(in->page, data, sizeof in->page);
    return offset == 0x7000 ? chv_err_set(err, EDOM, "not wanted") : 0;
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16) return 0;
    struct input *in = calloc(1, sizeof *in);
    struct chv_err err = {.text = ""};
    if (!in) abort();
    *in = (struct input){.data = data + 1, .size = size - 1, .piece = (size_t)data[0] * 16 + 1};
    struct stream_calls calls = {.fill = fill, .block = block, .page = page, .context = in};
    int r = stream_read(&calls, &err);
    if (r == 0 ? in->blocks == 0 || in->at != in->size : err.code != -r || !err.text[0]) abort();
    free(in);
    return 0;
}

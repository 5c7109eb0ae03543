#include <errno.h>
#include <string.h>

#include "sensor/memory/helper_message.h"

enum { HEAD = sizeof(struct chv_helper_frame) };

uint8_t *helper_reader_room(struct helper_reader *reader, size_t *bytes)
{
    if (reader->begin > 0) {
        memmove(reader->data, reader->data + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    *bytes = sizeof reader->data - reader->end;
    return reader->data + reader->end;
}

void helper_reader_filled(struct helper_reader *reader, size_t bytes)
{
    reader->end += bytes;
}

static bool is_answer(const struct helper_reader *reader, const struct chv_helper_frame *f)
{
    return f->magic == CHV_HELPER_MAGIC && f->version == CHV_HELPER_VERSION && f->bytes <= CHV_HELPER_PAYLOAD_MAX &&
           f->kind >= CHV_HELPER_PROCESSES && f->kind <= CHV_HELPER_END && (reader->found || f->id == reader->first_id);
}

int helper_reader_next(struct helper_reader *reader, struct chv_helper_frame *frame, const uint8_t **payload, struct chv_err *err)
{
    while (reader->end - reader->begin >= HEAD) {
        memcpy(frame, reader->data + reader->begin, HEAD);
        if (is_answer(reader, frame)) {
            reader->found = true;
            if (reader->end - reader->begin - HEAD < frame->bytes) return 0;
            *payload = reader->data + reader->begin + HEAD;
            reader->begin += HEAD + frame->bytes;
            return 1;
        }
        if (reader->found) return chv_err_set(err, EPROTO, "the helper sent what is no answer");
        reader->begin++;
        if (++reader->skipped > HELPER_SKIP_MAX) return chv_err_set(err, EPROTO, "no helper answers, something else does");
    }
    return 0;
}

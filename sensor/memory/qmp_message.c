#include "sensor/memory/qmp_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qmp_reader_init(struct qmp_reader *reader, struct chv_err *err)
{
    *reader = (struct qmp_reader){.data = malloc(QMP_LINE_MAX + 1)};
    return reader->data ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

void qmp_reader_fini(struct qmp_reader *reader)
{
    free(reader->data);
    *reader = (struct qmp_reader){0};
}

char *qmp_reader_room(struct qmp_reader *reader, size_t *bytes)
{
    if (reader->begin > 0) {
        memmove(reader->data, reader->data + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    *bytes = QMP_LINE_MAX - reader->end;
    return reader->data + reader->end;
}

void qmp_reader_filled(struct qmp_reader *reader, size_t bytes)
{
    reader->end += bytes;
}

int qmp_reader_next(struct qmp_reader *reader, char **line, size_t *bytes)
{
    while (reader->begin < reader->end) {
        char *at = reader->data + reader->begin;
        char *newline = memchr(at, '\n', reader->end - reader->begin);
        if (!newline) break;
        size_t n = (size_t)(newline - at);
        reader->begin += n + 1;
        if (n > 0 && at[n - 1] == '\r') n--;
        if (n == 0) continue;
        at[n] = 0;
        *line = at;
        *bytes = n;
        return 1;
    }
    return reader->end - reader->begin >= QMP_LINE_MAX ? -EMSGSIZE : 0;
}

/* What a peer says goes to a terminal in one line. */
static void copy_text(char *to, size_t size, const char *class, const char *text)
{
    snprintf(to, size, "%s%s%s", class ? class : "", class ? ": " : "", text ? text : "");
    for (; *to; to++)
        if ((unsigned char)*to < 0x20 || *to == 0x7f) *to = ' ';
}

static int classify(json_t *root, struct qmp_message *out, struct chv_err *err)
{
    json_t *part;
    json_t *id = json_object_get(root, "id");
    out->id = json_is_integer(id) ? json_integer_value(id) : 0;
    if ((part = json_object_get(root, "return"))) {
        out->kind = QMP_RETURN;
        out->value = json_incref(part);
    } else if (json_is_object(part = json_object_get(root, "error"))) {
        out->kind = QMP_ERROR;
        out->value = json_incref(root);
        copy_text(out->text, sizeof out->text, json_string_value(json_object_get(part, "class")),
                  json_string_value(json_object_get(part, "desc")));
    } else if (json_is_string(part = json_object_get(root, "event"))) {
        out->kind = QMP_EVENT;
        out->value = json_incref(root);
        copy_text(out->text, sizeof out->text, NULL, json_string_value(part));
    } else if (json_is_object(part = json_object_get(root, "QMP"))) {
        out->kind = QMP_GREETING;
        part = json_object_get(part, "version");
        out->value = part ? json_incref(part) : json_object();
    } else {
        return chv_err_set(err, EPROTO, "QMP: a message that is neither answer, error, event nor greeting");
    }
    return 0;
}

int qmp_message_parse(const char *line, size_t bytes, struct qmp_message *out, struct chv_err *err)
{
    json_error_t why;
    *out = (struct qmp_message){0};
    json_t *root = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!root) return chv_err_set(err, EPROTO, "QMP: not JSON: %.100s", why.text);
    int r = json_is_object(root) ? classify(root, out, err) : chv_err_set(err, EPROTO, "QMP: a line that is no object");
    json_decref(root);
    return r;
}

void qmp_message_fini(struct qmp_message *message)
{
    json_decref(message->value);
    message->value = NULL;
}

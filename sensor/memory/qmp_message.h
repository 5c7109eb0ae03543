/* QEMU's machine protocol as bytes: lines out of a stream, and what a line says. No I/O here, so that it can be fuzzed.
 *
 * The peer is as hostile as the guest that may have taken it over: a line is at most QMP_LINE_MAX bytes, and what is not
 * one of the four kinds of message is an error.
 */
#ifndef CHV_SENSOR_MEMORY_QMP_MESSAGE_H
#define CHV_SENSOR_MEMORY_QMP_MESSAGE_H

#include <jansson.h>
#include <stddef.h>

#include "chronovisor/err.h"

#define QMP_LINE_MAX (1u << 20) /* "info registers -a" of 255 processors has 0.8 MB; JSON may need 60 times as much memory */

struct qmp_reader {
    char *data;        /* QMP_LINE_MAX + 1 bytes, owned */
    size_t begin, end; /* not yet consumed */
};

int qmp_reader_init(struct qmp_reader *reader, struct chv_err *err);
void qmp_reader_fini(struct qmp_reader *reader);
/* Where the next bytes of the stream go, and how many at most (at least 1, after qmp_reader_next returned 0). */
char *qmp_reader_room(struct qmp_reader *reader, size_t *bytes);
void qmp_reader_filled(struct qmp_reader *reader, size_t bytes);
/* 1 with a NUL-terminated line (valid until the next call of any of these; empty lines are passed over), 0 when more bytes
 * are needed, -EMSGSIZE when a line is too long. */
int qmp_reader_next(struct qmp_reader *reader, char **line, size_t *bytes);

enum qmp_kind { QMP_GREETING, QMP_EVENT, QMP_RETURN, QMP_ERROR };

struct qmp_message {
    enum qmp_kind kind;
    json_t *value;   /* GREETING: the version, RETURN: the value, EVENT, ERROR: the whole message; owned */
    json_int_t id;   /* RETURN, ERROR: 0 when it carries none */
    char text[200];  /* EVENT: its name, ERROR: "class: description" */
};

/* EPROTO: not a message. */
int qmp_message_parse(const char *line, size_t bytes, struct qmp_message *out, struct chv_err *err);
void qmp_message_fini(struct qmp_message *message);

#endif

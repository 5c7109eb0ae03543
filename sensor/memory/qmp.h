/* A client of QEMU's machine protocol (docs/interop/qmp-spec.txt): one command at a time, each with a time limit. */
#ifndef CHV_SENSOR_MEMORY_QMP_H
#define CHV_SENSOR_MEMORY_QMP_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronovisor/err.h"

struct qmp;

/* Connect to the Unix socket of `-qmp unix:PATH,server=on,wait=off` and negotiate. One thread at a time may use it. */
int qmp_connect(const char *path, struct qmp **out, struct chv_err *err);
void qmp_close(struct qmp *qmp);

const char *qmp_path(const struct qmp *qmp);
/* "7.2.22", until qmp_close. */
const char *qmp_version(const struct qmp *qmp);
/* The process that made the socket: QEMU, unless a manager handed it the socket. */
pid_t qmp_peer(const struct qmp *qmp);
/* The socket, for who must write after us (pause.c). */
int qmp_fd(const struct qmp *qmp);

/* QEMU's events, from now on: called while a command waits for its answer, and by qmp_listen. `time_ns` is UTC as QEMU says; the
 * message is borrowed. It must not run commands. */
typedef void qmp_event_fn(void *context, const char *name, uint64_t time_ns, const json_t *message);
void qmp_on_event(struct qmp *qmp, qmp_event_fn *fn, void *context);
/* Wait for the next message and pass it on if it is an event: 0, -ETIMEDOUT after timeout_ns, or another error. */
int qmp_listen(struct qmp *qmp, uint64_t timeout_ns, struct chv_err *err);

/* Run a command. `arguments` (an object, or NULL) is stolen. *result (may be NULL) gets what it returned, to be
 * json_decref'ed. EIO: QEMU refused, the text says why; ETIMEDOUT; EPROTO; EPIPE: the connection ended. */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **result, struct chv_err *err);
/* The same, and the file descriptor `fd` (which stays the caller's) goes with it. */
int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd, struct chv_err *err);
/* A command of the human monitor; *text is malloc'd, at most QMP_LINE_MAX bytes. */
int qmp_human(struct qmp *qmp, const char *command, char **text, struct chv_err *err);

#endif

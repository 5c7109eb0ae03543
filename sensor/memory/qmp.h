/* A client of QEMU's machine protocol (docs/interop/qmp-spec.txt): one command at a time, each with a time limit. */
#ifndef CHV_SENSOR_MEMORY_QMP_H
#define CHV_SENSOR_MEMORY_QMP_H

#include <jansson.h>
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

/* Run a command. `arguments` (an object, or NULL) is stolen. *result (may be NULL) gets what it returned, to be
 * json_decref'ed. EIO: QEMU refused, the text says why; ETIMEDOUT; EPROTO; EPIPE: the connection ended. */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **result, struct chv_err *err);
/* A command of the human monitor; *text is malloc'd, at most QMP_LINE_MAX bytes. */
int qmp_human(struct qmp *qmp, const char *command, char **text, struct chv_err *err);

#endif

/* The socket a front-end comes to, one after the other: a disk has one guest. */
#ifndef CHV_SENSOR_VHOST_SERVER_H
#define CHV_SENSOR_VHOST_SERVER_H

#include "sensor/capture/session.h"

/* Record what the options say and serve the disk at `path` until SIGTERM, SIGINT or SIGHUP, which this blocks in every
 * thread. Removes the socket at the end and prints on standard error what was recorded. The path must be free. 0 or
 * -errno. */
int vhost_server_run(const struct session_options *options, const char *path, struct chv_err *err);
/* Serve what comes to a listening socket until `stop` is readable. */
int vhost_server_loop(struct session *session, struct capture *capture, int listener, int stop, struct chv_err *err);

#endif

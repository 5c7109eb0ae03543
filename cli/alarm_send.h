/* An alarm to a web server or a command. Each call may take as long as its limit says. */
#ifndef CHV_CLI_ALARM_SEND_H
#define CHV_CLI_ALARM_SEND_H

#include "chronovisor/err.h"

struct alarm_send;
/* EINVAL: no http or https URL. The URL is borrowed. */
int alarm_send_new(const char *url, long seconds, struct alarm_send **out, struct chv_err *err);
void alarm_send_free(struct alarm_send *s);
/* POST the JSON; -EIO and a reason when it did not come back with 2xx. Redirections are not followed. */
int alarm_send(struct alarm_send *s, const char *json, struct chv_err *err);

/* Run a shell command with the JSON as its standard input; it and what it started are killed after `seconds`. -EIO: it
 * failed. Its output goes to standard error: standard output is for alarms. */
int alarm_exec(const char *command, const char *json, unsigned seconds, struct chv_err *err);

#endif

/* Where alarms go: standard output always, and what was asked for besides. Nothing that fails or hangs out there holds up
 * the detector: what may is done by a thread behind a bounded queue. */
#ifndef CHV_CLI_ALARM_OUT_H
#define CHV_CLI_ALARM_OUT_H

#include <jansson.h>
#include <stdbool.h>

#include "chronovisor/err.h"

#define ALARM_OUT_QUEUE 64          /* alarms waiting for webhook and command; more are dropped, and said so */
#define ALARM_WEBHOOK_SECONDS 10
#define ALARM_EXEC_SECONDS 60       /* then it is killed */
#define ALARM_DRAIN_SECONDS 15      /* at the end, for what still waits */

struct alarm_out_options {
    const char *ecs;     /* file to append to, or NULL */
    bool syslog;
    const char *webhook; /* http or https URL, or NULL */
    const char *exec;    /* shell command, the alarm on its standard input, or NULL */
};

struct alarm_out;
/* Strings are borrowed. EINVAL: the URL is none. */
int alarm_out_open(const struct alarm_out_options *options, struct alarm_out **out, struct chv_err *err);
void alarm_out_send(struct alarm_out *o, const json_t *alarm);
/* Gives what still waits ALARM_DRAIN_SECONDS. */
void alarm_out_close(struct alarm_out *o);

#endif

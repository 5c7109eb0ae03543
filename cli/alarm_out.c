#include "cli/alarm_out.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "cli/alarm.h"
#include "cli/alarm_send.h"
#include "cli/cli.h"

struct alarm_out {
    struct alarm_out_options options;
    FILE *ecs;
    struct alarm_send *send; /* of the webhook */
    pthread_t thread;
    bool running, stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    char *queue[ALARM_OUT_QUEUE];
    size_t head, count;
    uint64_t deadline_ns; /* monotonic, once it ends; 0 before */
};

static void *deliver(void *arg)
{
    struct alarm_out *o = arg;
    pthread_mutex_lock(&o->mutex);
    for (;;) {
        while (o->count == 0 && !o->stop) pthread_cond_wait(&o->wake, &o->mutex);
        if (o->count == 0 || (o->stop && clock_monotonic_ns() > o->deadline_ns)) break;
        char *text = o->queue[o->head];
        o->head = (o->head + 1) % ALARM_OUT_QUEUE;
        o->count--;
        pthread_mutex_unlock(&o->mutex);
        struct chv_err err;
        if (o->options.exec && alarm_exec(o->options.exec, text, ALARM_EXEC_SECONDS, &err) < 0)
            cli_error_line("detect", err.text);
        if (o->send && alarm_send(o->send, text, &err) < 0) cli_error_line("detect", err.text);
        free(text);
        pthread_mutex_lock(&o->mutex);
    }
    if (o->count > 0) cli_error_line("detect", "no time to pass on all alarms to the webhook or command; they are in the output");
    pthread_mutex_unlock(&o->mutex);
    return NULL;
}

int alarm_out_open(const struct alarm_out_options *options, struct alarm_out **out, struct chv_err *err)
{
    struct alarm_out *o = calloc(1, sizeof *o);
    if (!o) return chv_err_set(err, ENOMEM, "out of memory");
    o->options = *options;
    int r = 0;
    if (options->ecs && !(o->ecs = fopen(options->ecs, "ae")))
        r = chv_err_set(err, errno, "--ecs %s: %s", options->ecs, strerror(errno));
    if (r == 0 && options->webhook) r = alarm_send_new(options->webhook, ALARM_WEBHOOK_SECONDS, &o->send, err);
    if (r < 0) goto err_free;
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->wake, NULL);
    if (options->webhook || options->exec) {
        r = pthread_create(&o->thread, NULL, deliver, o);
        o->running = r == 0;
        if (r != 0) {
            r = chv_err_set(err, r, "threads: %s", strerror(r));
            goto err_free;
        }
    }
    if (options->syslog) openlog("chronovisor", LOG_PID, LOG_DAEMON);
    *out = o;
    return 0;
err_free:
    if (o->ecs) fclose(o->ecs);
    alarm_send_free(o->send);
    free(o);
    return r;
}

static void write_ecs(struct alarm_out *o, const json_t *alarm)
{
    json_t *doc = alarm_ecs(alarm);
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    if (!text || fprintf(o->ecs, "%s\n", text) < 0 || fflush(o->ecs) != 0) {
        struct chv_err err;
        chv_err_set(&err, EIO, "--ecs %s: write failed", o->options.ecs);
        cli_error_line("detect", err.text);
        clearerr(o->ecs);
    }
    free(text);
    json_decref(doc);
}

/* Lines of syslog may be cut at 8 KiB: without the names of files, which are the long part. */
static void write_syslog(const json_t *alarm)
{
    json_t *brief = json_copy((json_t *)(uintptr_t)alarm);
    json_object_del(brief, "files_hit");
    json_object_del(brief, "files_written");
    char *text = json_dumps(brief, JSON_COMPACT);
    if (text) syslog(LOG_ALERT, "%s", text);
    free(text);
    json_decref(brief);
}

void alarm_out_send(struct alarm_out *o, const json_t *alarm)
{
    char *text = json_dumps(alarm, JSON_COMPACT);
    if (!text) {
        cli_error_line("detect", "out of memory for an alarm");
        return;
    }
    printf("%s\n", text);
    fflush(stdout);
    if (o->ecs) write_ecs(o, alarm);
    if (o->options.syslog) write_syslog(alarm);
    if (!o->running) {
        free(text);
        return;
    }
    pthread_mutex_lock(&o->mutex);
    bool full = o->count == ALARM_OUT_QUEUE;
    if (!full) o->queue[(o->head + o->count++) % ALARM_OUT_QUEUE] = text;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->mutex);
    if (!full) return;
    cli_error_line("detect", "webhook or command are behind: an alarm is not passed on to them; it is in the output");
    free(text);
}

void alarm_out_close(struct alarm_out *o)
{
    if (!o) return;
    if (o->running) {
        pthread_mutex_lock(&o->mutex);
        o->stop = true;
        o->deadline_ns = clock_monotonic_ns() + ALARM_DRAIN_SECONDS * UINT64_C(1000000000);
        pthread_cond_signal(&o->wake);
        pthread_mutex_unlock(&o->mutex);
        pthread_join(o->thread, NULL);
    }
    for (; o->count > 0; o->count--, o->head = (o->head + 1) % ALARM_OUT_QUEUE) free(o->queue[o->head]);
    if (o->options.syslog) closelog();
    if (o->ecs) fclose(o->ecs);
    alarm_send_free(o->send);
    pthread_mutex_destroy(&o->mutex);
    pthread_cond_destroy(&o->wake);
    free(o);
}

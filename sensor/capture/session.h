/* A recording: one store, one recorder, one or more disks, and what runs beside the requests. */
#ifndef CHV_SENSOR_SESSION_H
#define CHV_SENSOR_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/capture/capture.h"
#include "sensor/capture/hold.h"
#include "sensor/capture/options.h"
#include "sensor/join/server.h"
#include "store/marks.h"

struct session {
    struct session_options options;
    struct chv_recorder *rec;
    struct capture *captures; /* options.disks of them, in the same order */
    struct mark *marks;       /* one each */
    size_t attached;
    struct hold hold;
    struct join_server join; /* others add what they found */
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
};

/* Check what can be checked without starting: the disks are there, and are what the store last knew of them. */
int session_check(const struct session_options *options, struct chv_err *err);

int session_open(const struct session_options *options, struct session **out, struct chv_err *err);
/* Finish what is under way, commit, close. *summary (may be NULL) gets a line about what was recorded. */
int session_close(struct session *s, char *summary, size_t summary_bytes, struct chv_err *err);
/* The disk exported under this name: "vda" for disk:vda; "" is the first. NULL: none. */
struct capture *session_export(struct session *s, const char *name);

/* attach.c: open a disk and make it and the log agree. */
int session_attach(struct session *s, const struct session_disk *disk, struct capture *c, struct mark *mark,
                   struct chv_err *err);
void session_detach(struct capture *c);

/* background.c: the thread that copies in the background and keeps the marks. */
int background_start(struct session *s, struct chv_err *err);
void background_stop(struct session *s);
/* Write all marks; `clean` when nothing is under way any more. */
int background_mark(struct session *s, bool clean, struct chv_err *err);

#endif

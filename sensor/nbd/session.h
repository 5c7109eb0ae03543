/* A recording: one store, one recorder, one or more disks, and what runs beside the requests. */
#ifndef CHV_SENSOR_SESSION_H
#define CHV_SENSOR_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/nbd/capture.h"
#include "store/marks.h"

#define SESSION_DISKS_MAX 16

enum session_baseline {
    SESSION_COW = 0, /* copy before the first overwrite */
    SESSION_FULL,    /* that, and read the whole disk beside the guest */
    SESSION_NONE,    /* old content is not kept */
};

struct session_disk {
    const char *path;
    char space[CHV_SPACE_NAME_BYTES + 1]; /* "disk:vda" */
};

struct session_options {
    const char *store_dir;   /* created when it is not there */
    const char *signing_key; /* PEM or NULL */
    enum session_baseline baseline;
    bool record_reads, gap_when_behind, resync;
    uint32_t block_bytes;    /* of a new store; 0: 4096 */
    uint32_t queue_blocks;   /* 0: the recorder's default */
    size_t disks;
    struct session_disk disk[SESSION_DISKS_MAX];
};

struct session {
    struct session_options options;
    struct chv_recorder *rec;
    struct capture *captures; /* options.disks of them, in the same order */
    struct mark *marks;       /* one each */
    size_t attached;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
};

/* Read one option by name ("store", "disk", "baseline", "reads", "when-behind", "queue", "block-size", "sign",
 * "resync"); values are borrowed. ENOENT: no such option. EINVAL: a bad value. */
int session_option(struct session_options *options, const char *key, const char *value, struct chv_err *err);
/* Check what can be checked without starting: the disks are there, and are what the store last knew of them. */
int session_check(const struct session_options *options, struct chv_err *err);

int session_open(const struct session_options *options, struct session **out, struct chv_err *err);
/* Finish what is under way, commit, close. *summary (may be NULL) gets a line about what was recorded. */
int session_close(struct session *s, char *summary, size_t summary_bytes, struct chv_err *err);
/* The disk exported under this name: "vda" for disk:vda; "" is the first. NULL: none. */
struct capture *session_export(struct session *s, const char *name);
/* "vda" of "disk:vda" */
const char *session_export_name(const char *space);

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

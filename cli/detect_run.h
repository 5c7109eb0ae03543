/* What `detect` does: a store's log through detectors, watch list and YARA, alarms out. */
#ifndef CHV_CLI_DETECT_RUN_H
#define CHV_CLI_DETECT_RUN_H

#include <signal.h>

#include "cli/alarm_out.h"
#include "cli/watch_list.h"
#include "cli/yara_scan.h"
#include "detect/follow.h"
#include "detect/model.h"

#define DETECT_POLL_NS 100000000
#define DETECT_QUIET_NS UINT64_C(3000000000)   /* events reach the log sooner: so long nothing, and time has passed */
#define DETECT_AGAIN_NS UINT64_C(60000000000)  /* the same rule or hash in a space: one alarm in so long */
#define DETECT_AGAIN_MAX 256u                  /* rules and hashes remembered for that */

struct detect_options {
    const struct model *model;      /* or NULL */
    const struct watch_list *watch; /* or NULL */
    const char *watch_path, *yara_path;
    uint16_t space;                 /* 0: all */
    uint64_t first_seq, last_seq;   /* last_seq: not with follow */
    bool follow, hold, no_files;
    const volatile sig_atomic_t *stop; /* non-zero: end */
};

struct detect_result {
    uint64_t alarms, events, rows, again; /* again: hits that a recent alarm covers */
    uint64_t reads, changes;              /* pieces of accesses */
    double highest;                       /* score of a row */
    struct yara_counts yara;
};

int detect_run(struct chv_store *store, const struct detect_options *options, struct alarm_out *out,
               struct detect_result *result, struct chv_err *err);

#endif

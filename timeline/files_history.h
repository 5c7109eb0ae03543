/* The life of one path: every instant at which it was found changed. */
#ifndef CHV_TIMELINE_FILES_HISTORY_H
#define CHV_TIMELINE_FILES_HISTORY_H

#include "chronovisor/timeline.h"
#include "timeline/files.h"

enum files_change_kind {
    FILES_CHANGE_EXISTED,    /* it was there already at the beginning */
    FILES_CHANGE_CREATED,
    FILES_CHANGE_MODIFIED,   /* content or size */
    FILES_CHANGE_METADATA,   /* mode, owner, times (but access) or number of links */
    FILES_CHANGE_REPLACED,   /* the same name, another inode */
    FILES_CHANGE_RENAMED,    /* the inode lives on under other_path */
    FILES_CHANGE_DELETED,
    FILES_CHANGE_REAPPEARED,
    FILES_CHANGE_UNREADABLE, /* the blocks that would tell are unknown or damaged; reason says why */
};

struct files_change {
    enum files_change_kind kind;
    uint64_t seq, time_ns;          /* the state holds as of here */
    const struct files_entry *entry; /* no runs; NULL when the path is not there */
    bool has_sha256;
    uint8_t sha256[32];
    const char *other_path;         /* RENAMED */
    const char *reason;             /* UNREADABLE, or why there is no digest */
};
typedef int files_change_fn(void *arg, const struct files_change *change);

struct files_history_options {
    uint64_t first_seq, last_seq;  /* 0: all there is */
    uint64_t limit;                /* instants looked at; 0: 10000 */
    struct files_options files;
    struct chv_view_options view;
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
};

struct files_history_stats {
    uint64_t instants;      /* looked at */
    uint64_t blocks;        /* whose versions were followed at the end */
    uint64_t content_reads;
};

/* Follow `path` through time. Which instants to look at is found from what the answer depends on: every block
 * that was read to find the path, its metadata and its content. Until one of them changes, the answer cannot;
 * so the next instant to look at is the guest's first flush after the first such change (or a second later).
 * -EOVERFLOW when `limit` is reached (what was found until then has been reported). */
int files_history(struct chv_store *store, const struct chv_space *space, const char *path,
                  const struct files_history_options *options, files_change_fn *fn, void *arg,
                  struct files_history_stats *stats, struct chv_err *err);

#endif

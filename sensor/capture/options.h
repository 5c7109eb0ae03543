/* What a recording was asked to do, as key=value: nbdkit's command line, and `record`'s. Knows nothing of a protocol.
 */
#ifndef CHV_SENSOR_OPTIONS_H
#define CHV_SENSOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/chronovisor.h"

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
    /* Every path goes through it when set: what it returns is kept, and belongs to whoever set it. NULL: no memory. */
    const char *(*resolve)(const char *path);
    const char *store_dir;   /* created when it is not there */
    const char *signing_key; /* PEM or NULL */
    const char *socket;      /* to be removed at the end, or NULL: the plugin's business, not the session's */
    enum session_baseline baseline;
    bool record_reads, gap_when_behind, resync;
    bool uring; /* io_uring for the disks where there is a choice, instead of threads that wait */
    uint32_t block_bytes;    /* of a new store; 0: 4096 */
    uint32_t queue_blocks;   /* 0: the recorder's default */
    size_t disks;
    struct session_disk disk[SESSION_DISKS_MAX];
};

/* Read one option by name ("store", "disk", "baseline", "reads", "when-behind", "queue", "block-size", "sign",
 * "resync", "socket"); values are borrowed, except what `resolve` replaced. ENOENT: no such option. EINVAL: a bad
 * value. After an error the options are what they were. A disk's value is looked at in the file system: whether
 * "a=b" is a name and a path, or one file. */
int session_option(struct session_options *options, const char *key, const char *value, struct chv_err *err);
/* Is what a recording cannot do without there? EINVAL. */
int session_options_complete(const struct session_options *options, struct chv_err *err);
/* "vda" of "disk:vda" */
const char *session_export_name(const char *space);

#endif

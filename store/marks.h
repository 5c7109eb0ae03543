/* STORE/disks.json: how each recorded disk looked when the recorder last had it in hand, to notice
 * that it changed while nobody was recording. Derived: without it a disk must be resynchronised. */
#ifndef CHV_STORE_MARKS_H
#define CHV_STORE_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"
#include "chronovisor/err.h"

#define MARK_BOOT_BYTES 40

/* What stat says of a disk; compared to notice a change while nobody was recording. */
struct disk_stamp {
    uint64_t size_bytes, mtime_ns, ctime_ns;
    uint64_t device; /* devices only */
    uint64_t inode;  /* files only */
};
/* Of a file or block device of this size. 0 or -errno. */
int disk_stamp_fd(int fd, uint64_t device_bytes, struct disk_stamp *out);

struct mark {
    char space[CHV_SPACE_NAME_BYTES + 1];
    bool clean;        /* recording ended in order: the disk is as the log says, and looked like `stamp` */
    uint64_t seq;      /* else: everything up to this event had reached the disk */
    uint64_t time_ns;  /* when this was written */
    char boot[MARK_BOOT_BYTES]; /* which boot of the host */
    struct disk_stamp stamp;
};

/* This boot's id, or "" when the host does not tell. */
void mark_boot(char boot[MARK_BOOT_BYTES]);
/* 1 with *out, 0 when the file or the entry is missing or unreadable. */
int mark_load(const char *store_dir, const char *space, struct mark *out);
/* Replace these entries, keep the others; durable on return. */
int mark_save(const char *store_dir, const struct mark *const *marks, size_t count, struct chv_err *err);
/* Why the disk cannot be the one the log describes, or NULL. *crashed: recording did not end in order;
 * *same_boot: and the host has run on since, so nothing written was lost. */
const char *mark_differs(const struct mark *mark, const struct disk_stamp *now, bool *crashed, bool *same_boot);

#endif

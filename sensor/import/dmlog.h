/* The log of the dm-log-writes device-mapper target, which QEMU's blklogwrites driver writes as well.
 *
 * Format: the kernel's Documentation/admin-guide/device-mapper/log-writes.rst. A log sector (512 bytes to
 * 8 MiB) of superblock, then for each entry one sector of description followed by the data it wrote.
 * Reading validates: whatever an entry claims lies inside the file and inside a 48-bit LBA.
 */
#ifndef CHV_SENSOR_IMPORT_DMLOG_H
#define CHV_SENSOR_IMPORT_DMLOG_H

#include <stdint.h>

#include "chronovisor/err.h"

enum dmlog_flag {
    DMLOG_FLUSH = 1 << 0,
    DMLOG_FUA = 1 << 1,
    DMLOG_DISCARD = 1 << 2,
    DMLOG_MARK = 1 << 3,
    DMLOG_METADATA = 1 << 4, /* the writer called it metadata; says nothing about what was written */
};

#define DMLOG_MARK_BYTES 240 /* as much of a mark's text as is kept */

struct dmlog {
    int fd;
    const char *name; /* for error texts; borrowed */
    uint64_t file_bytes;
    uint32_t sector_bytes;
    uint64_t entries;
    uint64_t next_index, next_offset;
};

struct dmlog_entry {
    uint64_t index;       /* from 0 */
    uint32_t flags;       /* enum dmlog_flag */
    uint64_t offset;      /* bytes, on the logged device */
    uint64_t bytes;       /* written or discarded; 0 for a mark or a bare flush */
    uint64_t data_offset; /* where the written bytes are in the file */
    char mark[DMLOG_MARK_BYTES + 1]; /* DMLOG_MARK: its text, unprintable bytes as \xNN */
};

/* Read the superblock. `fd` and `name` are borrowed for the life of *log. EBADMSG: not such a log, or cut short. */
int dmlog_init(struct dmlog *log, int fd, const char *name, struct chv_err *err);
/* 1 with the next entry, 0 at the end, -EBADMSG with entry number and reason. */
int dmlog_next(struct dmlog *log, struct dmlog_entry *out, struct chv_err *err);
/* Start over with the first entry. */
void dmlog_rewind(struct dmlog *log);

static inline int dmlog_writes(const struct dmlog_entry *e)
{
    return e->bytes > 0 && !(e->flags & DMLOG_DISCARD);
}

#endif

/* The recorded device: a raw file or a block device. Offsets and lengths are in bytes. */
#ifndef CHV_SENSOR_DISK_H
#define CHV_SENSOR_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "store/marks.h"

struct disk {
    int fd;
    char *path; /* absolute, symbolic links resolved */
    uint64_t size_bytes;
    bool is_device; /* a block device; else a regular file */
    bool can_punch; /* holes can be made, fast, and read back as zeros */
    bool can_seek;  /* holes can be told from data */
};

int disk_open(const char *path, struct disk *disk, struct chv_err *err);
/* Find out what can only be found out by trying; changes the file's times, never its content. */
void disk_probe(struct disk *disk);
void disk_close(struct disk *disk);
int disk_stamp(const struct disk *disk, struct disk_stamp *out);

/* Everything or -errno. Reading past the end gives zeros: the last block may be a short one. */
int disk_pread(const struct disk *disk, void *buf, uint64_t bytes, uint64_t offset);
int disk_pwrite(const struct disk *disk, const void *buf, uint64_t bytes, uint64_t offset);
/* `count` blocks, one after the other on the disk; what is beyond its end is not written. */
int disk_pwrite_blocks(const struct disk *disk, const void *const *blocks, size_t count, uint32_t block_bytes,
                       uint64_t offset);
/* Make a range read as zeros: by a hole when `may_punch`, by the device, at last by writing zeros. */
int disk_zero(const struct disk *disk, uint64_t bytes, uint64_t offset, bool may_punch);
int disk_sync(const struct disk *disk);

/* Is `offset` in a hole? *run_end (<= end): up to where the answer holds. "No" when holes cannot be told. */
bool disk_hole(const struct disk *disk, uint64_t offset, uint64_t end, uint64_t *run_end);

#endif

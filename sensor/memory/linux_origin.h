/* Which file of which file system a mapping shows: so that it can be found on a recorded disk. */
#ifndef CHV_SENSOR_MEMORY_LINUX_ORIGIN_H
#define CHV_SENSOR_MEMORY_LINUX_ORIGIN_H

#include "sensor/memory/linux.h"

struct linux_origin {
    uint64_t inode;       /* its number in its file system */
    uint64_t size_bytes;  /* of the file, as the kernel has it */
    char type[16];        /* "ext4", "tmpfs"; any bytes */
    char device[33];      /* what the kernel calls it: "vda1" */
    uint8_t uuid[16];     /* zeros: it has none, or is not known */
};

/* `file` is linux_vma.file. ENOENT with what is not there: this kernel's types lack a field, or its memory is not readable. */
int linux_origin(struct linux_kernel *k, uint64_t file, struct linux_origin *out, struct chv_err *err);

#endif

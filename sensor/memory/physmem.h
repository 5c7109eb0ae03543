/* A guest's physical memory as something to read, wherever it lies: a file, or a space of a store at an instant.
 *
 * Addresses are guest-physical. One handle serves one thread at a time, but where physmem_shared says otherwise. Content is what the guest left there: hostile.
 */
#ifndef CHV_SENSOR_MEMORY_PHYSMEM_H
#define CHV_SENSOR_MEMORY_PHYSMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/timeline.h"

#define PHYSMEM_PAGE_BYTES 4096u
#define PHYSMEM_RANGES_MAX 256u /* of one image */

/* RAM at [base, base + bytes); whole pages. */
struct physmem_range {
    uint64_t base, bytes;
    uint64_t offset; /* where it lies in the file or space */
    int fd;          /* the file; -1: a space */
};

struct physmem;

/* A file: an ELF core whose program headers are physical (QEMU's dump-guest-memory, `memory export --format elf`), a LiME
 * dump, or else raw, where the offset is the address (QEMU's pmemsave). ENODATA: too short to be memory. */
int physmem_open_image(const char *path, struct physmem **out, struct chv_err *err);
/* A view of a space whose offsets are addresses (`ram`). The view is borrowed until close. Blocks of unknown content
 * are memory that cannot be read. */
int physmem_open_view(struct chv_view *view, struct physmem **out, struct chv_err *err);
/* RAM of a running guest: files that are read where and when asked for. Borrowed until close; ranges ascend and are disjoint. */
int physmem_open_ranges(const struct physmem_range *ranges, size_t count, struct physmem **out, struct chv_err *err);
void physmem_close(struct physmem *mem);

/* Ranges in order of base, without overlap. */
size_t physmem_ranges(const struct physmem *mem, const struct physmem_range **out);
uint64_t physmem_bytes(const struct physmem *mem); /* of RAM in all */
uint64_t physmem_end(const struct physmem *mem);   /* the first address above all of it */
/* Is all of this RAM? */
bool physmem_is_ram(const struct physmem *mem, uint64_t address, uint64_t bytes);

/* May several threads read it at a time? */
bool physmem_shared(const struct physmem *mem);
/* 0, -EFAULT where there is no RAM, -EIO where its content cannot be read. What buf holds after an error is undefined. */
int physmem_read(struct physmem *mem, uint64_t address, void *buf, size_t bytes);

#endif

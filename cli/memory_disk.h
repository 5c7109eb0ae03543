/* Files on the recorded disks, as they were when a memory was: what executable memory is compared with.
 *
 * A file is found by the identity of its file system (the UUID in its superblock) and its inode number, so it is found without its name
 * too. Only ext2, ext3 and ext4 are looked for: of others the number in the kernel is not the number on disk, or nothing here reads them. */
#ifndef CHV_CLI_MEMORY_DISK_H
#define CHV_CLI_MEMORY_DISK_H

#include "cli/cli.h"
#include "sensor/memory/linux_origin.h"

#define DISK_FILE_BYTES_MAX (UINT64_C(1) << 30) /* of a file that is compared */
#define DISK_READ_BYTES_MAX (UINT64_C(64) << 30) /* of all of them: what a guest maps is its choice */
#define DISK_CACHE_PAGES (UINT64_C(2) << 20)    /* of hashes kept: 64 MiB */

struct memory_disk;

/* The contents of a file, a hash a page; the last one filled up with zeros, as in the kernel's page cache. */
struct disk_file {
    const char *why; /* why there is none to compare with; NULL: there is */
    size_t pages;
    uint8_t (*hashes)[CHV_HASH_BYTES];
};

/* `store` is where the memory lies (NULL: in a file), borrowed; --disk-store names another one, --disk-space a space, --disk-at an
 * instant other than time_ns. CLI_OK, or CLI_ERROR after one line. That there is no disk is no error: no file will be found then. */
int memory_disk_open(const struct cli_args *args, struct chv_store *store, uint64_t time_ns, struct memory_disk **out);
void memory_disk_close(struct memory_disk *d);
/* Never NULL; valid until the next call. */
const struct disk_file *memory_disk_file(struct memory_disk *d, const struct linux_origin *origin);
/* "disk:vda as of seq:12", or "" when there is none. */
const char *memory_disk_name(const struct memory_disk *d);
/* Of --disk-store; NULL: none was given. Borrowed. */
struct chv_store *memory_disk_store(const struct memory_disk *d);

#define MEMORY_DISK_OPTIONS                                                                                     \
    {"--disk-store", "DIR", "suspicious: the store with the recorded disk (default: the memory's)"},            \
        {"--disk-space", "NAME", "suspicious: the recorded disk (default: every disk:… of that store)"},        \
        {"--disk-at", "TIME", "suspicious: the disk's instant (default: when the memory was captured)"}

#endif

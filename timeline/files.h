/* Files at an instant: file systems inside a view (or any image), read through The Sleuth Kit.
 *
 * What is parsed is hostile, and the parser is large and old, so it never runs in the caller's
 * process: files_open starts a worker that can do nothing but compute and ask for blocks
 * (see base/jail.h). A file system that crashes or stalls the parser is an error, nothing more.
 * Everything a worker says is checked before it is passed on, but stays the claim of a hostile
 * image: names may hold any byte but NUL, sizes and times any value.
 *
 * A `struct files_fs` belongs to one thread at a time.
 */
#ifndef CHV_TIMELINE_FILES_H
#define CHV_TIMELINE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

struct chv_view;

/* Where the bytes come from. pread returns 0 or -errno with the reason; ranges are inside the size. */
struct files_image {
    int (*pread)(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err);
    void *arg;
    uint64_t size_bytes;
};

/* An image over a view; the view must outlive it. */
struct files_image files_image_of_view(struct chv_view *view);

struct files_options {
    uint32_t partition; /* as files_volumes numbers them; 0: the only file system there is */
    bool in_place;      /* do not replay an ext3/4 journal: metadata as the blocks in place have it */
    bool no_orphans;    /* do not look for deleted files without a name (a walk over all metadata) */
    /* Called with the number of each 4 KiB page of the image that an answer depends on (NULL: nobody asks). Every page
     * once a request and once more for each files_open or files_reopen; nothing is read ahead then. */
    void (*touched)(void *arg, uint64_t page);
    void *touched_arg;
    uint32_t stall_seconds; /* give up when the parser neither reads nor answers for so long; 0: 120 */
};

struct files_fs;

struct files_info {
    char type[16];          /* "ext4", "ntfs", "fat32", "exfat", … */
    uint32_t partition;     /* 0: the image is one file system */
    uint32_t block_bytes;
    uint64_t offset_bytes;  /* where the file system begins in the image */
    uint64_t size_bytes;
    uint64_t root_inode, last_inode;
    uint32_t replayed;      /* journal transactions taken into account (ext3/4) */
};

/* Open one file system. The image is copied; what its arg points to must outlive *out.
 * ENOENT: no file system that can be read (the text says what was found);
 * ENOTUNIQ: several, and no partition chosen (the text lists them); EPROTO: damaged. */
int files_open(const struct files_image *image, const struct files_options *options, struct files_fs **out,
               struct chv_err *err);
void files_close(struct files_fs *fs);
/* The image, of the same size, holds something else now in `changed` (pages of 4 KiB): open the file system in it
 * anew, asking only for pages that changed or were not read yet. After an error only files_reopen and files_close
 * make sense. */
int files_reopen(struct files_fs *fs, const uint64_t *changed, size_t count, struct chv_err *err);
const struct files_info *files_fs_info(const struct files_fs *fs);

struct files_volume {
    uint32_t partition;
    uint64_t offset_bytes, size_bytes;
    char type[16];          /* "" when no file system was recognised */
    char description[64];   /* of the partition table entry */
};
/* Every partition of the image (or one with number 0). */
int files_volumes(const struct files_image *image, void (*fn)(void *arg, const struct files_volume *volume),
                  void *arg, struct chv_err *err);

enum { FILES_M = 0, FILES_A = 1, FILES_C = 2, FILES_B = 3, FILES_TIMES = 4 }; /* modified, accessed, changed, born */

enum files_flag {
    FILES_NAME_DELETED = 1 << 0, /* the directory entry is a deleted one */
    FILES_META_DELETED = 1 << 1, /* the inode is not allocated */
    FILES_HAS_META = 1 << 2,     /* else only the name is left; sizes and times are 0 */
    FILES_HAS_ATTR = 1 << 3,     /* NTFS: attr_type and attr_id say which attribute this entry is */
    FILES_FILE_NAME = 1 << 4,    /* NTFS: the times are those of the $FILE_NAME attribute */
    FILES_STREAM = 1 << 5,       /* NTFS: an alternate data stream; the path ends with ":stream" */
    FILES_COMPRESSED = 1 << 6,
    FILES_ENCRYPTED = 1 << 7,
    FILES_RESIDENT = 1 << 8,     /* content lies inside the metadata */
    FILES_REUSED = 1 << 9,       /* deleted, and some of its blocks are allocated again */
    FILES_INCOMPLETE = 1 << 10,  /* the list of its blocks has holes that are not sparse */
    FILES_RUNS_CUT = 1 << 11,    /* more runs than FILES_MAX_RUNS */
};

struct files_run {
    uint64_t offset_bytes; /* in the file */
    uint64_t lba;          /* 512-byte sectors of the space; meaningless when sparse */
    uint64_t bytes;
    bool sparse;
};
#define FILES_MAX_RUNS 65536u
#define FILES_MAX_PATH 12288u
#define FILES_MAX_ENTRIES UINT64_C(50000000)

/* One name, as far as it is known. Borrowed: valid during the callback. */
struct files_entry {
    const char *path;    /* from the root of the file system: "/dir/name" */
    const char *link;    /* target of a symbolic link, or NULL */
    uint64_t inode, parent_inode;
    uint32_t attr_type;
    uint16_t attr_id;
    char name_type, type; /* as fls shows them: r d l p c b s h w v V - */
    uint32_t flags;       /* enum files_flag */
    uint32_t mode, uid, gid, links;
    uint64_t size_bytes;
    int64_t seconds[FILES_TIMES]; /* UTC; FAT has no zone and is taken as UTC. 0: not known */
    uint32_t nanoseconds[FILES_TIMES];
    int64_t deleted_seconds;      /* ext: deletion time */
    const struct files_run *runs; /* where asked for */
    size_t run_count;
};

/* Return non-zero to stop; the call then returns that value (make it positive). */
typedef int files_entry_fn(void *arg, const struct files_entry *entry);

enum files_list_flag {
    FILES_LIST_RECURSE = 1 << 0,
    FILES_LIST_DELETED = 1 << 1,
    FILES_LIST_RUNS = 1 << 2,
    FILES_LIST_FILE_NAMES = 1 << 3, /* NTFS: also one entry for each $FILE_NAME attribute */
    FILES_LIST_DOTS = 1 << 4,
};
/* List a directory (or one file). `path`: "/dir/name", "/dir/name:stream" or "inode:N".
 * At most `limit` entries (0: FILES_MAX_ENTRIES), then -EOVERFLOW. ENOENT: no such path. */
int files_list(struct files_fs *fs, const char *path, unsigned flags, uint64_t limit, files_entry_fn *fn, void *arg,
               struct chv_err *err);

/* One file with its runs; fn is called once (per attribute with `attributes`). */
int files_stat(struct files_fs *fs, const char *path, files_entry_fn *fn, void *arg, struct chv_err *err);

/* Content in order of offset; holes are left out. Return non-zero to stop. */
typedef int files_data_fn(void *arg, uint64_t offset, const void *data, size_t bytes);
/* Read the content of one file: fn gets what is stored, *size_bytes (may be NULL) the length.
 * `deleted` accepts a deleted file. EISDIR, ENOENT, EIO (blocks that cannot be had). */
int files_read(struct files_fs *fs, const char *path, bool deleted, files_data_fn *fn, void *arg,
               uint64_t *size_bytes, struct chv_err *err);

/* A range of the image in 512-byte sectors. */
struct lba_range {
    uint64_t lba, sectors;
};
/* Which files own these ranges: one entry for every file (attribute) whose content touches one of
 * them, its runs cut down to those that do. Allocated and deleted files; a name is "" where only the
 * inode is known. At most 1 million ranges. */
int files_owners(struct files_fs *fs, const struct lba_range *ranges, size_t count, files_entry_fn *fn, void *arg,
                 struct chv_err *err);

/* Reads done so far, and whether the image failed to answer some (then what was parsed may be short). */
struct files_reads {
    uint64_t reads, bytes, failed;
};
void files_fs_reads(const struct files_fs *fs, struct files_reads *out);

#endif

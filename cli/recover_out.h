/* Where recovered files go: a directory that hostile names cannot lead out of. */
#ifndef CHV_CLI_RECOVER_OUT_H
#define CHV_CLI_RECOVER_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "timeline/files.h"

/* Every part of a relative path must be a plain name: not empty, not "." or "..", at most 255 bytes.
 * Returns NULL, or what is wrong with it. */
const char *recover_path_fault(const char *relative);
/* A symbolic link at `relative` may be made only if its target stays below the directory. */
bool recover_link_is_safe(const char *relative, const char *target);

/* Open the directory that `relative` (checked) lies in, below dir_fd, making directories on the way; symbolic
 * links are never followed. Returns a descriptor and *name (points into relative), or -errno. */
int recover_parent(int dir_fd, const char *relative, const char **name);

/* A file being written: sparse where the source was, with the SHA-256 of its whole content. */
struct recover_file;
/* Create `name` in dir_fd; -EEXIST when there is something already: nothing is ever overwritten. */
int recover_file_create(int dir_fd, const char *name, struct recover_file **out);
/* A files_data_fn; arg is the struct recover_file. Stops (returns 1) on a write error. */
int recover_file_data(void *arg, uint64_t offset, const void *data, size_t bytes);
/* Finish with the size, mode and times of `e`; close and free. 0 or -errno of the first failed write. */
int recover_file_finish(struct recover_file *file, uint64_t size_bytes, const struct files_entry *e, uint8_t sha256[32]);
/* Close, free and remove what was written. */
void recover_file_abandon(struct recover_file *file);
/* -errno of a write that failed, or 0. */
int recover_file_error(const struct recover_file *file);

/* mode (without set-user-ID and the like) and times of `e` for what is open as fd */
void recover_apply(int fd, const struct files_entry *e);

#endif

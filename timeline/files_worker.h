/* The worker's side: everything that touches The Sleuth Kit. One worker, one thread, one image. */
#ifndef CHV_TIMELINE_FILES_WORKER_H
#define CHV_TIMELINE_FILES_WORKER_H

#include <tsk/libtsk.h>

#include "timeline/files_wire.h"

#define WORKER_PAGE_BYTES 4096u
#define WORKER_PAGES 4096u
#define WORKER_SECTOR 512u

/* Blocks of the file system whose current content lies elsewhere: in its journal. Sorted by block. */
struct overlay_entry {
    uint64_t block;   /* of the file system */
    uint64_t offset;  /* in the image */
    uint32_t sequence;
    bool escaped;     /* the journal's copy has its first four bytes zeroed */
};

struct worker {
    TSK_IMG_INFO img; /* first: The Sleuth Kit hands this pointer back */
    int socket;
    void *window;
    uint64_t size_bytes;
    uint64_t page_of[WORKER_PAGES]; /* page number + 1, 0: empty; direct-mapped */
    unsigned char *pages;
    uint64_t next_page;     /* after the last fetch */
    uint32_t touched_in[WORKER_PAGES]; /* the request in which the page in this slot was last used */
    uint32_t request;
    uint64_t touched[1024]; /* pages used in this request and not told yet */
    uint32_t touched_count;
    uint64_t failed;        /* reads the image refused since the request began */
    char failed_text[200];
    struct wire_open options;
    TSK_FS_INFO *fs;
    struct overlay_entry *overlay;
    size_t overlay_count;
    uint64_t overlay_base;  /* of the file system in the image */
    uint32_t overlay_block_bytes;
    uint32_t replayed;
    struct files_run *runs; /* room for the runs of one entry */
    uint64_t emitted, limit;
    bool stopped;           /* an answer could not be sent: the caller is gone */
    char text[400];         /* reason of a negative result */
};

/* Raw bytes of the image, past the overlay; 0 or -EIO (noted in failed). */
int worker_image_read(struct worker *w, uint64_t offset, void *buf, size_t bytes);
/* The read function of the TSK image. */
ssize_t worker_tsk_read(TSK_IMG_INFO *img, TSK_OFF_T offset, char *buf, size_t bytes);
int worker_send(struct worker *w, uint32_t type, const void *a, size_t a_bytes, const void *b, size_t b_bytes);
/* Note why, return -code. */
int worker_fail(struct worker *w, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with The Sleuth Kit's own words. */
int worker_fail_tsk(struct worker *w, int code, const char *what);

/* files_volume.c */
int worker_volumes(struct worker *w);
int worker_open(struct worker *w, const struct wire_open *options);

/* files_journal.c: make the overlay from the journal of w->fs (ext3/4); *needed tells whether there is one. */
int worker_replay(struct worker *w, bool *needed);

/* files_entry.c */
struct worker_target {
    TSK_INUM_T inode, parent;
    TSK_FS_NAME_FLAG_ENUM name_flags;
    TSK_FS_NAME_TYPE_ENUM name_type;
    uint32_t attr_type;
    int attr_id;      /* -1: the default attribute */
    bool is_path;
    char stream[512]; /* NTFS: ":name" */
    char path[FILES_MAX_PATH];
};
int worker_resolve(struct worker *w, const char *path, struct worker_target *target);
/* The attribute that holds the content `target` means; NULL when there is none. */
const TSK_FS_ATTR *worker_attr(const struct worker_target *target, TSK_FS_FILE *file);
/* Send one entry. `ranges` cut the runs down to those that touch one of them (sorted, disjoint). */
int worker_emit(struct worker *w, const char *path, TSK_FS_FILE *file, const TSK_FS_ATTR *attr, bool runs,
                const struct lba_range *ranges, size_t range_count);
/* NTFS may have lost part of the list of a file's runs. (In ext4 a gap in the list is a hole in the file.) */
bool worker_run_missing(const struct worker *w, const TSK_FS_ATTR_RUN *r);
bool worker_touches(const struct worker *w, const TSK_FS_ATTR *attr, const struct lba_range *ranges, size_t count);

/* files_walk.c */
int worker_list(struct worker *w, const struct wire_request *request, const char *path);
int worker_stat(struct worker *w, const char *path);
int worker_read(struct worker *w, const char *path, bool deleted);
int worker_owners(struct worker *w, const struct lba_range *ranges, size_t count);

#endif

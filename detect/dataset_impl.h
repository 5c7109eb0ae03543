/* Of dataset*.c only. */
#ifndef CHV_DETECT_DATASET_IMPL_H
#define CHV_DETECT_DATASET_IMPL_H

#include "detect/dataset.h"

#define DATASET_COMPLAINTS_KEPT 20

struct dataset {
    char *dir;
    struct dataset_run *runs; /* sorted by path */
    size_t count, room, folders;
    char *complaint[DATASET_COMPLAINTS_KEPT];
    size_t complaints; /* also those that were not kept */
};
void dataset_run_fini(struct dataset_run *run);
char *dataset_path(const char *dir, const char *name); /* malloc'd; NULL: out of memory */
/* Note what is left out, in one line. */
void dataset_complain(struct dataset *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A table's file while it is read: NAME.csv, or NAME.zip or NAME.csv.zip with NAME.csv in it, as the authors publish the
 * large ones. */
struct dataset_file {
    int fd;
    struct archive *zip; /* NULL: plain text */
    char *name;          /* what messages call it */
};

/* dataset_read of a run with a store (corpus_read.c). */
int corpus_read(const struct dataset *d, const struct dataset_run *run, const struct dataset_options *options, dataset_access_fn *fn,
                void *arg, struct dataset_report *report, struct chv_err *err);

/* Is there a table called `name` ("ata_read") in a run's folder? */
bool dataset_file_exists(int folder_fd, const char *name);
/* Open it in the folder of `run`. Only files are opened, nothing that could wait for ever. ENOENT: there is none;
 * EBADMSG: a zip file that is none, or without the table. */
int dataset_file_open(const struct dataset *d, const struct dataset_run *run, const char *name, struct dataset_file *out,
                      struct chv_err *err);
void dataset_file_close(struct dataset_file *file);
/* A table_read_fn; `source` is a struct dataset_file. */
long dataset_file_read(void *source, void *buf, size_t room, struct chv_err *err);

#endif

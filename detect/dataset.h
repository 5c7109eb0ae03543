/* Published data sets of storage access patterns, as accesses: RanSAP (doi:10.1016/j.fsidi.2021.301314) and the storage side
 * of RanSMAP (doi:10.1016/j.cose.2024.104202).
 * Streaming: one run at a time, one second of it in memory. A data set is hostile input. */
#ifndef CHV_DETECT_DATASET_H
#define CHV_DETECT_DATASET_H

#include <stdbool.h>
#include <stddef.h>

#include "chronovisor/err.h"
#include "detect/access.h"

struct dataset_run {
    char *path;                 /* relative to the data set's folder: "dataset/original/win7-250gb-hdd/Cerber/RUN" */
    char *condition, *family;   /* "win7-250gb-hdd", "Cerber"; RanSMAP: "i3-gen12-ddr4-2133-16g", "Firefox_Conti" */
    bool has_reads, has_writes;
    bool ransomware;            /* anything but Zip, AESCrypt, SDelete, Excel, Office, Firefox, Idle, and mixtures of them */
    /* of a corpus only, else NULL and 0; `hits` and what follows also where the manifest does not say */
    char *store;                  /* of the run's evidence, relative to the folder */
    uint64_t begin_ns, finish_ns; /* when the program ran, in the events' time */
    char *hits;                   /* the table of what was hit when, relative to the folder */
    uint64_t malicious_ns;        /* right before the first change of a file of the tree */
    uint64_t tree_files, tree_bytes;
};

struct dataset;
/* Find the runs below dir (which holds `dataset/`), sorted by path. ENOENT: there are none. */
int dataset_open(const char *dir, struct dataset **out, struct chv_err *err);
/* What was left out when it was opened, because it cannot be used: how many things, and of the first ones one line each. */
size_t dataset_complaints(const struct dataset *d);
const char *dataset_complaint(const struct dataset *d, size_t index); /* NULL: not kept */
/* The same for a corpus of our own recordings (corpus/README.md): dir holds manifest.json. Its runs' families are the workloads,
 * their conditions the file systems; a run begins with its workload. A line that is no run is a complaint; EBADMSG: all of them. */
int dataset_open_corpus(const char *dir, struct dataset **out, struct chv_err *err);
void dataset_close(struct dataset *d);
size_t dataset_count(const struct dataset *d);
const struct dataset_run *dataset_run(const struct dataset *d, size_t index);

/* A change that reached the disk at malicious_ns or later: so many bytes, over so many of those that were on the disk when the
 * program began and had not been changed since, to 4 KiB. Times as in accesses. */
typedef void dataset_loss_fn(void *arg, uint64_t time_ns, uint64_t written_bytes, uint64_t overwritten_bytes);

struct dataset_options {
    bool keep_artefacts; /* do not drop rows under 512 bytes and reads of a block already read less than 1 s ago */
    bool reads_only;     /* leave the writes out even where there are some */
    uint64_t skip_ns;    /* leave out so much of the beginning, as if nobody had looked; times still count from the run's own */
    bool as_encrypted;   /* as an encrypted disk would show it (cipher.h) */
    dataset_loss_fn *loss; /* or NULL; whatever else is left out, it is called for every change, after the accesses before it */
    void *loss_arg;
};

/* What was wrong with a run, and what was done about it. */
struct dataset_report {
    uint64_t rows, accesses;            /* read; passed on */
    uint64_t unsorted, small, rereads;  /* rows put in order; dropped as artefacts */
    uint64_t malformed;                 /* lines that are no rows: each is in `first_malformed` or counted, and dropped */
    char first_malformed[200];          /* file, line, reason */
};

typedef int dataset_access_fn(void *arg, const struct access *a); /* not 0: stop, and return that */
/* Pass a run's accesses in order of time, counted from 0 at its first row. -EBADMSG: a file is no such table at all, or
 * it has absurdly many rows in one second. `options` may be NULL (none), `report` too; it is also filled on failure. */
int dataset_read(const struct dataset *d, size_t index, const struct dataset_options *options, dataset_access_fn *fn, void *arg,
                 struct dataset_report *report, struct chv_err *err);

/* How far a program had come, as it said itself (a corpus's hits table). */
struct hit {
    uint64_t time_ns; /* as in the manifest */
    uint64_t files, bytes;
};
struct hits {
    struct hit *list; /* in order of time; nothing in it ever goes back */
    size_t count;
};
#define HITS_MAX (1u << 18) /* reports: 14 hours of five a second */

/* 0 with count 0: the run has no such table, or an empty one. EBADMSG: file, line, reason. */
int dataset_hits(const struct dataset *d, const struct dataset_run *run, struct hits *out, struct chv_err *err);
void hits_fini(struct hits *h);
/* The first report at this time or later, else the last: never too little. NULL: there is none. */
const struct hit *hits_at(const struct hits *h, uint64_t time_ns);
/* The same by bytes. */
const struct hit *hits_at_bytes(const struct hits *h, uint64_t bytes);

#endif

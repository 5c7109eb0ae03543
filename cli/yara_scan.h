/* YARA over newly written blocks: each block, and the contiguous blocks of one request together. */
#ifndef CHV_CLI_YARA_SCAN_H
#define CHV_CLI_YARA_SCAN_H

#include "chronovisor/store.h"

#define YARA_RUN_BLOCKS 256u     /* most that is joined */
#define YARA_SCAN_SECONDS 5      /* of one scan; one that takes longer is counted, and goes on with the next */

struct yara_scan;
/* A rule matched: `first` and `last` are the events of the run it is in. */
typedef void yara_match_fn(void *arg, const char *rule, const struct chv_event *first, const struct chv_event *last);

/* Rules as yara_rules_load takes them. */
int yara_scan_new(const char *path, uint32_t block_bytes, yara_match_fn *fn, void *arg, struct yara_scan **out,
                  struct chv_err *err);
void yara_scan_free(struct yara_scan *y);
/* A WRITE event; scanned as soon as its run is over. */
void yara_scan_write(struct yara_scan *y, const struct chv_store *store, const struct chv_event *e);
/* The run is over: before the store is refreshed, and at the end. */
void yara_scan_flush(struct yara_scan *y, const struct chv_store *store);

struct yara_counts {
    uint64_t blocks, scans, timeouts, unreadable;
};
void yara_scan_counts(const struct yara_scan *y, struct yara_counts *out);

#endif

/* Keeping a store honest: proving it whole, pinning its head, rebuilding what is derived, dropping the past. */
#ifndef CHRONOVISOR_MAINTAIN_H
#define CHRONOVISOR_MAINTAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

/* Called now and then; total 0 means unknown. */
typedef void chv_progress_fn(void *arg, const char *what, uint64_t done, uint64_t total);

/* Rebuild STORE/index from log and packs. Needs the writer lock (EBUSY while recorded into).
 * Memory: entries of about a million events are sorted at a
 * time, whatever the log's length (107 MiB measured at 10 million events). */
int chv_store_reindex(const char *dir, chv_progress_fn *progress, void *arg, struct chv_err *err);

/* --- verify -------------------------------------------------------------------------------------- */

/* One fault: what is wrong, in which file, at which byte or seq. */
typedef void chv_fault_fn(void *arg, const char *text);

struct chv_verify_options {
    const char *checkpoint;   /* path of a checkpoint to hold the log against; NULL: STORE/checkpoint if there is one */
    const uint8_t *public_key;/* 32 bytes every signature must be by; NULL: the one in store.json */
    bool quick;               /* log, custody and structure only: do not read the packs' content */
    chv_fault_fn *fault;
    void *fault_arg;
    chv_progress_fn *progress;
    void *progress_arg;
};

struct chv_verify_result {
    uint64_t faults;
    uint64_t segments, events, packs, blocks, custody_lines;
    uint64_t signatures;       /* good ones */
    uint64_t checkpoint_seq;   /* the log was held against a checkpoint at this seq; 0: none was given or found */
    uint64_t head_seq;
    uint8_t head_digest[32];   /* of the last COMMIT */
    uint64_t ignored_bytes;    /* behind the last COMMIT: never acknowledged */
};

/* Check chain, signatures, packs, index, custody log. 0 when the check could be made (see result->faults). */
int chv_store_verify(const char *dir, const struct chv_verify_options *options, struct chv_verify_result *result,
                     struct chv_err *err);

/* --- checkpoint ------------------------------------------------------------------------------------ */

#define CHV_CHECKPOINT_BYTES 1024
/* The text of docs/format.md "Checkpoint" for what is durable now. Also kept as STORE/checkpoint.
 * `signing_key`: path, or NULL for the store's own (no signature when the store has none). */
int chv_store_checkpoint(const char *dir, const char *signing_key, char text[CHV_CHECKPOINT_BYTES], struct chv_err *err);

/* --- prune ------------------------------------------------------------------------------------------ */

struct chv_prune_result {
    uint64_t from_seq;                       /* views are exact from here on */
    uint64_t dropped_events, kept_events;    /* kept: older ones that later views need */
    uint64_t dropped_blocks, freed_bytes;
};

/* Drop history before `seq`; every view from it on stays exact. Appends a PRUNE event first.
 * Needs the writer lock. ENOENT when there is nothing to drop. Safe to interrupt: what is left is whole. */
int chv_store_prune(const char *dir, uint64_t seq, chv_progress_fn *progress, void *arg,
                    struct chv_prune_result *result, struct chv_err *err);

#endif

/* Features of a stream of accesses, one row a tick. Streaming, in bounded memory, one space each.
 *
 * A tick ends a second after it began; with sets that say so (feature_set_fill) also as soon as so many pieces were accessed, so
 * that a fast disk is not judged later, in bytes, than a slow one, and never by more a tick than was learned from. Its row's values
 * look back over the windows that their names say (w1, w5, w10, w30: ticks). A row says nothing of absolute addresses. The same
 * accesses give the same bits wherever they come from. */
#ifndef CHV_DETECT_FEATURES_H
#define CHV_DETECT_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

#include "detect/access.h"

#define FEATURES_MAX 128
#define FEATURES_TICK_NS UINT64_C(1000000000)
#define FEATURES_ACTIVE_BYTES (64u << 10) /* a tick with as much traffic is active */
#define FEATURES_REACH_TICKS 60u          /* after that much silence a row would be of nothing: none is made */

/* PAPER: the five of the RanSAP papers. DEFAULT: few, of what encrypting files must do, for streams of reads and writes.
 * READ: the same of reads alone, for streams (or data sets) that have nothing else. WIDE: rates and shares of all kinds;
 * best on programs that were learnt, worst on others. CONTENT: what became of contents, and how much; little of where a file system
 * puts them, which another does otherwise. */
enum feature_set { FEATURES_PAPER, FEATURES_DEFAULT, FEATURES_READ, FEATURES_WIDE, FEATURES_CONTENT, FEATURE_SETS };

/* Names are stable: models are trained by them. NULL for an unknown set or index. */
const char *feature_set_name(enum feature_set set);
/* A tick is full with so many pieces of at most a block. UINT32_MAX: ticks are seconds. */
unsigned feature_set_fill(enum feature_set set);
int feature_set_find(const char *name); /* or -1 */
size_t features_count(enum feature_set set);
const char *features_name(enum feature_set set, size_t index);
/* 1: no model should think a row safer because this is more; -1: because it is less; 0: it may go either way. */
int features_monotone(enum feature_set set, size_t index);
/* How much further than the harmless programs a model knows may another go before it is ransomware? In the unit of the
 * monotone features, octaves. */
double features_margin(enum feature_set set);

struct feature_row {
    uint64_t end_ns;                   /* of the tick, in the accesses' time */
    uint64_t read_bytes, write_bytes;  /* of the tick; discards count as writes of nothing */
    bool active;
    bool encrypted;                    /* the disk, by all that was seen of it until then (cipher.h) */
    double x[FEATURES_MAX];            /* features_count() of them, all finite */
};

/* `row` is the callee's until it returns. */
typedef void feature_row_fn(void *arg, const struct feature_row *row);

struct features;
/* NULL: out of memory. */
struct features *features_new(enum feature_set set);
void features_free(struct features *f);
/* Take an access; calls fn first for every tick that ended before it. An access of an earlier time counts as now. */
void features_push(struct features *f, const struct access *a, feature_row_fn *fn, void *arg);
/* Time has come to now_ns without an access: calls fn for every tick that ended by then. */
void features_advance(struct features *f, uint64_t now_ns, feature_row_fn *fn, void *arg);
/* The end of the stream: a row of the last, unfinished tick. What is pushed after it is another stream. */
void features_finish(struct features *f, feature_row_fn *fn, void *arg);
/* What one space takes, in bytes; constant. */
size_t features_memory(void);

#endif

/* One table of a data set, comma-separated, no header, sorted by second and within a second in any order:
 *
 *   seconds,ticks,lba,bytes                        RanSAP's reads (its rows are sorted as text)
 *   seconds,ticks,lba,bytes,-1,0                   RanSMAP's reads (its ticks are padded with blanks)
 *   seconds,ticks,lba,bytes,entropy,anything       writes of both
 *
 * 2^30 ticks are a second, in both, although their authors call them nanoseconds.
 *
 * Given out second by second, put in order; one second is in memory. The text is hostile: a line that is no row is
 * counted, the first is kept with its number and the reason, and none is passed over in silence. */
#ifndef CHV_DETECT_TABLE_H
#define CHV_DETECT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "detect/dataset.h"

#define TABLE_LINE_MAX 255           /* bytes; RanSAP's longest have under 100 */
#define TABLE_SECOND_MAX (1u << 20)  /* rows of one second: 4 GiB/s; the busiest second of RanSAP has 25 thousand */
#define TABLE_JUMP_MAX 86400u        /* seconds between two rows; runs take minutes */
#define TABLE_BYTES_MAX (UINT64_C(16) << 30) /* of text; tables have a few million. A small zip file can hold anything. */
#define TABLE_STRANGE_MAX 100        /* so many lines without one row: it is no such table */
#define TABLE_TICKS_PER_SECOND (UINT64_C(1) << 30)

struct table_row {
    uint64_t second, lba; /* lba below 2^48 */
    uint32_t tick, bytes; /* 1..4096 */
    uint16_t entropy;     /* 0..65535; 0 in a table without it */
};

static inline uint64_t table_row_ns(const struct table_row *row)
{
    return row->second * UINT64_C(1000000000) + (row->tick * UINT64_C(1000000000) >> 30);
}

/* Where a table's bytes come from: as many as there are, at most `room`; 0 at the end; -errno with `err` filled. */
typedef long table_read_fn(void *source, void *buf, size_t room, struct chv_err *err);

struct table;
/* `name` is what messages call it (copied); `source` and `report` are borrowed. NULL: out of memory. */
struct table *table_new(const char *name, bool entropy, table_read_fn *read, void *source, struct dataset_report *report);
void table_free(struct table *t);
/* 1 with the next row in order of time, 0 at the end, -EBADMSG: no such table, or absurdly much of it. */
int table_next(struct table *t, struct table_row *row, struct chv_err *err);

#endif

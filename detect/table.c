/* Bytes become lines, lines rows, rows whole seconds, and those are sorted. */
#include "detect/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/table_row.h"

struct table {
    char *name;
    bool entropy;
    table_read_fn *read;
    void *source;
    struct dataset_report *report;
    uint64_t bytes, line_number, good;
    bool at_end;
    struct table_row *rows; /* of one second, in order */
    size_t count, at, room;
    struct table_row ahead; /* the first row of the next second */
    bool has_ahead;
    size_t from, fill;
    char buf[1u << 16];
};

struct table *table_new(const char *name, bool entropy, table_read_fn *read, void *source, struct dataset_report *report)
{
    struct table *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->name = strdup(name);
    t->entropy = entropy;
    t->read = read;
    t->source = source;
    t->report = report;
    if (t->name) return t;
    table_free(t);
    return NULL;
}

void table_free(struct table *t)
{
    if (!t) return;
    free(t->name);
    free(t->rows);
    free(t);
}

/* 1 with the line (without its end), 0 at the end, -errno. A longer line than *room is cut, and *bytes says how long it was. */
static int read_line(struct table *t, char *line, size_t room, size_t *bytes, struct chv_err *err)
{
    bool ended = false;
    *bytes = 0;
    while (!ended) {
        if (t->from == t->fill) {
            long n = t->read(t->source, t->buf, sizeof t->buf, err);
            if (n < 0) return (int)n;
            t->bytes += (uint64_t)n;
            if (t->bytes > TABLE_BYTES_MAX)
                return chv_err_set(err, EBADMSG, "%s: more than %llu GiB of text: no table of storage accesses", t->name,
                                   (unsigned long long)(TABLE_BYTES_MAX >> 30));
            if (n == 0 && *bytes == 0) return 0;
            if (n == 0) break;
            t->from = 0;
            t->fill = (size_t)n;
        }
        const char *begin = t->buf + t->from, *end = memchr(begin, '\n', t->fill - t->from);
        size_t part = end ? (size_t)(end - begin) : t->fill - t->from;
        if (*bytes < room) memcpy(line + *bytes, begin, part < room - *bytes ? part : room - *bytes);
        *bytes += part;
        t->from += part + (end != NULL);
        ended = end != NULL;
    }
    return 1;
}

static void note_malformed(struct table *t, const char reason[80])
{
    struct dataset_report *report = t->report;
    if (report->malformed++ == 0)
        snprintf(report->first_malformed, sizeof report->first_malformed, "%.95s:%llu: %s", t->name,
                 (unsigned long long)t->line_number, reason);
}

/* The next row of the text; 1, 0 or -errno. */
static int read_row(struct table *t, struct table_row *row, struct chv_err *err)
{
    char line[TABLE_LINE_MAX + 1], reason[80];
    size_t bytes;
    int r;
    while ((r = read_line(t, line, TABLE_LINE_MAX, &bytes, err)) > 0) {
        t->line_number++;
        if (bytes > TABLE_LINE_MAX) {
            snprintf(reason, sizeof reason, "a line of %zu bytes; rows have at most %d", bytes, TABLE_LINE_MAX);
        } else {
            if (bytes > 0 && line[bytes - 1] == '\r') bytes--;
            line[bytes] = 0;
            if (table_row_parse(line, bytes, t->entropy, row, reason)) {
                t->good++;
                t->report->rows++;
                return 1;
            }
        }
        note_malformed(t, reason);
        if (t->good == 0 && t->line_number >= TABLE_STRANGE_MAX) break;
    }
    if (r < 0) return r;
    if (t->good == 0 && t->line_number > 0)
        return chv_err_set(err, EBADMSG, "%s: no table of storage accesses: none of its first %llu lines is a row; first: %s", t->name,
                           (unsigned long long)t->line_number, t->report->first_malformed);
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct table_row *x = a, *y = b;
    if (x->tick != y->tick) return x->tick < y->tick ? -1 : 1;
    /* pieces of one command with one time stamp: the lower address came first */
    return x->lba < y->lba ? -1 : x->lba > y->lba;
}

/* The next row that is not before `second`, which would turn time back, nor far behind it, where one wrong row would make
 * everything after it wrong. */
static int read_row_in_order(struct table *t, uint64_t second, struct table_row *row, struct chv_err *err)
{
    int r;
    while ((r = read_row(t, row, err)) > 0 && (row->second < second || row->second - second > TABLE_JUMP_MAX)) {
        char reason[80];
        snprintf(reason, sizeof reason, "second %llu after second %llu: %s", (unsigned long long)row->second,
                 (unsigned long long)second, row->second < second ? "back in time" : "more than a day later");
        t->report->rows--;
        note_malformed(t, reason);
    }
    return r;
}

static int keep_row(struct table *t, const struct table_row *row, struct chv_err *err)
{
    if (t->count == t->room) {
        if (t->room >= TABLE_SECOND_MAX)
            return chv_err_set(err, EBADMSG, "%s:%llu: more than %u rows in second %llu: no disk does that", t->name,
                               (unsigned long long)t->line_number, TABLE_SECOND_MAX, (unsigned long long)row->second);
        size_t room = t->room ? 2 * t->room : 4096;
        struct table_row *grown = realloc(t->rows, room * sizeof *grown);
        if (!grown) return chv_err_set(err, ENOMEM, "out of memory");
        t->rows = grown;
        t->room = room;
    }
    t->rows[t->count++] = *row;
    return 0;
}

/* The rows of the next second, in order; 1, 0 or -errno. */
static int load_second(struct table *t, struct chv_err *err)
{
    uint32_t latest = 0;
    uint64_t late = 0;
    int r;
    t->at = t->count = 0;
    if (!t->has_ahead && !t->at_end) {
        r = read_row(t, &t->ahead, err);
        if (r < 0) return r;
        t->has_ahead = r > 0;
        t->at_end = r == 0;
    }
    if (!t->has_ahead) return 0;
    struct table_row row = t->ahead;
    t->has_ahead = false;
    do {
        r = keep_row(t, &row, err);
        if (r < 0) return r;
        late += row.tick < latest;
        if (row.tick > latest) latest = row.tick;
        r = read_row_in_order(t, t->rows[0].second, &row, err);
        if (r < 0) return r;
    } while (r > 0 && row.second == t->rows[0].second);
    t->has_ahead = r > 0;
    t->at_end = r == 0;
    if (r > 0) t->ahead = row;
    t->report->unsorted += late;
    qsort(t->rows, t->count, sizeof *t->rows, compare_rows);
    return 1;
}

int table_next(struct table *t, struct table_row *row, struct chv_err *err)
{
    if (t->at == t->count) {
        int r = load_second(t, err);
        if (r <= 0) return r;
    }
    *row = t->rows[t->at++];
    return 1;
}

/* Two passes over the events: the range, then the bins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "search/plot/plot.h"

#define HEAT_MARGIN 64u /* sectors shown around what was touched */

/* What the first pass learns. */
struct scan {
    uint64_t first_ns, last_ns, lba, end_lba, live, found;
};

typedef void plot_event_fn(void *arg, const struct chv_event *event);

static bool is_live(uint8_t op)
{
    return op == CHV_OP_WRITE || op == CHV_OP_READ || op == CHV_OP_ZERO || op == CHV_OP_TRIM;
}

/* As which operation an event is drawn: a write of which only the entropy is known is one. */
static uint8_t drawn_op(const struct chv_event *e)
{
    return chv_event_unkept(e) ? CHV_OP_WRITE : e->op;
}

/* Every event of the space in the range, in order. `pass` of 2 is for the progress only. */
static int walk(const struct chv_store *store, const struct plot_options *o, unsigned pass, plot_event_fn *fn, void *arg,
                struct chv_err *err)
{
    struct chv_cursor *cursor;
    int r = chv_cursor_open(store, o->from_seq, o->to_seq, &cursor, err);
    if (r < 0) return r;
    const struct chv_event *events;
    size_t count;
    uint64_t range = o->to_seq - o->from_seq + 1;
    while ((r = chv_cursor_next(cursor, &events, &count, err)) == 1) {
        for (size_t i = 0; i < count; i++)
            if (events[i].space == o->space || events[i].op == CHV_OP_FLUSH) fn(arg, &events[i]);
        if (o->progress && count > 0)
            o->progress(o->progress_arg, pass * range + events[count - 1].seq - o->from_seq + 1, 2 * range);
    }
    chv_cursor_close(cursor);
    return r;
}

static void scan_event(void *arg, const struct chv_event *e)
{
    struct scan *s = arg;
    uint8_t op = drawn_op(e);
    bool live = is_live(op);
    if (!live && e->op != CHV_OP_FOUND && e->op != CHV_OP_GAP) return;
    if (s->live + s->found == 0 || e->time_ns < s->first_ns) s->first_ns = e->time_ns;
    if (e->time_ns > s->last_ns) s->last_ns = e->time_ns;
    s->live += live;
    s->found += !live;
    if (op != CHV_OP_WRITE && op != CHV_OP_READ && op != CHV_OP_FOUND) return;
    uint64_t lba = chv_event_lba(e);
    if (lba < s->lba) s->lba = lba;
    if (lba + e->sectors > s->end_lba) s->end_lba = lba + e->sectors;
}

/* The whole space, unless what was touched is less than a quarter of it. */
static void choose_addresses(struct plot *p, const struct scan *s)
{
    p->lba = 0;
    p->end_lba = p->space_sectors;
    if (s->end_lba <= s->lba) return;
    if (s->end_lba > p->end_lba) p->end_lba = s->end_lba;
    uint64_t touched = s->end_lba - s->lba;
    if (touched >= p->end_lba / 4) return;
    uint64_t margin = touched / 20 + HEAT_MARGIN;
    p->lba = s->lba > margin ? s->lba - margin : 0;
    if (s->end_lba + margin < p->end_lba) p->end_lba = s->end_lba + margin;
    p->zoomed = true;
}

static size_t column_of(const struct plot *p, uint64_t time_ns)
{
    if (time_ns <= p->from_ns) return 0;
    double at = (double)(time_ns - p->from_ns) / (double)(p->to_ns - p->from_ns) * (double)p->columns;
    return at >= (double)p->columns ? p->columns - 1 : (size_t)at;
}

/* Spread the bytes of [lba, end) over the rows of one column, or (without heat) mark them. */
static void paint(struct plot *p, size_t column, uint64_t lba, uint64_t end, float *heat, uint8_t mark)
{
    if (lba < p->lba) lba = p->lba;
    if (end > p->end_lba) end = p->end_lba;
    if (lba >= end) return;
    double per_row = (double)(p->end_lba - p->lba) / (double)p->rows;
    double first = (double)(lba - p->lba) / per_row, last = (double)(end - p->lba) / per_row;
    for (size_t row = (size_t)first; row < p->rows && (double)row < last; row++) {
        double low = first > (double)row ? first : (double)row;
        double high = last < (double)(row + 1) ? last : (double)(row + 1);
        if (heat) heat[row * p->columns + column] += (float)((high - low) * per_row * CHV_SECTOR_BYTES);
        else p->marks[row * p->columns + column] |= mark;
    }
}

struct collector {
    struct plot *plot;
    uint64_t unflushed_since; /* time of the first write not yet flushed, or 0 */
    uint64_t last_write;
};

static void end_unflushed(struct collector *c, uint64_t time_ns)
{
    struct plot *p = c->plot;
    if (c->unflushed_since && time_ns - c->unflushed_since > p->options.flushless_ns) {
        size_t first = column_of(p, c->unflushed_since), last = column_of(p, time_ns);
        memset(p->flushless_columns + first, 1, last - first + 1);
        p->flushless_total++;
    }
    c->unflushed_since = 0;
}

static void collect_gap(struct plot *p, const struct chv_event *e)
{
    struct chv_gap_detail detail;
    memcpy(&detail, e->hash, sizeof detail);
    uint64_t from_ns = e->time_ns, lba = chv_event_lba(e);
    if (detail.first_time_ns && detail.first_time_ns < from_ns) from_ns = detail.first_time_ns;
    p->gaps_total++;
    for (size_t column = column_of(p, from_ns); column <= column_of(p, e->time_ns); column++) {
        p->gap_columns[column] = 1;
        paint(p, column, lba, lba + e->sectors, NULL, PLOT_GAP);
    }
}

static void collect_io(struct plot *p, const struct chv_event *e, int side)
{
    size_t column = column_of(p, e->time_ns);
    uint64_t lba = chv_event_lba(e);
    uint64_t bytes = (uint64_t)e->sectors * CHV_SECTOR_BYTES;
    paint(p, column, lba, lba + e->sectors, p->heat[side], 0);
    p->bytes[side][column] += (double)bytes;
    p->total_bytes[side] += bytes;
    if (!(e->flags & CHV_EVENT_CONTINUED)) {
        struct plot_moment *m = &p->moments[side][column];
        m->n++;
        double d = (double)lba - m->mean;
        m->mean += d / m->n;
        m->m2 += d * ((double)lba - m->mean);
        p->requests[side]++;
    }
    if (chv_op_has_content(e->op) || chv_event_unkept(e)) {
        size_t level = (size_t)e->entropy * PLOT_ENTROPY_LEVELS / 65536;
        p->entropy[level * p->columns + column]++;
        p->entropy_sum[column] += (double)e->entropy * 8 / 65535;
        p->entropy_count[column]++;
    }
}

static void collect_event(void *arg, const struct chv_event *e)
{
    struct collector *c = arg;
    struct plot *p = c->plot;
    uint64_t lba = chv_event_lba(e);
    switch (drawn_op(e)) {
    case CHV_OP_FLUSH:
        if (e->space && e->space != p->options.space) break;
        p->flushes++;
        end_unflushed(c, e->time_ns);
        break;
    case CHV_OP_WRITE:
        collect_io(p, e, PLOT_WRITE);
        if (!c->unflushed_since && strcmp(p->space_name, "ram") != 0) c->unflushed_since = e->time_ns; /* memory is not flushed */
        c->last_write = e->time_ns;
        break;
    case CHV_OP_READ:
        collect_io(p, e, PLOT_READ);
        break;
    case CHV_OP_FOUND:
        if (p->found_as_writes) collect_io(p, e, PLOT_WRITE);
        break;
    case CHV_OP_ZERO:
    case CHV_OP_TRIM:
        paint(p, column_of(p, e->time_ns), lba, lba + e->sectors, NULL, PLOT_TRIMMED);
        p->trimmed_bytes += (uint64_t)e->sectors * CHV_SECTOR_BYTES;
        break;
    case CHV_OP_GAP:
        collect_gap(p, e);
        break;
    default:
        break;
    }
}

static int plot_allocate(struct plot *p)
{
    struct plot_layout layout;
    plot_layout(p->options.width, p->options.height, &layout);
    p->columns = (size_t)layout.heat[0].w / PLOT_CELL;
    p->rows = (size_t)layout.heat[0].h / PLOT_CELL;
    bool good = true;
    for (int side = 0; side < 2; side++) {
        p->heat[side] = calloc(p->columns * p->rows, sizeof *p->heat[side]);
        p->bytes[side] = calloc(p->columns, sizeof *p->bytes[side]);
        p->moments[side] = calloc(p->columns, sizeof *p->moments[side]);
        good = good && p->heat[side] && p->bytes[side] && p->moments[side];
    }
    p->marks = calloc(p->columns * p->rows, 1);
    p->gap_columns = calloc(p->columns, 1);
    p->flushless_columns = calloc(p->columns, 1);
    good = good && p->gap_columns && p->flushless_columns;
    p->entropy = calloc(p->columns * PLOT_ENTROPY_LEVELS, sizeof *p->entropy);
    p->entropy_sum = calloc(p->columns, sizeof *p->entropy_sum);
    p->entropy_count = calloc(p->columns, sizeof *p->entropy_count);
    return good && p->marks && p->entropy && p->entropy_sum && p->entropy_count ? 0 : -ENOMEM;
}

static int plot_fill(const struct chv_store *store, struct plot *p, struct chv_err *err)
{
    struct scan scan = {.lba = UINT64_MAX};
    int r = walk(store, &p->options, 0, scan_event, &scan, err);
    if (r < 0) return r;
    if (scan.live + scan.found == 0)
        return chv_err_set(err, ENODATA, "nothing of space '%s' was recorded in this range", p->space_name);
    p->found_as_writes = scan.live == 0;
    p->from_ns = scan.first_ns;
    p->to_ns = scan.last_ns > scan.first_ns ? scan.last_ns : scan.first_ns + 1000000;
    choose_addresses(p, &scan);
    if (p->end_lba <= p->lba) p->end_lba = p->lba + 1;
    if (plot_allocate(p) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    struct collector collector = {.plot = p};
    r = walk(store, &p->options, 1, collect_event, &collector, err);
    end_unflushed(&collector, collector.last_write);
    return r;
}

int plot_new(const struct chv_store *store, const struct plot_options *options, struct plot **out,
             struct chv_err *err)
{
    const struct chv_space *space = chv_store_space_by_id(store, options->space);
    if (!space) return chv_err_set(err, ENOENT, "no space with id %u", options->space);
    struct plot *p = calloc(1, sizeof *p);
    if (!p) return chv_err_set(err, ENOMEM, "out of memory");
    p->options = *options;
    if (!p->options.flushless_ns) p->options.flushless_ns = UINT64_C(30000000000);
    memcpy(p->space_name, space->name, sizeof p->space_name);
    p->space_sectors = (space->size_bytes + CHV_SECTOR_BYTES - 1) / CHV_SECTOR_BYTES;
    p->block_bytes = chv_store_block_bytes(store);
    int r = plot_fill(store, p, err);
    if (r < 0) {
        plot_free(p);
        return r;
    }
    *out = p;
    return 0;
}

void plot_free(struct plot *p)
{
    if (!p) return;
    for (int side = 0; side < 2; side++) {
        free(p->heat[side]);
        free(p->bytes[side]);
        free(p->moments[side]);
    }
    free(p->marks);
    free(p->gap_columns);
    free(p->flushless_columns);
    free(p->entropy);
    free(p->entropy_sum);
    free(p->entropy_count);
    free(p);
}

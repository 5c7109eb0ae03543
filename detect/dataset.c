/* A run's tables merged in order of time, cleaned of artefacts, as accesses. */
#include "detect/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "detect/cipher.h"
#include "detect/content_map.h"
#include "detect/dataset_impl.h"
#include "detect/reread.h"
#include "detect/table.h"

#define COMMAND_GAP_NS 20000 /* pieces of one command are 0 to 4 µs apart; 20 µs joins them and nothing else */

/* Reads and writes of a run. */
struct side {
    struct dataset_file file;
    struct table *table; /* NULL: there is none, or it has ended */
    struct table_row row; /* its next */
    uint64_t end_lba, end_ns; /* of the last piece that was passed on: what continues it */
    bool any;
};

enum { SIDE_READ, SIDE_WRITE, SIDES };

struct reading {
    const struct dataset_options *options;
    dataset_access_fn *fn;
    void *arg;
    struct dataset_report *report;
    struct side side[SIDES];
    struct content_map *contents;
    struct reread *rereads;
    uint64_t start_ns; /* of the first row */
};

static int side_advance(struct side *s, struct chv_err *err)
{
    if (!s->table) return 0;
    int r = table_next(s->table, &s->row, err);
    if (r == 0) {
        table_free(s->table);
        s->table = NULL;
    }
    return r < 0 ? r : 0;
}

static int side_open(struct reading *rd, int side, const struct dataset *d, const struct dataset_run *run, struct chv_err *err)
{
    static const char *const names[SIDES] = {"ata_read", "ata_write"};
    struct side *s = &rd->side[side];
    int r = dataset_file_open(d, run, names[side], &s->file, err);
    if (r < 0) return r;
    s->table = table_new(s->file.name, side == SIDE_WRITE, dataset_file_read, &s->file, rd->report);
    return s->table ? side_advance(s, err) : chv_err_set(err, ENOMEM, "out of memory");
}

/* The side whose row is next, or NULL. At one time reads come first. */
static struct side *next_side(struct reading *rd)
{
    struct side *r = &rd->side[SIDE_READ], *w = &rd->side[SIDE_WRITE];
    if (!r->table || !w->table) return r->table ? r : w->table ? w : NULL;
    return table_row_ns(&w->row) < table_row_ns(&r->row) ? w : r;
}

/* Rows to leave out: what only the set-up of the recording made. */
static bool is_artefact(struct reading *rd, const struct access *a, uint32_t bytes)
{
    if (rd->options->keep_artefacts) return false;
    if (bytes < 512) {
        rd->report->small++;
        return true;
    }
    if (a->kind != ACCESS_READ || !reread_push(rd->rereads, a->time_ns, a->lba, a->sectors)) return false;
    rd->report->rereads++;
    return true;
}

static void add_entropies(struct reading *rd, struct access *a, uint16_t entropy)
{
    a->flags |= ACCESS_ENTROPY;
    a->entropy = entropy;
    if (content_map_get(rd->contents, a->lba, a->sectors, &a->old_entropy)) a->flags |= ACCESS_OLD_ENTROPY;
    content_map_set(rd->contents, a->lba, a->sectors, entropy);
}

static int pass_row(struct reading *rd, struct side *s)
{
    uint64_t now = table_row_ns(&s->row) - rd->start_ns;
    bool write = s == &rd->side[SIDE_WRITE];
    struct access a = {.time_ns = now,
                       .lba = s->row.lba,
                       .sectors = (s->row.bytes + 511) / 512,
                       .kind = write ? ACCESS_WRITE : ACCESS_READ};
    if (now < rd->options->skip_ns || is_artefact(rd, &a, s->row.bytes)) return 0;
    if (write) add_entropies(rd, &a, s->row.entropy);
    if (s->any && s->end_lba == a.lba && now - s->end_ns <= COMMAND_GAP_NS) a.flags |= ACCESS_CONTINUED;
    s->any = true;
    s->end_lba = a.lba + a.sectors;
    s->end_ns = now;
    rd->report->accesses++;
    return rd->fn(rd->arg, &a);
}

static int merge(struct reading *rd, struct chv_err *err)
{
    struct side *s = next_side(rd);
    int r = 0;
    if (s) rd->start_ns = table_row_ns(&s->row);
    for (; s && r == 0; s = next_side(rd)) {
        r = pass_row(rd, s);
        if (r == 0) r = side_advance(s, err);
    }
    return r;
}

struct viewing {
    dataset_access_fn *fn;
    void *arg;
};

static int pass_view(void *arg, const struct access *a)
{
    const struct viewing *v = arg;
    struct access own = *a;
    return cipher_view(&own) ? v->fn(v->arg, &own) : 0;
}

int dataset_read(const struct dataset *d, size_t index, const struct dataset_options *options, dataset_access_fn *fn, void *arg,
                 struct dataset_report *report, struct chv_err *err)
{
    static const struct dataset_options defaults;
    struct viewing viewing = {fn, arg};
    if (options && options->as_encrypted) {
        fn = pass_view;
        arg = &viewing;
    }
    struct dataset_report own;
    const struct dataset_run *run = dataset_run(d, index);
    struct reading rd = {.options = options ? options : &defaults, .fn = fn, .arg = arg, .report = report ? report : &own};
    rd.side[SIDE_READ].file.fd = rd.side[SIDE_WRITE].file.fd = -1;
    memset(rd.report, 0, sizeof *rd.report);
    if (!run) return chv_err_set(err, EINVAL, "there is no run %zu; there are %zu", index, d->count);
    if (run->store) return corpus_read(d, run, rd.options, fn, arg, rd.report, err);
    rd.contents = content_map_new(CONTENT_MAP_BITS);
    rd.rereads = reread_new();
    int r = rd.contents && rd.rereads ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0 && run->has_reads) r = side_open(&rd, SIDE_READ, d, run, err);
    if (r == 0 && run->has_writes && !rd.options->reads_only) r = side_open(&rd, SIDE_WRITE, d, run, err);
    if (r == 0) r = merge(&rd, err);
    for (int i = 0; i < SIDES; i++) {
        table_free(rd.side[i].table);
        dataset_file_close(&rd.side[i].file);
    }
    content_map_free(rd.contents);
    reread_free(rd.rereads);
    return r;
}

/* A run of a corpus: its store's log as accesses, and what its program did to the disk. */
#include <errno.h>
#include <stdlib.h>

#include "detect/dataset_impl.h"
#include "detect/follow.h"

#define TAIL_NS UINT64_C(10000000000) /* looked at after the workload has finished */
#define BLOCK_SECTORS 8u
#define STAND_BLOCKS_MAX (UINT64_C(1) << 28) /* of a disk of 1 TiB, in 32 MiB */

struct reading {
    const struct dataset_run *run;
    const struct dataset_options *options;
    dataset_access_fn *fn;
    void *arg;
    struct dataset_report *report;
    const struct chv_store *store;
    int stopped;     /* by fn */
    uint64_t during; /* accesses while the program ran */
    /* What stood on the disk when the program began and has not been changed since: a bit a block of 4 KiB, of the first space
     * that is changed. A run has one disk. */
    uint8_t *stand;
    uint64_t blocks;
    uint16_t space;
};

static int stand_new(struct reading *rd, uint16_t space, struct chv_err *err)
{
    const struct chv_space *s = chv_store_space_by_id(rd->store, space);
    uint64_t bytes = s ? s->size_bytes : 0;
    rd->blocks = bytes / (BLOCK_SECTORS * CHV_SECTOR_BYTES);
    rd->space = space;
    if (rd->blocks > STAND_BLOCKS_MAX)
        return chv_err_set(err, EFBIG, "%.300s: a disk of more than 1 TiB, whose losses are not counted", rd->run->store);
    rd->stand = calloc(1, (size_t)rd->blocks / 8 + 1);
    return rd->stand ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

/* Set or clear the bits of what an access covers; how many were set. A long range costs at most a pass over the bytes. */
static uint64_t stand_set(struct reading *rd, const struct access *a, bool value)
{
    uint64_t at = a->lba / BLOCK_SECTORS, end = (a->lba + a->sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS, were = 0;
    if (end > rd->blocks) end = rd->blocks;
    while (at < end) {
        bool whole = at % 8 == 0 && end - at >= 8;
        unsigned mask = whole ? 0xff : 1u << at % 8, byte = rd->stand[at / 8];
        were += (uint64_t)__builtin_popcount(byte & mask);
        rd->stand[at / 8] = (uint8_t)(value ? byte | mask : byte & ~mask);
        at += whole ? 8 : 1;
    }
    return were;
}

/* A change, whether it is passed on or not. */
static int note_change(struct reading *rd, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    const struct dataset_run *run = rd->run;
    int r = rd->stand ? 0 : stand_new(rd, e->space, err);
    if (r < 0 || e->space != rd->space) return r;
    uint64_t changed = stand_set(rd, a, a->kind == ACCESS_WRITE && a->time_ns < run->begin_ns);
    if (a->time_ns >= run->malicious_ns && a->time_ns < run->finish_ns + TAIL_NS)
        rd->options->loss(rd->options->loss_arg, a->time_ns - run->begin_ns,
                          a->kind == ACCESS_WRITE ? (uint64_t)a->sectors * CHV_SECTOR_BYTES : 0,
                          changed * BLOCK_SECTORS * CHV_SECTOR_BYTES);
    return 0;
}

static int pass(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    struct reading *rd = arg;
    const struct dataset_run *run = rd->run;
    if (!a) return 0;
    rd->report->rows++;
    bool wanted = a->time_ns >= run->begin_ns + rd->options->skip_ns && a->time_ns < run->finish_ns + TAIL_NS &&
                  !(rd->options->reads_only && a->kind != ACCESS_READ);
    rd->during += a->time_ns >= run->begin_ns && a->time_ns < run->finish_ns;
    if (wanted) {
        struct access own = *a;
        own.time_ns -= run->begin_ns;
        rd->report->accesses++;
        rd->stopped = rd->fn(rd->arg, &own);
    }
    if (!rd->stopped && rd->options->loss && run->malicious_ns && a->kind != ACCESS_READ) return note_change(rd, e, a, err);
    return rd->stopped;
}

int corpus_read(const struct dataset *d, const struct dataset_run *run, const struct dataset_options *options, dataset_access_fn *fn,
                void *arg, struct dataset_report *report, struct chv_err *err)
{
    struct reading rd = {.run = run, .options = options, .fn = fn, .arg = arg, .report = report};
    struct chv_store *store = NULL;
    struct chv_store_info info;
    struct follow *follow = NULL;
    char *path = dataset_path(d->dir, run->store);
    int r = path ? chv_store_open(path, &store, err) : chv_err_set(err, ENOMEM, "out of memory");
    rd.store = store;
    if (r == 0) r = follow_open(store, 0, 1, &follow, err);
    if (r == 0) {
        chv_store_info(store, &info);
        r = follow_step(follow, info.last_seq, pass, &rd, err);
        follow_close(follow);
    }
    if (r == 0 && rd.during == 0 && run->ransomware) /* a machine may be idle, an attack not */
        r = chv_err_set(err, EBADMSG, "%.300s: nothing was recorded between begin_ns and finish_ns", path);
    if (store) chv_store_close(store);
    free(rd.stand);
    free(path);
    return rd.stopped ? rd.stopped : r;
}

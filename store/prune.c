/* `prune`: drop what no view from an instant on needs.
 *
 * Order, so that an interruption at any point leaves a whole store:
 *   1. a PRUNE event is recorded and the current segment sealed;
 *   2. a carry segment is written beside the log: older events that are still needed, and everything later of the
 *      segments it replaces;
 *   3. the index's manifest goes (recovery or `reindex` makes it again), the carry segment takes the place of the last
 *      segment it replaces, the earlier ones go;
 *   4. reindex; packs that are mostly dead are rewritten in place, by rename; reindex again;
 *   5. a second PRUNE event names the carry segment's digest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/recorder_impl.h"
#include "store/reindex.h"
#include "store/snapshot.h"

#define DEAD_SHARE 4 /* a pack is rewritten when at least a quarter of it is dead */

struct prune {
    struct meta meta;
    struct chv_store *store;
    uint64_t from;            /* views at this seq and later stay exact */
    uint64_t first_seq;       /* of the log */
    size_t last;              /* segments [0, last] are replaced */
    uint8_t *needed;          /* one bit an event from first_seq to from */
    uint8_t carry_digest[32];
    struct chv_prune_result *result;
    chv_progress_fn *progress;
    void *arg;
};

static void need(struct prune *p, uint64_t seq)
{
    if (seq >= p->first_seq && seq <= p->from) p->needed[(seq - p->first_seq) / 8] |= (uint8_t)(1u << (seq - p->first_seq) % 8);
}

static bool is_needed(const struct prune *p, const struct chv_event *e)
{
    if (e->seq >= p->from) return true; /* from itself ties its time to its seq */
    if (e->op == CHV_OP_SPACE || e->op == CHV_OP_PRUNE) return true;
    return p->needed[(e->seq - p->first_seq) / 8] >> (e->seq - p->first_seq) % 8 & 1;
}

/* Mark the event that decides each block as of `from`. */
static int mark_needed(struct prune *p, struct chv_err *err)
{
    uint64_t bytes = (p->from - p->first_seq) / 8 + 1;
    p->needed = calloc(bytes, 1);
    if (!p->needed) return chv_err_set(err, ENOMEM, "prune: out of memory");
    for (size_t i = 0; i < chv_store_space_count(p->store); i++) {
        const struct chv_space *space = chv_store_space(p->store, i);
        uint64_t unit = p->meta.block_bytes, blocks = (space->size_bytes + unit - 1) / unit;
        struct chv_map *map;
        struct chv_extent e;
        if (p->progress) p->progress(p->arg, "mark", i, chv_store_space_count(p->store));
        int r = chv_map_open(p->store, space->id, 0, blocks, p->from, &map, err);
        while (r >= 0 && (r = chv_map_next(map, &e, err)) == 1)
            if (e.seq) need(p, e.seq);
        chv_map_close(map);
        if (r < 0) return r;
    }
    return 0;
}

/* Read the replaced segments once more and write what is needed to `path`. */
static int write_carry(struct prune *p, const char *path, struct chv_err *err)
{
    const struct segment *last = &p->store->segments[p->last];
    struct segment_writer w = {.meta = &p->meta, .io = &io_real, .fd = -1, .temp_path = path, .verbatim = true};
    struct chv_cursor *cursor = NULL;
    const struct chv_event *batch;
    struct signer *signer = NULL;
    uint64_t last_time = 0;
    size_t count;
    bool begun = false;
    struct chv_event *out = malloc(8192 * sizeof *out);
    int r = out ? 0 : chv_err_set(err, ENOMEM, "prune: out of memory");
    if (r == 0 && p->meta.is_signed) r = signer_load(p->meta.signing_key, &signer, err);
    w.signer = signer;
    if (r == 0) r = chv_cursor_open(p->store, p->first_seq, last->last_seq, &cursor, err);
    while (r >= 0 && (r = chv_cursor_next(cursor, &batch, &count, err)) == 1) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (!is_needed(p, &batch[i])) {
                p->result->dropped_events++;
                continue;
            }
            p->result->kept_events += batch[i].seq <= p->from;
            out[n++] = batch[i];
        }
        if (n == 0) continue;
        last_time = out[n - 1].time_ns;
        if (!begun) r = segment_create(&w, last->number, out[0].seq, SEGMENT_CARRY, last->carry ? last->prev_digest : last->digest, err);
        begun = true;
        if (r >= 0) r = segment_append(&w, out, n, err);
    }
    chv_cursor_close(cursor);
    free(out);
    if (r == 0 && !begun) r = chv_err_set(err, ENOENT, "prune: the log is empty");
    if (r == 0) r = segment_seal(&w, last->last_seq, last_time, p->carry_digest, err);
    if (w.fd >= 0) close(w.fd);
    if (r < 0) unlink(path);
    signer_free(signer);
    return r;
}

static int swap_in(struct prune *p, const char *carry, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    meta_path(&p->meta, "index/manifest", path);
    int r = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
    meta_path(&p->meta, "index", dir);
    if (r == 0) r = io_real.sync_dir(&io_real, dir);
    meta_segment_path(&p->meta, p->store->segments[p->last].number, path);
    if (r == 0) r = io_real.rename(&io_real, carry, path);
    meta_path(&p->meta, "log", dir);
    if (r == 0) r = io_real.sync_dir(&io_real, dir);
    if (r < 0) return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    for (size_t i = 0; i < p->last; i++) {
        meta_segment_path(&p->meta, p->store->segments[i].number, path);
        unlink(path);
    }
    r = io_real.sync_dir(&io_real, dir);
    return r < 0 ? chv_err_set(err, -r, "%s: %s", dir, strerror(-r)) : 0;
}

/* --- packs ------------------------------------------------------------------------------------------- */

struct pack_sweep {
    struct prune *p;
    const struct chv_store *store; /* after the swap: what is still named */
    uint64_t live_bytes, live, dead;
    int from, to;                  /* copying: descriptors */
    uint64_t offset;
};

static int weigh(void *arg, const struct pack_record *record, pack_loc loc)
{
    struct pack_sweep *s = arg;
    if (chv_store_sighting_count(s->store, record->hash) > 0) {
        s->live++;
        s->live_bytes += sizeof *record + record->stored_bytes;
    } else {
        s->dead++;
    }
    return 0;
}

static int copy_live(void *arg, const struct pack_record *record, pack_loc loc)
{
    struct pack_sweep *s = arg;
    uint8_t bytes[sizeof *record + 4096];
    size_t n = sizeof *record + record->stored_bytes;
    if (chv_store_sighting_count(s->store, record->hash) == 0) return 0;
    int r = io_pread_full(s->from, bytes, n, pack_loc_offset(loc));
    if (r == 0) r = io_real.pwrite(&io_real, s->to, bytes, n, s->offset);
    s->offset += n;
    return r;
}

/* Rewrite one pack without its dead blocks, by rename; *changed when it was. */
static int sweep_pack(struct pack_sweep *s, uint64_t number, bool *changed, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], temp[STORE_PATH_BYTES];
    struct pack_header header;
    struct stat st;
    uint64_t end;
    s->live_bytes = s->live = s->dead = 0;
    int r = pack_scan(&s->p->meta, number, 0, UINT64_MAX, false, weigh, s, &end, err);
    if (r < 0 || s->dead == 0 || s->dead * DEAD_SHARE < s->live + s->dead) return r;
    meta_pack_path(&s->p->meta, number, path);
    meta_path(&s->p->meta, "packs/sweep.tmp", temp);
    s->from = open(path, O_RDONLY | O_CLOEXEC);
    s->to = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    r = s->from < 0 || s->to < 0 || fstat(s->from, &st) < 0 ? -errno : 0;
    /* Damage would be lost by rewriting: such a pack stays as it is, for verify to name. */
    bool whole = r == 0 && end == (uint64_t)st.st_size;
    if (whole) {
        r = io_pread_full(s->from, &header, sizeof header, 0);
        if (r == 0) r = io_real.pwrite(&io_real, s->to, &header, sizeof header, 0);
        s->offset = sizeof header;
        if (r == 0) r = pack_scan(&s->p->meta, number, 0, end, true, copy_live, s, &end, err);
        if (r == 0 && end != (uint64_t)st.st_size) whole = false;
        if (r == 0 && whole && fsync(s->to) < 0) r = -errno;
        if (r == 0 && whole && fchmod(s->to, 0400) < 0) r = -errno;
        if (r == 0 && whole) r = io_real.rename(&io_real, temp, path);
        if (r == 0 && whole) {
            s->p->result->dropped_blocks += s->dead;
            s->p->result->freed_bytes += (uint64_t)st.st_size - s->offset;
            *changed = true;
        }
    }
    if (s->from >= 0) close(s->from);
    if (s->to >= 0) close(s->to);
    if (!whole || r < 0) unlink(temp);
    return r < 0 ? chv_err_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int sweep_packs(struct prune *p, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    uint64_t *numbers, count;
    bool changed = false;
    struct pack_sweep s = {.p = p, .from = -1, .to = -1};
    struct chv_store *store;
    int r = chv_store_open(p->meta.dir, &store, err);
    if (r < 0) return r;
    s.store = store;
    r = meta_list(&p->meta, "packs", ".pack", &numbers, &count, err);
    /* The manifest knows offsets: it goes before the first offset changes. The last pack is still written to. */
    meta_path(&p->meta, "index/manifest", path);
    meta_path(&p->meta, "index", dir);
    if (r == 0 && unlink(path) < 0 && errno != ENOENT) r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    if (r == 0) r = io_real.sync_dir(&io_real, dir);
    for (uint64_t i = 0; r == 0 && i + 1 < count; i++) {
        if (p->progress) p->progress(p->arg, "packs", i, count);
        r = sweep_pack(&s, numbers[i], &changed, err);
    }
    meta_path(&p->meta, "packs", dir);
    if (r == 0 && changed) r = io_real.sync_dir(&io_real, dir);
    free(numbers);
    chv_store_close(store);
    int again = reindex_locked(&p->meta, &io_real, p->progress, p->arg, r < 0 ? NULL : err);
    return r < 0 ? r : again;
}

/* --- the whole ---------------------------------------------------------------------------------------- */

/* Before: say in the log what is going to be dropped, and close the segment that says it (`carry` NULL).
 * After: bind the carry segment, which the chain itself passes by, into the log by its digest. */
static int record_prune(const char *dir, uint64_t seq, const uint8_t *carry, struct chv_err *err)
{
    struct chv_recorder *rec;
    uint64_t ticket;
    int r = chv_recorder_open(dir, NULL, &rec, err);
    if (r < 0) return r;
    struct chv_record record = {.op = CHV_OP_PRUNE, .lba = seq, .data = carry ? carry : rec->prev_digest};
    r = chv_recorder_append(rec, &record, 1, &ticket, err);
    if (r == 0) r = chv_recorder_wait(rec, ticket, err);
    if (r == 0 && !carry) r = recorder_seal(rec, err);
    int closed = chv_recorder_close(rec, r < 0 ? NULL : err);
    return r < 0 ? r : closed;
}

static int drop(struct prune *p, struct chv_err *err)
{
    char carry[STORE_PATH_BYTES];
    p->first_seq = p->store->first_seq;
    int64_t last = snapshot_segment_of(p->store, p->from);
    if (last < 0 || !p->store->segments[last].sealed)
        return chv_err_set(err, ENOENT, "prune: there is nothing before seq:%" PRIu64, p->from);
    p->last = (size_t)last;
    int r = mark_needed(p, err);
    meta_path(&p->meta, "log/carry.tmp", carry);
    if (r == 0) r = write_carry(p, carry, err);
    if (r == 0) r = swap_in(p, carry, err);
    if (r < 0) return r;
    p->result->freed_bytes += p->result->dropped_events * sizeof(struct chv_event);
    r = reindex_locked(&p->meta, &io_real, p->progress, p->arg, err);
    return r < 0 ? r : sweep_packs(p, err);
}

int chv_store_prune(const char *dir, uint64_t seq, chv_progress_fn *progress, void *arg,
                    struct chv_prune_result *result, struct chv_err *err)
{
    struct prune p = {.from = seq, .progress = progress, .arg = arg, .result = result};
    memset(result, 0, sizeof *result);
    result->from_seq = seq;
    struct chv_store *store;
    int r = chv_store_open(dir, &store, err);
    if (r < 0) return r;
    if (seq <= store->first_seq || seq > store->last_seq || seq < store->pruned_before_seq)
        r = chv_err_set(err, ENOENT, "prune: nothing is recorded before seq:%" PRIu64 " that was not dropped already", seq);
    chv_store_close(store);
    if (r == 0) r = record_prune(dir, seq, NULL, err);
    if (r == 0) r = meta_load(dir, &p.meta, err);
    if (r < 0) return r;
    int lock = meta_lock(&p.meta, err);
    if (lock < 0) return lock;
    r = chv_store_open(dir, &p.store, err);
    if (r == 0) r = drop(&p, err);
    chv_store_close(p.store);
    free(p.needed);
    close(lock);
    return r < 0 ? r : record_prune(dir, seq, p.carry_digest, err);
}

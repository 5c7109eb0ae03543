/* What a crash left: cut the log behind its last good COMMIT, the packs to where that says, index what is sealed,
 * and find out which queued positions were never logged. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/recorder_impl.h"
#include "store/reindex.h"

#define KEEP_MAX_BYTES (64u << 20) /* a log segment that is being written has a sixteenth of that */

/* Keep the longest prefix of commits whose packs hold up. COMMITs that were written after the packs were synced
 * (FUA) are taken at their word, and vouch for everything before them, which so is not read: what fails behind them is
 * damage for `verify` to name, not a torn tail. */
static size_t trusted_prefix(const struct chv_recorder *rec, const struct chv_event *events, size_t count)
{
    uint64_t pack = rec->index->pack ? rec->index->pack : 1, bytes = rec->index->pack_bytes;
    size_t trusted = count;
    while (trusted > 0 && !(events[trusted - 1].op == CHV_OP_COMMIT && (events[trusted - 1].flags & CHV_EVENT_FUA))) trusted--;
    if (trusted > 0) {
        pack = events[trusted - 1].sectors;
        bytes = chv_event_lba(&events[trusted - 1]);
    }
    for (size_t i = trusted; i < count; i++) {
        const struct chv_event *e = &events[i];
        if (e->op != CHV_OP_COMMIT) continue;
        uint64_t to_pack = e->sectors, to_bytes = chv_event_lba(e);
        bool good = true;
        while (good && (pack < to_pack || (pack == to_pack && bytes < to_bytes))) {
            uint64_t end, to = pack == to_pack ? to_bytes : UINT64_MAX;
            good = pack_scan(&rec->meta, pack, bytes, to, true, NULL, NULL, &end, NULL) == 0 && (pack != to_pack || end == to);
            if (pack == to_pack) break;
            pack++;
            bytes = 0;
        }
        if (!good) break;
        pack = to_pack;
        bytes = to_bytes;
        trusted = i + 1;
    }
    return trusted;
}

/* Digest state and pack position behind the first `count` events. */
static void tail_rebuild(struct segment_tail *tail, int fd, const struct chv_event *events, size_t count)
{
    segment_tail_init(tail, fd);
    sha256_update(&tail->sha, events, count * sizeof *events);
    tail->events = count;
    for (size_t i = count; i-- > 0;)
        if (events[i].op == CHV_OP_COMMIT) {
            tail->pack = events[i].sectors;
            tail->pack_bytes = chv_event_lba(&events[i]);
            break;
        }
}

static int take_loc(void *arg, const struct pack_record *record, pack_loc loc)
{
    struct memtable *table = arg;
    if (table->count < MEMTABLE_SLOTS - 1) memtable_insert(table, record->hash, loc);
    return 0;
}

/* Blocks stored from (rec->index mark) up to (pack, bytes), into the table. */
static int load_table(struct chv_recorder *rec, struct memtable *table, uint64_t pack, uint64_t bytes, struct chv_err *err)
{
    return pack_scan_range(&rec->meta, rec->index->pack, rec->index->pack_bytes, pack, bytes, take_loc, table, err);
}

/* Sealed, not indexed: as the indexer would have done. */
static int index_sealed(struct chv_recorder *rec, const struct segment *seg, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    meta_segment_path(&rec->meta, seg->number, path);
    struct index_job job = {.events = malloc(seg->events * sizeof *job.events + 1), .count = seg->events,
                            .table = memtable_new()};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = !job.events || !job.table ? -ENOMEM : fd < 0 ? -errno : 0;
    if (r == 0) r = io_pread_full(fd, job.events, seg->events * sizeof *job.events, segment_event_offset(0));
    if (fd >= 0) close(fd);
    if (r < 0) chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    for (size_t i = seg->events; r == 0 && i-- > 0;)
        if (job.events[i].op == CHV_OP_COMMIT) {
            job.pack = job.events[i].sectors;
            job.pack_bytes = chv_event_lba(&job.events[i]);
            break;
        }
    if (r == 0) r = load_table(rec, job.table, job.pack, job.pack_bytes, err);
    if (r == 0 && job.count > 0) r = indexer_run_job(rec, &job, err);
    free(job.events);
    free(job.table);
    return r;
}

static int open_packs(struct chv_recorder *rec, uint64_t pack, uint64_t bytes, struct chv_err *err)
{
    uint64_t *numbers, count;
    int r = meta_list(&rec->meta, "packs", ".pack", &numbers, &count, err);
    if (r < 0) return r;
    for (uint64_t i = 0; i < count; i++) {
        char path[STORE_PATH_BYTES];
        meta_pack_path(&rec->meta, numbers[i], path);
        if (numbers[i] > pack) rec->io->unlink(rec->io, path); /* begun, never committed to */
    }
    free(numbers);
    if (pack == 0) return pack_create(&rec->pack, 1, err);
    r = pack_resume(&rec->pack, pack, bytes, err);
    rec->synced_pack = rec->pack.number;
    rec->synced_pack_bytes = rec->pack.bytes;
    return r;
}

/* What a power cut leaves behind the durable end is nothing anybody was promised. But where COMMITs stand there that were
 * written after a sync, the end may be where it is because of damage: then those bytes are kept for the analyst. */
static int keep_tail(struct chv_recorder *rec, uint64_t number, int fd, const struct segment_tail *tail, struct chv_err *err)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    struct stat st;
    uint64_t from = segment_event_offset(tail->events);
    snprintf(path, sizeof path, "%s/log/%08" PRIu64 ".seg.cut-%" PRIu64, rec->meta.dir, number, tail->first_seq + tail->events);
    meta_path(&rec->meta, "log", dir);
    int r = fstat(fd, &st) < 0 ? -errno : segment_promises(tail, fd, (uint64_t)st.st_size), out = -1;
    if (r <= 0) return r < 0 ? chv_err_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
    size_t bytes = (size_t)((uint64_t)st.st_size - from);
    uint8_t *rest = bytes <= KEEP_MAX_BYTES ? malloc(bytes) : NULL;
    r = !rest ? -ENOMEM : io_pread_full(fd, rest, bytes, from);
    if (r == 0) r = out = rec->io->open(rec->io, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (out >= 0) {
        r = rec->io->pwrite(rec->io, out, rest, bytes, 0);
        if (r == 0) r = rec->io->datasync(rec->io, out);
        rec->io->close(rec->io, out);
    }
    if (r == 0) r = rec->io->sync_dir(rec->io, dir);
    free(rest);
    return r < 0 ? chv_err_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* The unsealed last segment. */
static int resume_segment(struct chv_recorder *rec, const struct segment *seg, uint64_t *pack, uint64_t *bytes, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    struct segment_tail tail;
    struct chv_event *events = NULL;
    size_t count = 0;
    meta_segment_path(&rec->meta, seg->number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : segment_tail_init(&tail, fd);
    if (r == 0) r = segment_tail_read(&tail, fd, &events, &count);
    if (r == 0 && count > SEGMENT_EVENTS) r = -EBADMSG;
    if (r < 0) {
        chv_err_set(err, -r, "%s: %s", path, strerror(-r));
        goto out;
    }
    size_t trusted = trusted_prefix(rec, events, count);
    tail_rebuild(&tail, fd, events, trusted);
    if (trusted > 0) {
        *pack = tail.pack;
        *bytes = tail.pack_bytes;
        rec->event_time_ns = events[trusted - 1].time_ns;
        memcpy(rec->events, events, trusted * sizeof *events);
    }
    rec->event_count = rec->event_written = trusted;
    rec->seq = seg->first_seq + trusted - 1;
    r = keep_tail(rec, seg->number, fd, &tail, err);
    if (r == 0) r = segment_resume(&rec->segment, seg->number, &tail, err);
    if (r == 0 && *pack) r = load_table(rec, rec->current, *pack, *bytes, err);
out:
    free(events);
    if (fd >= 0) close(fd);
    return r;
}

int recover_index(struct chv_recorder *rec, struct chv_err *err)
{
    uint64_t *numbers, count, behind = 0;
    int r = index_make_folder(&rec->meta, err);
    if (r == 0) r = index_load(&rec->meta, false, &rec->index, err);
    if (r < 0) return r;
    r = meta_list(&rec->meta, "log", ".seg", &numbers, &count, err);
    for (uint64_t i = count; r == 0 && i-- > 0;) {
        struct segment seg;
        if (segment_probe(&rec->meta, numbers[i], &seg, NULL) < 0 || !seg.sealed) continue; /* recover_log says more */
        if (seg.last_seq <= rec->index->through_seq) break;
        behind += seg.events;
    }
    free(numbers);
    if (r < 0 || behind <= SEGMENT_EVENTS) return r;
    index_unref(rec->index);
    rec->index = NULL;
    r = reindex_locked(&rec->meta, rec->io, NULL, NULL, err);
    return r < 0 ? r : index_load(&rec->meta, false, &rec->index, err);
}

int recover_log(struct chv_recorder *rec, struct chv_err *err)
{
    uint64_t *numbers, count;
    int r = meta_list(&rec->meta, "log", ".seg", &numbers, &count, err);
    if (r < 0) return r;
    struct segment seg = {0};
    bool unsealed = false;
    uint64_t pack = rec->index->pack, bytes = rec->index->pack_bytes;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        r = segment_probe(&rec->meta, numbers[i], &seg, err);
        if (r < 0 && i + 1 == count && segment_is_stillborn(&rec->meta, numbers[i])) {
            char path[STORE_PATH_BYTES];
            meta_segment_path(&rec->meta, numbers[i], path);
            r = rec->io->unlink(rec->io, path);
            if (r == 0) break;
        }
        if (r < 0) break;
        if (!seg.carry && (seg.number != rec->segment.number + 1 || seg.first_seq != rec->seq + 1 ||
                           memcmp(seg.prev_digest, rec->prev_digest, 32) != 0))
            r = chv_err_set(err, EBADMSG, "log/%08llu.seg does not follow from what is before it; 'chronovisor verify' says more",
                            (unsigned long long)numbers[i]);
        if (!seg.sealed && i + 1 < count)
            r = chv_err_set(err, EBADMSG, "log/%08llu.seg is not sealed though later ones exist; 'chronovisor verify' says more",
                            (unsigned long long)numbers[i]);
        if (seg.carry) /* what it replaced, if prune was interrupted before removing it */
            for (uint64_t k = 0; k < i; k++) {
                char path[STORE_PATH_BYTES];
                meta_segment_path(&rec->meta, numbers[k], path);
                rec->io->unlink(rec->io, path);
            }
        unsealed = !seg.sealed;
        if (!seg.sealed || r < 0) continue;
        rec->segment.number = seg.number;
        rec->seq = seg.last_seq;
        rec->event_time_ns = seg.last_time_ns;
        memcpy(rec->prev_digest, seg.digest, 32);
        if (seg.carry) memcpy(rec->prev_digest, seg.prev_digest, 32);
        if (seg.last_seq > rec->index->through_seq) {
            r = index_sealed(rec, &seg, err);
            pack = rec->index->pack;
            bytes = rec->index->pack_bytes;
        }
    }
    free(numbers);
    if (r == 0 && rec->seq < rec->index->through_seq && !unsealed)
        r = chv_err_set(err, EBADMSG, "%s: the log ends before what was indexed; 'chronovisor verify' says more", rec->meta.dir);
    if (r == 0 && unsealed) r = resume_segment(rec, &seg, &pack, &bytes, err);
    if (r == 0 && unsealed && rec->seq < rec->index->through_seq)
        r = chv_err_set(err, EBADMSG, "%s: the log ends before what was indexed; 'chronovisor verify' says more", rec->meta.dir);
    if (r == 0) r = open_packs(rec, pack, bytes, err);
    if (r == 0 && !unsealed) r = committer_next_segment(rec, err);
    return r;
}

int recover_queue(struct chv_recorder *rec, struct chv_err *err)
{
    struct queue *q = &rec->queue;
    struct queue_file *f = q->file;
    uint64_t tail = f->tail, head = f->head;
    for (uint64_t p = tail; p < head; p++) {
        struct slot *slot = queue_slot(&rec->queue, p);
        uint64_t seq = slot->seq;
        bool filled = slot->state != SLOT_EMPTY && slot->position == p;
        /* Not filled: its append never returned. Logged already: under a COMMIT that recovery kept.
         * Either way it counts as not filled if this recovery is cut short as well. */
        bool dropped = !filled || (seq != 0 && seq <= rec->seq);
        if (dropped) slot->has_data = slot->has_unless = 0;
        slot->drop = dropped;
        slot->codec = CODEC_RAW;
        if (slot->has_data) {
            if (slot->buffer >= q->count || q->holds[slot->buffer])
                return chv_err_set(err, EBADMSG, "%s/queue: position %llu has no buffer of its own: the queue is damaged",
                                   rec->meta.dir, (unsigned long long)p);
            q->holds[slot->buffer] = 1;
        }
        slot->position = dropped ? UINT64_MAX : p;
        slot->seq = 0;
        slot->state = SLOT_READY;
    }
    rec->freed = rec->next = rec->finished = rec->durable = tail;
    rec->claim = tail;
    rec->head = head;
    q->unused_count = 0;
    for (uint32_t i = q->count; i-- > 0;)
        if (!q->holds[i]) q->unused[q->unused_count++] = i;
    return 0;
}

/* Chain, order, signatures and the checkpoint: every byte of every segment. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/segment.h"
#include "store/verify.h"

#define CHUNK_EVENTS 16384u

struct log_walk {
    struct verify *v;
    uint64_t next_seq, last_time_ns;
    uint8_t prev_digest[32];
    bool any;
    bool carried, confirmed; /* there is a carry segment; a later PRUNE event has its digest */
    uint8_t carry_digest[32];
    struct chv_event *chunk;
};

static bool event_sane(const struct chv_event *e)
{
    if (e->op == CHV_OP_SPACE) return e->flags <= CHV_REST_SOURCE;
    return e->op != 0 && e->op <= CHV_OP_MAX && e->flags < (e->op == CHV_OP_READ ? CHV_EVENT_EXECUTE << 1 : CHV_EVENT_EXECUTE);
}

static void count_entries(struct verify *v, const struct chv_event *events, size_t n)
{
    /* What the index must hold for these, by the code that fills it. */
    struct index_entries entries = {0};
    if (index_entries_add_events(&entries, events, n, v->meta.block_bytes) == 0) {
        v->content_events += entries.count[RUN_SIGHT];
        v->addr_entries += entries.count[RUN_ADDR];
    }
    index_entries_fini(&entries);
}

/* One event in its place. Returns false when it does not belong there (reported once a segment). */
static bool check_event(struct log_walk *w, const struct segment *seg, const struct chv_event *e, uint64_t index)
{
    struct verify *v = w->v;
    bool order = seg->carry ? e->seq >= w->next_seq : e->seq == w->next_seq;
    if (!order || e->time_ns < w->last_time_ns || !event_sane(e)) {
        verify_fault(v, "log/%08" PRIu64 ".seg: event %" PRIu64 " (offset %" PRIu64 ") is damaged or out of order: seq:%" PRIu64
                     " where seq:%" PRIu64 " belongs", seg->number, index, segment_event_offset(index), e->seq, w->next_seq);
        return false;
    }
    w->next_seq = e->seq + 1;
    w->last_time_ns = e->time_ns;
    if (e->op == CHV_OP_PRUNE && w->carried && memcmp(e->hash, w->carry_digest, 32) == 0) w->confirmed = true;
    if (e->op == CHV_OP_COMMIT) {
        v->pack = e->sectors;
        v->pack_bytes = chv_event_lba(e);
        v->result->head_seq = e->seq;
        memcpy(v->result->head_digest, e->hash, 32);
        if (e->seq == v->checkpoint.seq) v->checkpoint_met = memcmp(e->hash, v->checkpoint.digest, 32) == 0;
    }
    return true;
}

/* Hash and check events; *durable gets the number up to the last COMMIT that fits. */
static int walk_events(struct log_walk *w, const struct segment *seg, int fd, uint64_t events, struct sha256 *sha,
                       uint64_t *durable, struct chv_err *err)
{
    bool good = true;
    *durable = 0;
    for (uint64_t at = 0; at < events;) {
        size_t n = events - at < CHUNK_EVENTS ? (size_t)(events - at) : CHUNK_EVENTS;
        int r = io_pread_full(fd, w->chunk, n * sizeof *w->chunk, segment_event_offset(at));
        if (r < 0) return chv_err_set(err, -r, "log/%08" PRIu64 ".seg: %s", seg->number, strerror(-r));
        size_t valid = 0;
        for (size_t i = 0; i < n; i++) {
            const struct chv_event *e = &w->chunk[i];
            sha256_update(sha, e, offsetof(struct chv_event, hash));
            if (e->op == CHV_OP_COMMIT && !seg->carry) {
                uint8_t digest[32];
                sha256_peek(sha, digest);
                if (memcmp(digest, e->hash, 32) != 0) {
                    if (!seg->sealed) return 0; /* never finished */
                    if (good) verify_fault(w->v, "log/%08" PRIu64 ".seg: the digest in COMMIT seq:%" PRIu64 " (event %" PRIu64
                                           ") does not fit: something before it was changed", seg->number, e->seq, at + i);
                    good = false;
                }
            }
            sha256_update(sha, e->hash, sizeof e->hash);
            if (!seg->sealed && e->seq != w->next_seq) return 0;
            if (good) good = check_event(w, seg, e, at + i);
            if (good) valid = i + 1;
            if (e->op == CHV_OP_COMMIT) *durable = at + i + 1;
        }
        if (w->v->index && seg->sealed) {
            size_t indexed = 0;
            while (indexed < valid && w->chunk[indexed].seq <= w->v->index->through_seq) indexed++;
            count_entries(w->v, w->chunk, indexed);
        }
        at += n;
    }
    if (seg->sealed) *durable = events;
    return 0;
}

static void check_footer(struct log_walk *w, const struct segment *seg, int fd, struct sha256 *sha)
{
    struct verify *v = w->v;
    struct segment_footer footer;
    uint8_t digest[32];
    if (io_pread_full(fd, &footer, sizeof footer, segment_event_offset(seg->events)) < 0) return;
    sha256_update(sha, &footer, offsetof(struct segment_footer, digest));
    sha256_peek(sha, digest);
    if (memcmp(digest, footer.digest, 32) != 0)
        verify_fault(v, "log/%08" PRIu64 ".seg: its digest does not fit its content", seg->number);
    if (seg->carry) {
        w->carried = true;
        w->confirmed = false;
        memcpy(w->carry_digest, footer.digest, 32);
    }
    static const struct segment_footer zeros;
    if (memcmp(footer.reserved, zeros.reserved, sizeof footer.reserved) != 0)
        verify_fault(v, "log/%08" PRIu64 ".seg: the footer's reserved bytes are not zero", seg->number);
    if (!v->public_key && !v->meta.is_signed &&
        (memcmp(footer.signature, zeros.signature, sizeof footer.signature) != 0 ||
         memcmp(footer.public_key, zeros.public_key, sizeof footer.public_key) != 0))
        verify_fault(v, "log/%08" PRIu64 ".seg: has a signature, but the store is not signed", seg->number);
    if (footer.last_seq + 1 != w->next_seq && w->any)
        verify_fault(v, "log/%08" PRIu64 ".seg: its footer ends at seq:%" PRIu64 ", its events at seq:%" PRIu64, seg->number,
                     footer.last_seq, w->next_seq - 1);
    if (!v->public_key) return;
    if (memcmp(footer.public_key, v->public_key, 32) != 0)
        verify_fault(v, "log/%08" PRIu64 ".seg: not signed by the expected key", seg->number);
    else if (!signature_valid(v->public_key, footer.digest, 32, footer.signature))
        verify_fault(v, "log/%08" PRIu64 ".seg: the signature is not good", seg->number);
    else
        v->result->signatures++;
}

static int check_segment(struct log_walk *w, const struct segment *seg, bool last, struct chv_err *err)
{
    struct verify *v = w->v;
    char path[STORE_PATH_BYTES];
    struct segment_header header;
    struct stat st;
    struct sha256 sha;
    uint64_t durable;
    meta_segment_path(&v->meta, seg->number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    int r = io_pread_full(fd, &header, sizeof header, 0);
    if (r == 0 && fstat(fd, &st) < 0) r = -errno;
    if (r < 0) {
        close(fd);
        return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    }
    if (memcmp(seg->prev_digest, w->prev_digest, 32) != 0 && !seg->carry)
        verify_fault(v, "log/%08" PRIu64 ".seg: does not follow from the segment before it (digest)", seg->number);
    if (seg->carry || !w->any) w->next_seq = seg->first_seq;
    if (w->next_seq != seg->first_seq)
        verify_fault(v, "log/%08" PRIu64 ".seg: begins with seq:%" PRIu64 ", not seq:%" PRIu64, seg->number, seg->first_seq, w->next_seq);
    if (!seg->sealed && !last) verify_fault(v, "log/%08" PRIu64 ".seg: not sealed (cut off or footer damaged)", seg->number);
    w->any = true;
    sha256_init(&sha);
    sha256_update(&sha, &header, sizeof header);
    uint64_t events = seg->sealed ? seg->events : ((uint64_t)st.st_size - sizeof header) / sizeof(struct chv_event);
    w->next_seq = seg->first_seq;
    r = walk_events(w, seg, fd, events, &sha, &durable, err);
    if (r == 0 && seg->sealed) check_footer(w, seg, fd, &sha);
    if (r == 0 && !seg->sealed) {
        w->next_seq = seg->first_seq + durable;
        v->result->ignored_bytes = (uint64_t)st.st_size - segment_event_offset(durable);
        const struct segment_tail tail = {.first_seq = seg->first_seq, .events = durable};
        if (segment_promises(&tail, fd, (uint64_t)st.st_size) == 1)
            verify_fault(v, "log/%08" PRIu64 ".seg: what begins with seq:%" PRIu64 " does not hold, though a synced COMMIT stands behind "
                         "it: damaged, or the power failed and no recorder has been here since", seg->number, w->next_seq);
    }
    v->result->events += durable;
    v->result->segments++;
    memcpy(w->prev_digest, seg->carry ? seg->prev_digest : seg->digest, 32);
    close(fd);
    return r;
}

static void check_ends(struct log_walk *w)
{
    struct verify *v = w->v;
    uint64_t head = v->result->head_seq;
    if (v->checkpoint.seq) {
        v->result->checkpoint_seq = v->checkpoint.seq;
        if (head < v->checkpoint.seq)
            verify_fault(v, "log: ends at seq:%" PRIu64 ", but a checkpoint was taken at seq:%" PRIu64 ": its tail was cut off",
                         head, v->checkpoint.seq);
        else if (!v->checkpoint_met)
            verify_fault(v, "log: seq:%" PRIu64 " does not have the checkpoint's digest: history was rewritten", v->checkpoint.seq);
    }
    if (w->carried && !w->confirmed)
        verify_fault(v, "log: no PRUNE event confirms the carry segment: prune was interrupted (run it again) or the segment replaced");
    if (v->index && v->index->through_seq > head)
        verify_fault(v, "log: ends at seq:%" PRIu64 ", but seq:%" PRIu64 " was indexed: its tail was cut off", head,
                     v->index->through_seq);
}

int verify_log(struct verify *v, struct chv_err *err)
{
    struct log_walk w = {.v = v, .next_seq = 1};
    uint64_t *numbers, count, start = 0;
    int r = meta_list(&v->meta, "log", ".seg", &numbers, &count, err);
    if (r < 0) return r;
    w.chunk = malloc(CHUNK_EVENTS * sizeof *w.chunk);
    if (!w.chunk) r = chv_err_set(err, ENOMEM, "verify: out of memory");
    struct segment seg;
    struct chv_err why;
    for (uint64_t i = 0; r == 0 && i < count; i++)
        if (segment_probe(&v->meta, numbers[i], &seg, NULL) == 0 && seg.carry) start = i;
    uint64_t expected = 1;
    for (uint64_t i = start; r == 0 && i < count; i++) {
        if (v->options->progress) v->options->progress(v->options->progress_arg, "log", i, count);
        int probed = segment_probe(&v->meta, numbers[i], &seg, &why);
        bool skip_missing = probed == 0 && seg.carry;
        for (; !skip_missing && expected < numbers[i]; expected++)
            verify_fault(v, "log/%08" PRIu64 ".seg: missing", expected);
        expected = numbers[i] + 1;
        if (probed == -ENODATA && i + 1 == count) break; /* being born: nothing in it yet */
        if (probed < 0) {
            verify_fault(v, "%s", why.text);
            continue;
        }
        r = check_segment(&w, &seg, i + 1 == count, err);
    }
    free(w.chunk);
    free(numbers);
    if (r == 0) check_ends(&w);
    return r;
}

#include "net/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define MARK_EVERY 4096u
#define GAP_SECTORS_MAX UINT64_C(0xfffffff8)
#define BLOCK_SECTORS (CHV_WIRE_BLOCK_BYTES / CHV_SECTOR_BYTES)

int sink_open(struct sink *s, const struct sink_options *options, struct chv_err *err)
{
    struct chv_store_config config = {.block_bytes = options->block_bytes, .signing_key = options->signing_key};
    struct chv_recorder_options ro = {.queue_blocks = (uint32_t)options->queue_blocks, .signing_key = options->signing_key};
    uint64_t ticket;
    *s = (struct sink){.options = *options};
    int r = chv_store_create(options->store_dir, &config, err);
    if (r < 0 && r != -EEXIST) return r;
    s->content = malloc((size_t)SINK_BATCH * CHV_WIRE_BLOCK_BYTES);
    s->partial = partial_new();
    r = s->content && s->partial ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) r = chv_recorder_open(options->store_dir, &ro, &s->rec, err);
    /* what a killed collector left in the queue is logged before the log is asked how far it has got */
    if (r == 0) r = chv_recorder_append(s->rec, NULL, 0, &ticket, err);
    if (r == 0) r = chv_recorder_wait(s->rec, ticket, err);
    if (r == 0) r = chv_store_open(options->store_dir, &s->store, err);
    if (r == 0) {
        s->block_bytes = chv_store_block_bytes(s->store);
        if (options->block_bytes && options->block_bytes != s->block_bytes)
            r = chv_err_set(err, EINVAL, "store %s has blocks of %u bytes, not %u; leave --block-size out", options->store_dir,
                            s->block_bytes, options->block_bytes);
    }
    if (r == 0) r = mark_open(s, err);
    if (r == 0) r = committer_start(s->rec, &s->committer, err);
    if (r == 0) return 0;
    struct chv_err ignored;
    sink_close(s, &ignored);
    return r;
}

int sink_close(struct sink *s, struct chv_err *err)
{
    int r = 0;
    if (s->committer && s->sensor[0]) r = mark_write(s, err);
    if (s->committer && r == 0) r = sink_flush(s, err);
    committer_stop(s->committer);
    struct chv_err closing;
    int closed = chv_recorder_close(s->rec, &closing);
    if (closed < 0 && r == 0) {
        r = closed;
        if (err) *err = closing;
    }
    chv_store_close(s->store);
    free(s->content);
    free(s->partial);
    walked_fini(&s->walked);
    memset(s, 0, sizeof *s);
    return r;
}

int sink_flush(struct sink *s, struct chv_err *err)
{
    uint64_t ticket;
    if (s->batched == 0) return 0;
    int r = chv_recorder_append(s->rec, s->batch, s->batched, &ticket, err);
    s->batched = 0;
    if (r < 0) return r;
    committer_want(s->committer, ticket, s->counters.streams, s->recorded);
    return 0;
}

struct chv_record *sink_add(struct sink *s, uint8_t **content, struct chv_err *err)
{
    if (s->batched == SINK_BATCH && sink_flush(s, err) < 0) return NULL;
    struct chv_record *r = &s->batch[s->batched];
    *content = s->content + (size_t)s->batched * CHV_WIRE_BLOCK_BYTES;
    s->batched++;
    *r = (struct chv_record){0};
    return r;
}

/* A range of more than 2 TiB takes several events. */
int sink_gap(struct sink *s, uint32_t device, uint8_t reason, uint64_t events, bool all, uint64_t time_ns, struct chv_err *err)
{
    if (!time_ns) time_ns = clock_now_ns();
    uint64_t left = all ? s->devices[device].bytes / CHV_SECTOR_BYTES : 0, lba = 0;
    do {
        uint8_t *unused;
        struct chv_record *r = sink_add(s, &unused, err);
        if (!r) return -err->code;
        uint64_t part = left < GAP_SECTORS_MAX ? left : GAP_SECTORS_MAX;
        *r = (struct chv_record){.space = s->spaces[device], .op = CHV_OP_GAP, .lba = lba, .sectors = (uint32_t)part, .time_ns = time_ns,
                                 .gap = {.reason = reason, .events = events, .first_time_ns = time_ns}};
        lba += part;
        left -= part;
    } while (left > 0);
    if (all) partial_forget(s->partial, device, 0, UINT64_MAX, NULL);
    return 0;
}

int sink_resume(const struct sink *s, const struct chv_hello *hello, uint64_t *records, bool *known)
{
    if (s->sensor[0] && memcmp(s->sensor, hello->sensor, CHV_WIRE_NAME_BYTES) != 0) return -EACCES;
    *known = s->sensor[0] && memcmp(s->stream, hello->stream, sizeof s->stream) == 0;
    *records = *known ? s->durable : 0;
    return 0;
}

/* A space for a device. What happened to one that is in the store from before this stream, nobody saw. */
static int announce(struct sink *s, uint32_t i, bool first, struct chv_err *err)
{
    const struct chv_device *d = &s->devices[i];
    const struct chv_space *before = NULL;
    for (size_t k = 0; k < chv_store_space_count(s->store); k++)
        if (strcmp(chv_store_space(s->store, k)->name, d->name) == 0) before = chv_store_space(s->store, k);
    bool zero = d->rest == CHV_REST_ZERO || (s->options.rest_zero && chv_wire_prefix(d, "disk:")); /* who says that means disks */
    enum chv_rest rest = before ? before->rest : zero ? CHV_REST_ZERO : CHV_REST_UNKNOWN;
    int r = chv_recorder_space(s->rec, d->name, d->bytes, rest, NULL, &s->spaces[i], err);
    if (r < 0 || !first || !before) return r;
    s->counters.unobserved++;
    return sink_gap(s, i, CHV_GAP_UNOBSERVED, 0, !s->options.trust_between, 0, err);
}

int sink_devices(struct sink *s, const struct chv_hello *hello, const struct chv_device *devices, size_t count, bool *fresh,
                 struct chv_err *err)
{
    int r = sink_flush(s, err);
    *fresh = !s->sensor[0] || memcmp(s->stream, hello->stream, sizeof s->stream) != 0;
    if (*fresh) {
        memcpy(s->sensor, hello->sensor, CHV_WIRE_NAME_BYTES);
        memcpy(s->stream, hello->stream, sizeof s->stream);
        s->recorded = s->durable = s->skip_events = s->last_ns = 0;
        s->announced = 0;
    }
    s->counters.streams += *fresh || s->counters.streams == 0;
    if (r == 0) r = chv_store_refresh(s->store, err);
    bool renamed[CHV_WIRE_DEVICES] = {false}, news = *fresh || s->announced != count; /* another process's place */
    for (uint32_t i = 0; i < count && i < s->device_count; i++) {
        renamed[i] = strcmp(devices[i].name, s->devices[i].name) != 0;
        news |= renamed[i];
    }
    memcpy(s->devices, devices, count * sizeof *devices);
    s->device_count = (uint32_t)count;
    for (uint32_t i = 0; r == 0 && i < count; i++) r = announce(s, i, i >= s->announced || renamed[i], err);
    if (r == 0 && news) {
        s->announced = (uint32_t)count;
        r = mark_write(s, err);
        if (r == 0) r = mark_devices(s, err);
    }
    return r == 0 ? sink_flush(s, err) : r;
}

int sink_missing(struct sink *s, uint64_t first, uint64_t last, struct chv_err *err)
{
    int r = 0;
    if (s->skip_events > 0) { /* the sensor forgot it, so it had been acknowledged: it was not cut off */
        s->skip_events = 0;
        s->recorded = first++;
        if (first > last) return 0;
    }
    s->counters.missing += last - first + 1;
    for (uint32_t i = 0; r == 0 && i < s->device_count; i++) {
        s->counters.unobserved++;
        r = sink_gap(s, i, CHV_GAP_UNOBSERVED, last - first + 1, true, 0, err);
    }
    s->recorded = last;
    return r == 0 ? mark_write(s, err) : r;
}

/* How a record becomes one for the recorder. Content is of whole blocks: a part is put over what was there. */
static int convert(struct sink *s, const struct chv_wire_record *w, const void *content, struct chv_record *r, uint8_t *block,
                   struct chv_err *err)
{
    const struct chv_device *d = &s->devices[w->device];
    uint64_t unit = s->block_bytes / CHV_SECTOR_BYTES, lba = chv_wire_lba(w), end = lba + w->sectors;
    r->lba = lba;
    r->sectors = w->sectors;
    if (w->op == CHV_OP_GAP) {
        struct chv_gap_detail said;
        memcpy(&said, content, sizeof said);
        r->gap = (struct chv_gap_detail){.reason = said.reason, .events = said.events, .first_time_ns = said.first_time_ns,
                                         .entropy = said.reason == CHV_GAP_UNKEPT ? said.entropy : 0};
    }
    if (chv_op_is_version(w->op) && !chv_op_has_content(w->op))
        partial_forget(s->partial, w->device, lba / BLOCK_SECTORS, (end + BLOCK_SECTORS - 1) / BLOCK_SECTORS, NULL);
    if (!chv_op_has_content(w->op)) return 0;
    r->data = block;
    if (lba % unit == 0 && (end % unit == 0 || end == d->bytes / CHV_SECTOR_BYTES)) {
        memset(block, 0, CHV_WIRE_BLOCK_BYTES); /* the last block of a space is padded with zeros */
        memcpy(block, content, w->bytes);
        if (unit == BLOCK_SECTORS) partial_forget(s->partial, w->device, lba / unit, lba / unit + 1, block);
        return 0;
    }
    s->counters.partial++;
    int known = partial_write(s, w->device, w, content, block, err);
    if (known != 0) return known < 0 ? known : 0;
    /* The rest of the block is anybody's guess, and a guess is no evidence. */
    s->counters.partial_unknown++;
    r->op = CHV_OP_GAP;
    r->data = NULL;
    r->lba = lba / unit * unit;
    r->sectors = (uint32_t)unit;
    r->gap = (struct chv_gap_detail){.reason = CHV_GAP_PARTIAL, .events = 1, .first_time_ns = w->time_ns};
    return 0;
}

int sink_record(struct sink *s, const struct chv_wire_record *w, const void *content, struct chv_err *err)
{
    uint8_t block[CHV_WIRE_BLOCK_BYTES], *copy;
    uint64_t now = clock_now_ns(), unit = s->block_bytes / CHV_SECTOR_BYTES;
    uint8_t flags = w->op == CHV_OP_READ ? CHV_EVENT_FUA | CHV_EVENT_EXECUTE : CHV_EVENT_FUA; /* a page's rights are for the walk's map */
    struct chv_record r = {.space = s->spaces[w->device], .op = w->op, .flags = w->flags & flags, .time_ns = w->time_ns};
    if (w->time_ns == 0 || w->time_ns > now) { /* the log's time never goes back again */
        s->counters.clock_ahead += w->time_ns > now;
        r.time_ns = now;
    }
    int code = convert(s, w, content, &r, block, err);
    if (code < 0) return code;
    s->counters.records++;
    s->counters.bytes += w->bytes;
    s->counters.gaps += r.op == CHV_OP_GAP;
    const char *name = s->devices[w->device].name;
    if (w->flags & CHV_WIRE_PAGE_FLAGS && strncmp(name, "proc:cr3-", 9) == 0 &&
        walked_add(&s->walked, name, r.lba * CHV_SECTOR_BYTES, (uint64_t)r.sectors * CHV_SECTOR_BYTES, w->flags) < 0)
        return chv_err_set(err, ENOMEM, "out of memory");
    if (s->skip_events > 0) { /* an earlier collector had begun with it */
        uint64_t events = chv_op_has_content(r.op) ? (r.sectors + unit - 1) / unit : 1, skip = s->skip_events;
        s->skip_events = 0;
        if (skip >= events) {
            s->recorded = w->number;
            return 0;
        }
        memmove(block, block + skip * s->block_bytes, sizeof block - skip * s->block_bytes);
        r.lba += skip * unit;
        r.sectors -= (uint32_t)(skip * unit);
        r.flags |= CHV_EVENT_CONTINUED;
    }
    struct chv_record *slot = sink_add(s, &copy, err);
    if (!slot) return -err->code;
    *slot = r;
    s->last_ns = r.time_ns;
    if (r.data) {
        memcpy(copy, block, sizeof block);
        slot->data = copy;
    }
    s->recorded = w->number; /* not before: making room may have flushed the batch, with what was recorded by then */
    return s->recorded - s->marked >= MARK_EVERY ? mark_write(s, err) : 0;
}

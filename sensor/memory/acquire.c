#include "sensor/memory/acquire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/memory/copy.h"
#include "sensor/memory/cow.h"
#include "sensor/memory/joint.h"
#include "sensor/memory/pause.h"
#include "store/held.h"

#define PIECES_MAX (2 * LAYOUT_RANGES_MAX + 2)

int acquire_open(struct acquire *a, const struct acquire_options *options, struct chv_err *err)
{
    memset(a, 0, sizeof *a);
    a->options = options;
    int r = ram_capture_space_name(options->target.space, a->info_name, err);
    if (r == 0) r = import_target_look(&a->target, &options->target, err);
    if (r == 0) r = import_target_time(&a->target, clock_now_ns(), 0, "now", err);
    if (r == 0) r = qmp_connect(options->qmp_path, &a->qmp, err);
    if (r == 0) r = guest_find(a->qmp, options->pid, &a->guest, err);
    if (r < 0) acquire_close(a);
    return r;
}

int acquire_begin(struct acquire *a, struct chv_err *err)
{
    const char *store = a->options->target.store_dir;
    int r = joint_begin(&a->target, &a->sink, clock_now_ns(), err);
    if (r == 0 && a->sink.join && a->options->mode != CAPTURE_LIVE && held_is(store))
        r = chv_err_set(err, EBUSY, "%s is held, so the guest's writes wait and QEMU cannot stop it in order; use --mode live, or "
                        "'chronovisor release' first", store);
    return r;
}

void acquire_close(struct acquire *a)
{
    joint_close(&a->target, &a->sink);
    guest_free(a->guest);
    qmp_close(a->qmp);
    a->guest = NULL;
    a->qmp = NULL;
}

/* The ranges, and what lies between and behind them as holes: where an earlier capture may have had memory. */
static size_t make_pieces(const struct guest *guest, uint64_t space_bytes, struct scan_piece pieces[PIECES_MAX])
{
    size_t count = 0;
    uint64_t at = 0;
    for (size_t i = 0; i <= guest->ram.count; i++) {
        const struct ram_range *range = i < guest->ram.count ? &guest->ram.ranges[i] : NULL;
        uint64_t to = range ? range->gpa : space_bytes;
        if (to > at) pieces[count++] = (struct scan_piece){.address = at, .bytes = to - at, .fd = -1};
        if (!range) break;
        struct scan_piece *p = &pieces[count++];
        *p = (struct scan_piece){.address = range->gpa, .bytes = range->bytes};
        p->fd = guest_file(guest, range, &p->offset);
        at = range->gpa + range->bytes;
    }
    return count;
}

/* The description that says "begun", and is the instant: what the log says up to it is as old as the memory, or older. */
static int begun(void *context, uint64_t time_ns, struct chv_err *err)
{
    struct acquire *a = context;
    struct ram_capture *c = &a->capture;
    snprintf(c->space, sizeof c->space, "%s", a->options->target.space);
    snprintf(c->qemu, sizeof c->qemu, "%s", qmp_version(a->qmp));
    c->mode = a->options->mode;
    c->begin_ns = time_ns;
    c->ram = a->guest->ram;
    c->others = a->guest->others;
    c->vcpus = a->guest->vcpus;
    memcpy(c->vcpu, a->guest->vcpu, sizeof c->vcpu);
    return ram_capture_write(&a->sink, a->info_space, a->target.block_bytes, c, time_ns, err);
}

/* While the guest stands still: its registers and a copy of its memory. It goes on before this returns. */
static int take_copy(struct acquire *a, struct copy *copy, struct acquire_result *result, struct chv_err *err)
{
    struct pause pause;
    struct chv_err ending;
    int r = pause_begin(&pause, a->qmp, err);
    if (r < 0) return r;
    a->capture.was_stopped = pause.was_stopped;
    r = guest_registers(a->guest, a->qmp, err);
    if (r == 0) r = begun(a, pause.time_ns, err);
    uint64_t copy_began = clock_monotonic_ns();
    if (r == 0) r = copy_run(copy, a->options->stop, err);
    result->copy_ns = clock_monotonic_ns() - copy_began;
    result->copied_bytes = copy->bytes;
    a->capture.end_ns = clock_now_ns();
    int ended = pause_end(&pause, &a->capture.pause_ns, &ending);
    if (ended < 0 && (r == 0 || err)) { /* a guest that stands still is the worse news */
        if (err) *err = ending;
        r = ended;
    }
    return r;
}

/* The same for less of a pause; a guest that stands still needs none. */
static int take_cow(struct acquire *a, struct copy *copy, struct acquire_result *result, struct chv_err *err)
{
    struct cow_options options = {.pause_ms = a->options->max_pause_ms, .stop = a->options->stop,
                                  .progress = a->options->target.progress, .trust_dirty_log = a->options->trust_dirty_log,
                                  .at_instant = begun, .context = a};
    struct cow_result cow;
    bool running;
    int r = pause_look(a->qmp, &running, err);
    if (r < 0) return r;
    if (!running) return take_copy(a, copy, result, err);
    uint64_t began = clock_monotonic_ns();
    r = cow_run(copy, a->guest, a->qmp, &options, &cow, err);
    result->copy_ns = clock_monotonic_ns() - began;
    result->copied_bytes = cow.sent_bytes;
    result->passes = cow.passes;
    a->capture.pause_ns = cow.pause_ns;
    a->capture.end_ns = cow.time_ns;
    return r;
}

static int take(struct acquire *a, struct copy *copy, struct scan_piece *pieces, size_t count, struct acquire_result *result,
                struct chv_err *err)
{
    int r;
    if (a->options->mode == CAPTURE_LIVE) {
        r = guest_registers(a->guest, a->qmp, err);
        return r < 0 ? r : begun(a, clock_now_ns(), err);
    }
    r = copy_prepare(copy, pieces, count, a->options->mode == CAPTURE_COW, err);
    if (r == 0) r = (a->options->mode == CAPTURE_COW ? take_cow : take_copy)(a, copy, result, err);
    copy_pieces(copy, pieces);
    return r;
}

/* The scan, and the description that says "complete". */
static int record(struct acquire *a, const struct scan_piece *pieces, size_t count, struct acquire_result *result,
                  struct chv_err *err)
{
    const struct import_target *t = &a->target;
    const uint64_t time_ns = a->options->mode == CAPTURE_LIVE ? 0 : a->capture.begin_ns; /* the copy shows that instant */
    struct scan scan = {
        .pieces = pieces, .count = count, .sink = &a->sink, .space = t->space, .block_bytes = t->block_bytes, .time_ns = time_ns,
        .store = t->before ? t->store : NULL, .before_id = t->before ? t->before->id : 0, .before_seq = t->last_seq,
        .stop = a->options->stop, .progress = a->options->target.progress,
    };
    uint64_t began = clock_monotonic_ns();
    int r = scan_run(&scan, &result->scan, err);
    result->scan_ns = clock_monotonic_ns() - began;
    if (r < 0) return r;
    if (a->options->mode == CAPTURE_LIVE) a->capture.end_ns = clock_now_ns();
    a->capture.complete = true;
    return ram_capture_write(&a->sink, a->info_space, t->block_bytes, &a->capture, time_ns ? time_ns : a->capture.end_ns, err);
}

/* Everything durable, and which event the instant is. */
static int finish(struct acquire *a, struct acquire_result *result, struct chv_err *err)
{
    struct chv_store *store;
    struct chv_err ignored;
    result->joined = a->sink.join != NULL;
    int r = joint_end(&a->target, &a->sink, &result->store, err);
    if (r < 0 || chv_store_open(a->options->target.store_dir, &store, &ignored) < 0) return r;
    ram_capture_instant(store, a->options->target.space, &result->instant_seq, &ignored);
    chv_store_close(store);
    return r;
}

int acquire_run(struct acquire *a, struct acquire_result *result, struct chv_err *err)
{
    struct scan_piece pieces[PIECES_MAX];
    struct import_target *t = &a->target;
    struct copy copy = {0};
    uint64_t bytes = layout_end(&a->guest->ram), began = clock_monotonic_ns();
    memset(result, 0, sizeof *result);
    result->first = t->before == NULL;
    if (t->before && t->before->size_bytes > bytes) bytes = t->before->size_bytes; /* what was there is gone, which is said */
    size_t count = make_pieces(a->guest, bytes, pieces);
    int r = sink_space(&a->sink, a->options->target.space, bytes, t->before ? t->before->rest : CHV_REST_ZERO, &t->space, err);
    if (r == 0) r = sink_space(&a->sink, a->info_name, CAPTURE_BYTES, CHV_REST_ZERO, &a->info_space, err);
    if (r == 0) r = take(a, &copy, pieces, count, result, err);
    if (r == 0) r = record(a, pieces, count, result, err);
    copy_fini(&copy);
    if (r < 0) return r;
    r = finish(a, result, err);
    result->total_ns = clock_monotonic_ns() - began;
    return r;
}

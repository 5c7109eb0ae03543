#include "sensor/memory/acquire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/memory/copy.h"
#include "sensor/memory/pause.h"

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
    return import_target_begin(&a->target, clock_now_ns(), err);
}

void acquire_close(struct acquire *a)
{
    import_target_close(&a->target, NULL, NULL);
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

static void describe(struct acquire *a)
{
    struct ram_capture *c = &a->capture;
    snprintf(c->space, sizeof c->space, "%s", a->options->target.space);
    snprintf(c->qemu, sizeof c->qemu, "%s", qmp_version(a->qmp));
    c->mode = a->options->mode;
    c->ram = a->guest->ram;
    c->others = a->guest->others;
    c->vcpus = a->guest->vcpus;
    memcpy(c->vcpu, a->guest->vcpu, sizeof c->vcpu);
}

/* While the guest stands still: its registers and a copy of its memory. It goes on before this returns. */
static int take_copy(struct acquire *a, struct copy *copy, struct acquire_result *result, struct chv_err *err)
{
    struct pause pause;
    struct chv_err ending;
    int r = pause_begin(&pause, a->qmp, err);
    if (r < 0) return r;
    a->capture.begin_ns = pause.time_ns;
    a->capture.was_stopped = pause.was_stopped;
    r = guest_registers(a->guest, a->qmp, err);
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

/* The scan, between the description that says "begun" and the one that says "complete". */
static int record(struct acquire *a, const struct scan_piece *pieces, size_t count, uint16_t info_space, uint64_t time_ns,
                  struct acquire_result *result, struct chv_err *err)
{
    const struct import_target *t = &a->target;
    struct scan scan = {
        .pieces = pieces, .count = count, .rec = t->rec, .space = t->space, .block_bytes = t->block_bytes, .time_ns = time_ns,
        .store = t->before ? t->store : NULL, .before_id = t->before ? t->before->id : 0, .before_seq = t->last_seq,
        .stop = a->options->stop, .progress = a->options->target.progress,
    };
    describe(a);
    uint64_t end_ns = a->capture.end_ns;
    a->capture.end_ns = 0;
    int r = ram_capture_write(t->rec, info_space, t->block_bytes, &a->capture, a->capture.begin_ns, err);
    uint64_t began = clock_monotonic_ns();
    if (r == 0) r = scan_run(&scan, &result->scan, err);
    result->scan_ns = clock_monotonic_ns() - began;
    if (r < 0) return r;
    a->capture.end_ns = end_ns ? end_ns : clock_now_ns();
    a->capture.complete = true;
    return ram_capture_write(t->rec, info_space, t->block_bytes, &a->capture, time_ns ? time_ns : a->capture.end_ns, err);
}

int acquire_run(struct acquire *a, struct acquire_result *result, struct chv_err *err)
{
    struct scan_piece pieces[PIECES_MAX];
    struct import_target *t = &a->target;
    struct copy copy = {0};
    uint16_t info_space = 0;
    uint64_t bytes = layout_end(&a->guest->ram), began = clock_monotonic_ns(), time_ns = 0;
    memset(result, 0, sizeof *result);
    result->first = t->before == NULL;
    if (t->before && t->before->size_bytes > bytes) bytes = t->before->size_bytes; /* what was there is gone, which is said */
    size_t count = make_pieces(a->guest, bytes, pieces);
    int r = import_target_space(t, bytes, t->before ? t->before->rest : CHV_REST_ZERO, NULL, err);
    if (r == 0) r = chv_recorder_space(t->rec, a->info_name, CAPTURE_BYTES, CHV_REST_ZERO, NULL, &info_space, err);
    if (r == 0 && a->options->mode == CAPTURE_PAUSED) {
        r = copy_prepare(&copy, pieces, count, err);
        if (r == 0) r = take_copy(a, &copy, result, err);
        copy_pieces(&copy, pieces);
        time_ns = a->capture.begin_ns; /* what the copy shows was so at that instant */
    } else if (r == 0) {
        r = guest_registers(a->guest, a->qmp, err);
        a->capture.begin_ns = clock_now_ns();
    }
    if (r == 0) r = record(a, pieces, count, info_space, time_ns, result, err);
    copy_fini(&copy);
    if (r < 0) return r;
    r = import_target_close(t, &result->store, err);
    result->total_ns = clock_monotonic_ns() - began;
    return r;
}

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "timeline/view_internal.h"

static bool is_unobserved(const struct chv_event *event)
{
    struct chv_gap_detail detail;
    memcpy(&detail, event->hash, sizeof detail);
    return event->op == CHV_OP_GAP && detail.reason == CHV_GAP_UNOBSERVED;
}

/* What came after `seq`, past unobserved gaps: a baseline tells, nothing at all means the rest of the space. */
static int assume_from_later(const struct chv_store *store, const struct chv_space *space, uint64_t seq,
                             struct chv_extent *extent, struct chv_err *err)
{
    struct chv_event event = {.seq = seq};
    int r;
    do {
        r = chv_store_next_version(store, space->id, extent->first_block, event.seq, &event, err);
    } while (r > 0 && is_unobserved(&event));
    if (r < 0) return r;
    if (r == 0) {
        extent->seq = 0;
        extent->state = space->rest == CHV_REST_SOURCE ? CHV_STATE_SOURCE
                        : space->rest == CHV_REST_ZERO ? CHV_STATE_ZERO
                                                       : CHV_STATE_UNKNOWN;
    } else if (event.op == CHV_OP_BASELINE || event.op == CHV_OP_FOUND) {
        extent->seq = event.seq;
        extent->state = CHV_STATE_DATA;
        memcpy(extent->hash, event.hash, CHV_HASH_BYTES);
    }
    return 0;
}

int unknown_assume(const struct chv_store *store, const struct chv_space *space, uint64_t seq,
                   struct chv_extent *extent, struct chv_err *err)
{
    uint64_t asked = seq;
    while (extent->state == CHV_STATE_UNKNOWN && extent->seq != 0 && extent->seq <= seq) {
        struct chv_event event;
        int r = chv_store_event(store, extent->seq, &event, err);
        if (r < 0) return r;
        if (!is_unobserved(&event)) return 0;
        seq = event.seq - 1;
        r = chv_store_block_at(store, space->id, extent->first_block, seq, extent, err);
        if (r < 0) return r;
    }
    if (extent->state != CHV_STATE_UNKNOWN) return 0;
    return assume_from_later(store, space, asked, extent, err);
}

static const char *gap_text(uint8_t reason)
{
    switch (reason) {
    case CHV_GAP_QUEUE_FULL:
        return "writes were not recorded because the queue was full";
    case CHV_GAP_STORE_ERROR:
        return "writes were not recorded because the store could not take them";
    case CHV_GAP_UNOBSERVED:
        return "the device changed while no sensor was attached";
    case CHV_GAP_CRASH:
        return "the recorder died before it had recorded a write";
    case CHV_GAP_UNKNOWN:
        return "the sensor could not tell what a request did";
    case CHV_GAP_FAILED:
        return "the device failed a request, or a reset ended it";
    }
    return "writes were not recorded";
}

int unknown_explain(const struct chv_store *store, const struct chv_space *space, uint64_t seq,
                    const struct chv_extent *extent, struct chv_err *err)
{
    unsigned long long block = extent->first_block, at = seq;
    struct chv_event event;
    int r = extent->seq && extent->seq <= seq ? chv_store_event(store, extent->seq, &event, NULL) == 0
                                              : chv_store_next_version(store, space->id, block, seq, &event, NULL);
    char when[CLOCK_TEXT_BYTES];
    if (r > 0 && event.op == CHV_OP_GAP) {
        struct chv_gap_detail detail;
        memcpy(&detail, event.hash, sizeof detail);
        return chv_err_set(err, EIO, "block %llu of %s as of seq:%llu is unknown: %s (seq:%llu, %s)%s", block,
                           space->name, at, gap_text(detail.reason), (unsigned long long)event.seq,
                           clock_format(event.time_ns, when),
                           detail.reason == CHV_GAP_UNOBSERVED ? "; --assume-unchanged overrules"
                                                               : "; --zero-unknown reads zeros there");
    }
    if (r > 0)
        return chv_err_set(err, EIO,
                           "block %llu of %s as of seq:%llu is unknown: it was first recorded at seq:%llu (%s) and "
                           "no baseline was kept; --zero-unknown reads zeros there",
                           block, space->name, at, (unsigned long long)event.seq, clock_format(event.time_ns, when));
    return chv_err_set(err, EIO, "block %llu of %s as of seq:%llu is unknown: %s; --zero-unknown reads zeros there",
                       block, space->name, at,
                       space->rest == CHV_REST_SOURCE ? "the device changed later while no sensor was attached"
                                                      : "it was never recorded");
}

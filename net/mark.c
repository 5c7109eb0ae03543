/* How far the stream has got, kept in the evidence log itself: so it cannot be ahead of it or behind. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "net/sink.h"

#define WIRE_SPACE "wire"
#define CAPTURE_PREFIX "capture:"
#define MAP_PREFIX "map:cr3-"
#define CAPTURE_BYTES (256u << 10) /* of such a space (sensor/memory) */
#define DEVICES_AT 4096u /* the second block: the devices, for people */

static bool is_own(const char *space, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(space, prefix, n) == 0 && space[n];
}

static int add_text(struct sink *s, uint16_t space, uint64_t offset, uint32_t bytes, const char *text, size_t n, struct chv_err *err)
{
    uint8_t *content;
    struct chv_record *r = sink_add(s, &content, err);
    if (!r) return -err->code;
    memset(content, 0, CHV_WIRE_BLOCK_BYTES);
    memcpy(content, text, n);
    r->space = space;
    r->op = CHV_OP_FOUND;
    r->lba = offset / CHV_SECTOR_BYTES;
    r->sectors = bytes / CHV_SECTOR_BYTES;
    r->data = content;
    /* Not when the batch is recorded: where the sensor's clock is behind, records after the mark would get its time. */
    r->time_ns = s->last_ns ? s->last_ns : clock_now_ns();
    return 0;
}

/* Behind the records that it counts, in front of all others: the batch keeps their order. */
int mark_write(struct sink *s, struct chv_err *err)
{
    char text[256], hex[2 * CHV_WIRE_STREAM_BYTES + 1];
    snprintf(text, sizeof text, "{\"wire\": 1, \"sensor\": \"%s\", \"stream\": \"%s\", \"records\": %" PRIu64 ", \"devices\": %u}\n",
             s->sensor, hex_format(s->stream, sizeof s->stream, hex), s->recorded, s->announced);
    int r = add_text(s, s->wire_space, 0, s->block_bytes, text, strlen(text), err);
    if (r == 0) s->marked = s->recorded;
    return r;
}

int mark_devices(struct sink *s, struct chv_err *err)
{
    char text[CHV_WIRE_BLOCK_BYTES];
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->device_count; i++) {
        char serial[CHV_WIRE_SERIAL_BYTES + 1] = {0};
        memcpy(serial, s->devices[i].serial, CHV_WIRE_SERIAL_BYTES);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "space", s->devices[i].name, "serial", serial, "bytes",
                                              (json_int_t)s->devices[i].bytes));
    }
    size_t n = json_dumpb(list, text, sizeof text - 1, JSON_COMPACT);
    json_decref(list);
    if (n >= sizeof text) return chv_err_set(err, E2BIG, "the devices' names do not fit a block");
    text[n] = 0;
    return add_text(s, s->wire_space, DEVICES_AT, CHV_WIRE_BLOCK_BYTES, text, n, err);
}

static int write_text(struct sink *s, const char *space, const char *text, uint64_t size, uint64_t *last_seq, struct chv_err *err)
{
    struct chv_recorder_stats stats;
    uint64_t ticket;
    uint16_t id;
    size_t bytes = strlen(text), unit = s->block_bytes;
    int r = chv_recorder_space(s->rec, space, size, CHV_REST_ZERO, NULL, &id, err);
    /* The first block is the last: as of its event, all of the text is there. Behind it there is a zero, always. */
    for (size_t at = bytes / unit * unit + unit; r == 0 && at > 0;) {
        at -= unit;
        r = add_text(s, id, at, s->block_bytes, text + at, bytes - at < unit ? bytes - at : unit, err);
    }
    if (r == 0) r = sink_flush(s, err);
    if (r == 0) r = chv_recorder_append(s->rec, NULL, 0, &ticket, err);
    if (r == 0) r = chv_recorder_wait(s->rec, ticket, err);
    chv_recorder_stats(s->rec, &stats);
    *last_seq = stats.last_seq;
    return r;
}

int mark_capture(struct sink *s, const char *space, const char *text, uint64_t *last_seq, struct chv_err *err)
{
    if (is_own(space, CAPTURE_PREFIX) && strlen(text) < CAPTURE_BYTES) return write_text(s, space, text, CAPTURE_BYTES, last_seq, err);
    if (!is_own(space, MAP_PREFIX) || strchr(text, '\n') || strncmp(s->walked.name, "proc:", 5) != 0 || strcmp(s->walked.name + 5, space + 4) != 0)
        return chv_err_set(err, EINVAL, "'%.32s' does not describe what was recorded, or at too great a length", space);
    json_t *head = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(head)) {
        json_decref(head);
        return chv_err_set(err, EINVAL, "'%.32s': what is said of it is no JSON object", space);
    }
    char *whole = walked_text(&s->walked, head);
    json_decref(head);
    size_t size = whole ? (strlen(whole) / CHV_WIRE_BLOCK_BYTES + 1) * CHV_WIRE_BLOCK_BYTES : 0;
    int r = whole ? write_text(s, space, whole, size, last_seq, err) : chv_err_set(err, ENOMEM, "out of memory");
    free(whole);
    return r;
}

static int parse(struct sink *s, const char *text, struct chv_err *err)
{
    const char *sensor, *stream;
    json_int_t version, records, devices;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int r = root && json_unpack(root, "{s:I, s:s, s:s, s:I, s:I}", "wire", &version, "sensor", &sensor, "stream", &stream, "records",
                                &records, "devices", &devices) == 0 &&
                    version == 1 && strlen(sensor) > 0 && strlen(sensor) <= CHV_WIRE_NAME_BYTES && strlen(stream) == 2 * sizeof s->stream &&
                    hex_parse(stream, s->stream, sizeof s->stream) == 0 && records >= 0 && devices >= 0 && devices <= (json_int_t)CHV_WIRE_DEVICES
                ? 0
                : chv_err_set(err, EPROTO, "%s: its space '" WIRE_SPACE "' does not hold what a collector writes there", s->options.store_dir);
    if (r == 0) {
        memcpy(s->sensor, sensor, strlen(sensor) + 1);
        s->recorded = (uint64_t)records;
        s->announced = (uint32_t)devices;
    }
    json_decref(root);
    return r;
}

/* Does a record of the wire stand behind this event? Gaps with other reasons are ours, or the recorder's. */
static bool counts(const struct sink *s, const struct chv_event *e)
{
    struct chv_gap_detail detail;
    const struct chv_space *space = chv_store_space_by_id(s->store, e->space);
    if (e->space == s->wire_space || (space && (is_own(space->name, CAPTURE_PREFIX) || is_own(space->name, MAP_PREFIX)))) return false;
    if (e->op == CHV_OP_GAP) {
        memcpy(&detail, e->hash, sizeof detail);
        return chv_wire_gap(detail.reason) || detail.reason == CHV_GAP_PARTIAL;
    }
    return chv_op_has_content(e->op) || e->op == CHV_OP_READ || e->op == CHV_OP_ZERO || e->op == CHV_OP_TRIM || e->op == CHV_OP_FLUSH;
}

static int count_behind(struct sink *s, uint64_t seq, uint64_t last_seq, struct chv_err *err)
{
    struct chv_cursor *cursor;
    const struct chv_event *events;
    size_t count;
    uint64_t row = 0;
    int r = chv_cursor_open(s->store, seq + 1, last_seq, &cursor, err);
    if (r < 0) return r;
    while ((r = chv_cursor_next(cursor, &events, &count, err)) > 0)
        for (size_t i = 0; i < count; i++) {
            if (!counts(s, &events[i])) continue;
            bool continued = chv_op_has_content(events[i].op) && (events[i].flags & CHV_EVENT_CONTINUED);
            if (!continued) s->recorded++;
            row = continued ? row + 1 : 1;
        }
    chv_cursor_close(cursor);
    /* A row of 512-byte blocks may have been cut off: its record is asked for again, for what is missing of it. */
    if (s->block_bytes < CHV_WIRE_BLOCK_BYTES && row > 0) {
        s->recorded--;
        s->skip_events = row;
    }
    return r;
}

int mark_open(struct sink *s, struct chv_err *err)
{
    struct chv_store_info info;
    struct chv_extent e;
    char text[CHV_WIRE_BLOCK_BYTES + 1] = {0};
    int r = chv_recorder_space(s->rec, WIRE_SPACE, 2 * DEVICES_AT, CHV_REST_ZERO, NULL, &s->wire_space, err);
    if (r < 0 || chv_store_space_by_id(s->store, s->wire_space) == NULL) return r; /* a new one */
    chv_store_info(s->store, &info);
    r = chv_store_block_at(s->store, s->wire_space, 0, info.last_seq, &e, err);
    if (r < 0 || e.state != CHV_STATE_DATA) return r;
    r = chv_store_read_block(s->store, e.hash, text, err);
    if (r == 0) r = parse(s, text, err);
    if (r == 0) r = count_behind(s, e.seq, info.last_seq, err);
    s->durable = s->marked = s->recorded;
    return r;
}

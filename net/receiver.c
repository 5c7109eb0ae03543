#include "net/receiver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/event.h"

int receiver_init(struct receiver *r, const uint8_t key[CHV_WIRE_KEY_BYTES], uint32_t window, const struct receiver_ops *ops, void *arg)
{
    memset(r, 0, sizeof *r);
    memcpy(r->key, key, sizeof r->key);
    r->window = window < 1 ? 1 : window > CHV_WIRE_WINDOW ? CHV_WIRE_WINDOW : window;
    r->ops = ops;
    r->arg = arg;
    r->here = calloc(r->window, sizeof *r->here);
    return r->here ? 0 : -ENOMEM;
}

void receiver_fini(struct receiver *r)
{
    session_clear(&r->live);
    for (size_t i = 0; i < RECEIVER_PENDING; i++) session_clear(&r->pending[i]);
    free(r->here);
    free(r->chunks);
    memset(r, 0, sizeof *r);
}

/* --- replay --------------------------------------------------------------------------------------- */

static bool replayed(const struct receiver *r, uint64_t counter)
{
    if (counter >= r->highest) return false;
    if (r->highest - counter > RECEIVER_REPLAY - 64) return true;
    return r->replay[counter / 64 % (RECEIVER_REPLAY / 64)] >> counter % 64 & 1;
}

/* A ring of words of 64 counters each; those that the highest moves into are cleared. So of the oldest word's counters, whose
 * place the newest takes, none may come any more. */
static void remember(struct receiver *r, uint64_t counter)
{
    const uint64_t words = RECEIVER_REPLAY / 64;
    if (counter >= r->highest) {
        uint64_t from = r->highest == 0 ? 0 : (r->highest - 1) / 64 + 1, to = counter / 64;
        if (to >= words && from < to - words + 1) from = to - words + 1;
        for (uint64_t w = from; w <= to; w++) r->replay[w % words] = 0;
        r->highest = counter + 1;
    }
    r->replay[counter / 64 % words] |= UINT64_C(1) << counter % 64;
}

/* --- frames of a session ------------------------------------------------------------------------ */

/* A list may grow and devices may change their size: their order stays. Behind the last record that has come, a process's place may
 * be another one's. */
static bool devices_fit(const struct receiver *r, const struct chv_device *devices, size_t count)
{
    bool whole = r->stream.have == 0;
    for (size_t i = 0; i < r->window; i++) whole = whole && !r->here[i];
    if (count == 0 || count > CHV_WIRE_DEVICES || count < r->device_count) return false;
    for (size_t i = 0; i < count; i++) {
        if (!chv_wire_device_fits(&devices[i])) return false;
        if (i < r->device_count && strcmp(devices[i].name, r->devices[i].name) != 0 &&
            !(whole && chv_wire_device_process(&devices[i]) && chv_wire_device_process(&r->devices[i])))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(devices[i].name, devices[j].name) == 0) return false;
    }
    return true;
}

static int malformed(struct receiver *r)
{
    r->counters.malformed++;
    return 0;
}

static int on_record(void *arg, const struct chv_wire_record *record, const void *content)
{
    struct receiver *r = arg;
    r->counters.records++;
    return r->ops->record(r->arg, record, content);
}

/* Whatever follows goes on from here: the window begins at the oldest chunk that the sensor has. */
static int begin(struct receiver *r, const struct chv_start *start)
{
    size_t slot_bytes = sizeof(struct chv_data) + r->live.hello.chunk_bytes;
    uint8_t *chunks = realloc(r->chunks, r->window * slot_bytes);
    if (!chunks) return -ENOMEM;
    r->chunks = chunks;
    r->slot_bytes = slot_bytes;
    memset(r->here, 0, r->window * sizeof *r->here);
    r->next_chunk = start->chunk;
    r->generation = 0;
    if (start->first_record > r->stream.wanted) {
        uint64_t first = r->stream.wanted;
        r->stream.wanted = start->first_record;
        int code = r->ops->missing(r->arg, first, start->first_record - 1);
        if (code < 0) return code;
    }
    r->stream.number = 0; /* set where the first chunk's first record begins */
    return 0;
}

static int on_start(struct receiver *r, const uint8_t *body, size_t n, bool first)
{
    struct chv_start start;
    struct chv_device devices[CHV_WIRE_DEVICES];
    if (n < sizeof start) return malformed(r);
    memcpy(&start, body, sizeof start);
    if (start.devices > CHV_WIRE_DEVICES || n != sizeof start + start.devices * sizeof *devices) return malformed(r);
    memcpy(devices, body + sizeof start, start.devices * sizeof *devices);
    if (start.generation != 0 && start.generation < r->generation) return 0; /* overtaken by a newer list */
    if (!devices_fit(r, devices, start.devices) || start.first_record == 0 || start.generation == 0) return malformed(r);
    r->ack_wanted = true;
    if (start.generation == r->generation) return 0;
    int code = r->ops->devices(r->arg, &r->live.hello, devices, start.devices);
    if (code == 0 && first) code = begin(r, &start);
    if (code < 0) return code;
    memcpy(r->devices, devices, sizeof devices);
    r->device_count = r->stream.device_count = start.devices;
    r->stream.devices = r->devices;
    r->generation = start.generation;
    return 0;
}

/* The chunk at next_chunk is here: its records are handed on. */
static int take_chunk(struct receiver *r)
{
    const uint8_t *chunk = r->chunks + r->next_chunk % r->window * r->slot_bytes;
    struct chv_data d;
    memcpy(&d, chunk, sizeof d);
    const uint8_t *data = chunk + sizeof d;
    size_t skip = 0;
    if (r->stream.number == 0) { /* the first of the session may begin inside a record that is known already */
        skip = d.first_offset;
        if (skip < d.bytes) stream_seek(&r->stream, d.first_record);
    }
    r->here[r->next_chunk % r->window] = false;
    r->next_chunk++;
    return stream_feed(&r->stream, data + skip, d.bytes - skip, on_record, r);
}

static int on_data(struct receiver *r, const uint8_t *body, size_t n)
{
    struct chv_data d;
    if (n < sizeof d) return malformed(r);
    memcpy(&d, body, sizeof d);
    if (d.bytes == 0 || d.bytes > r->live.hello.chunk_bytes || n != sizeof d + d.bytes || d.first_offset > d.bytes || d.first_record == 0 ||
        d.generation > r->generation)
        return malformed(r);
    r->ack_wanted = true;
    if (d.chunk >= r->next_chunk && d.chunk - r->next_chunk >= r->window) {
        r->counters.beyond++;
        return 0;
    }
    if (d.chunk < r->next_chunk || r->here[d.chunk % r->window]) {
        r->counters.again++;
        return 0;
    }
    memcpy(r->chunks + d.chunk % r->window * r->slot_bytes, body, n);
    r->here[d.chunk % r->window] = true;
    r->counters.chunks++;
    int code = 0;
    while (code == 0 && r->here[r->next_chunk % r->window]) code = take_chunk(r);
    if (code != -EPROTO) return code;
    r->counters.bad_records++; /* nothing of the stream behind it can be understood: no more of this session */
    session_clear(&r->live);
    return 0;
}

static int on_reply(struct receiver *r, const uint8_t *body, size_t n)
{
    struct chv_reply reply;
    if (n < sizeof reply) return malformed(r);
    memcpy(&reply, body, sizeof reply);
    if (reply.stretches > CHV_WIRE_RAM || reply.processors > CHV_WIRE_PROCESSORS || reply.state > CHV_REPLY_CUT ||
        n != sizeof reply + reply.stretches * sizeof(struct chv_wire_stretch) + reply.processors * sizeof(struct chv_wire_processor))
        return malformed(r);
    r->counters.replies++;
    if (r->ops->reply) r->ops->reply(r->arg, body, n);
    return 0;
}

/* An offered session is taken up: it is the live one now. */
static void take_up(struct receiver *r, struct receiver_session *s, uint64_t records)
{
    bool same = memcmp(r->stream_id, s->hello.stream, sizeof r->stream_id) == 0 && r->stream.wanted > 0;
    session_clear(&r->live);
    r->live = *s;
    memset(s, 0, sizeof *s);
    r->counters.sessions++;
    r->counter_out = r->highest = 0;
    r->echo_ns = 0;
    memset(r->replay, 0, sizeof r->replay);
    r->generation = 0;
    r->device_count = 0;
    if (same) return; /* records that are not durable yet were handed on nonetheless */
    memcpy(r->stream_id, r->live.hello.stream, sizeof r->stream_id);
    r->stream.wanted = records + 1;
    r->durable = records;
}

static int on_sealed(struct receiver *r, const struct chv_frame_header *h, uint8_t *frame, size_t n)
{
    struct receiver_session *s = r->live.id && h->session == r->live.id ? &r->live : session_pending(r, h->session);
    uint8_t *body = frame + sizeof *h;
    bool first = s != &r->live;
    if (!s || (first && h->type != CHV_FRAME_START)) {
        r->counters.stray++;
        return 0;
    }
    if (n < sizeof *h + CHV_WIRE_TAG_BYTES) return malformed(r);
    size_t bytes = n - sizeof *h - CHV_WIRE_TAG_BYTES;
    if (!first && replayed(r, h->counter)) {
        r->counters.replayed++;
        return 0;
    }
    if (!seal_open(&s->in, h->counter, frame, sizeof *h, body, bytes)) {
        r->counters.forged++;
        return 0;
    }
    if (first) {
        uint64_t records;
        bool known;
        struct chv_hello hello = s->hello;
        int code = r->ops->resume(r->arg, &hello, &records, &known);
        if (code < 0) return code == -EACCES ? 0 : code;
        take_up(r, s, records);
    }
    if (h->type == CHV_FRAME_REPLY) {
        remember(r, h->counter);
        return on_reply(r, body, bytes);
    }
    uint64_t sent_ns = 0;
    if (bytes >= 24) memcpy(&sent_ns, body + offsetof(struct chv_data, sent_ns), sizeof sent_ns);
    if (h->counter >= r->highest) r->echo_ns = sent_ns;
    remember(r, h->counter);
    if (h->type == CHV_FRAME_START) return on_start(r, body, bytes, first || r->generation == 0);
    return r->generation == 0 ? malformed(r) : on_data(r, body, bytes);
}

int receiver_frame(struct receiver *r, void *frame, size_t n)
{
    struct chv_frame_header h;
    r->counters.frames++;
    if (n < sizeof h || n > CHV_WIRE_FRAME_BYTES_MAX) return malformed(r);
    memcpy(&h, frame, sizeof h);
    if (h.magic[0] != 'C' || h.magic[1] != 'W' || h.version != CHV_WIRE_VERSION) return malformed(r);
    switch (h.type) {
    case CHV_FRAME_HELLO: return session_offer(r, frame, n);
    case CHV_FRAME_START:
    case CHV_FRAME_DATA:
    case CHV_FRAME_REPLY: return on_sealed(r, &h, frame, n);
    default: return malformed(r);
    }
}

void receiver_durable(struct receiver *r, uint64_t records)
{
    if (records <= r->durable || records >= r->stream.wanted) return;
    r->durable = records;
    r->ack_wanted = r->generation != 0;
}

static bool send_sealed(struct receiver *r, enum chv_frame_type type, const void *body, size_t n)
{
    uint8_t frame[sizeof(struct chv_frame_header) + sizeof(struct chv_ack) + CHV_WIRE_TAG_BYTES];
    struct chv_frame_header h = {{'C', 'W'}, CHV_WIRE_VERSION, (uint8_t)type, r->live.id, r->counter_out++};
    memcpy(frame, &h, sizeof h);
    memcpy(frame + sizeof h, body, n);
    if (seal_close(&r->live.out, h.counter, frame, sizeof h, frame + sizeof h, n) < 0) return false;
    r->ops->send(r->arg, frame, sizeof h + n + CHV_WIRE_TAG_BYTES, true);
    return true;
}

bool receiver_request(struct receiver *r, const struct chv_request *request)
{
    _Static_assert(sizeof *request <= sizeof(struct chv_ack), "the longest frame to a sensor");
    if (!r->live.id || r->generation == 0) return false;
    r->counters.requests++;
    return send_sealed(r, CHV_FRAME_REQUEST, request, sizeof *request);
}

void receiver_acknowledge(struct receiver *r)
{
    if (!r->ack_wanted || !r->live.id || r->generation == 0) return;
    r->ack_wanted = false;
    struct chv_ack a = {.records = r->durable, .next_chunk = r->next_chunk, .echo_ns = r->echo_ns,
                        .highest = r->highest - 1, .generation = r->generation, .window = r->window};
    for (uint64_t i = 0; i < r->window; i++)
        if (r->here[(r->next_chunk + i) % r->window]) a.received[i / 8] |= (uint8_t)(1 << i % 8);
    r->echo_ns = 0; /* an answer that waits for the store would look like a slow network */
    r->counters.acks += send_sealed(r, CHV_FRAME_ACK, &a, sizeof a);
}

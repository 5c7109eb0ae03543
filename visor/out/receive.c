/* What the collector says. */
#include "visor/out/sender.h"

#include "visor/out/aead.h"

static bool fresh(const struct sender *s, uint64_t counter)
{
    if (counter >= s->seen) return true;
    uint64_t age = s->seen - 1 - counter;
    return age < 64 && !(s->seen_mask >> age & 1);
}

/* Only after the frame was found genuine. */
static void remember(struct sender *s, uint64_t counter)
{
    if (counter >= s->seen) {
        uint64_t ahead = counter - s->seen + 1;
        s->seen_mask = ahead < 64 ? s->seen_mask << ahead | 1 : 1;
        s->seen = counter + 1;
    } else {
        s->seen_mask |= UINT64_C(1) << (s->seen - 1 - counter);
    }
}

/* RFC 6298, without its clock: of frames that were sent once each, since every copy has a counter of its own. */
static void measure(struct sender *s, uint64_t rtt_ns)
{
    if (!s->rtt_ns) {
        s->rtt_ns = rtt_ns;
        s->rtt_var_ns = rtt_ns / 2;
        return;
    }
    uint64_t off = rtt_ns > s->rtt_ns ? rtt_ns - s->rtt_ns : s->rtt_ns - rtt_ns;
    s->rtt_var_ns += off / 4;
    s->rtt_var_ns -= s->rtt_var_ns / 4;
    s->rtt_ns = (s->rtt_ns * 7 + rtt_ns) / 8;
}

static void arrived(struct sender *s, uint64_t number, uint32_t *count)
{
    struct sender_chunk *c = sender_chunk_at(s, number);
    if (c->state == CHUNK_SENT) s->under_way--;
    if (c->state == CHUNK_LOST) s->lost--;
    if (c->state == CHUNK_SENT || c->state == CHUNK_LOST) ++*count;
    c->state = CHUNK_ARRIVED;
}

static bool receive_ack(struct sender *s, const struct chv_ack *a, uint64_t now_ns)
{
    uint32_t count = 0;
    if (a->records >= s->next_record || a->next_chunk > s->next || a->generation > s->generation || a->window > CHV_WIRE_WINDOW)
        return false;
    if (a->highest >= s->counter) return false;
    sender_forget(s, a->records);
    for (uint64_t n = s->arrived; n < a->next_chunk; n++) arrived(s, n, &count);
    if (a->next_chunk > s->arrived) s->arrived = a->next_chunk;
    for (uint64_t n = s->arrived; n < s->next && n - a->next_chunk < CHV_WIRE_WINDOW; n++) { /* usually few */
        uint64_t i = n - a->next_chunk;
        if (a->received[i / 8] >> i % 8 & 1) arrived(s, n, &count);
    }
    s->acknowledged = a->generation;
    s->window = a->window ? a->window : 1;
    if (a->echo_ns && a->echo_ns <= now_ns) measure(s, now_ns - a->echo_ns);
    if (s->state == SENDER_STARTING && a->generation == s->generation) {
        s->state = SENDER_RUNNING;
        s->check_ns = 0;
    }
    if (s->congestion < CHV_WIRE_WINDOW && s->under_way + count + 8 >= s->congestion) s->congestion += (count + 3) / 4;
    if (s->congestion > CHV_WIRE_WINDOW) s->congestion = CHV_WIRE_WINDOW;
    if (count > 0 || s->under_way > 0) sender_lost(s, a->highest, now_ns);
    s->asked_ns = s->under_way > 0 || s->lost > 0 ? now_ns : 0;
    return true;
}

static bool receive_request(struct sender *s, const struct chv_request *r)
{
    uint8_t reply[CHV_WIRE_REPLY_BYTES_MAX];
    size_t n = r->id && r->kind >= CHV_REQUEST_LOOK && r->kind <= CHV_REQUEST_STOP && !r->reserved && s->config.request
                   ? s->config.request(s->config.arg, r, reply)
                   : 0;
    __builtin_memcpy(s->frame + sizeof(struct chv_frame_header), reply, n);
    if (n) sender_send_sealed(s, CHV_FRAME_REPLY, n); /* if it is not taken, the collector asks again */
    return n > 0;
}

static bool receive_sealed(struct sender *s, uint8_t *frame, size_t n, const struct chv_frame_header *h, uint64_t now_ns)
{
    uint8_t nonce[12] = {0};
    struct chv_ack a;
    struct chv_request r;
    size_t body = h->type == CHV_FRAME_ACK ? sizeof a : sizeof r;
    if (s->state == SENDER_GREETING || n != sizeof *h + body + CHV_WIRE_TAG_BYTES || h->session != s->session) return false;
    if (!fresh(s, h->counter)) return false;
    __builtin_memcpy(nonce + 4, &h->counter, 8);
    if (!aead_open(s->key_in, nonce, frame, sizeof *h, frame + sizeof *h, body)) return false;
    remember(s, h->counter);
    if (h->type == CHV_FRAME_REQUEST) {
        __builtin_memcpy(&r, frame + sizeof *h, sizeof r);
        return receive_request(s, &r);
    }
    __builtin_memcpy(&a, frame + sizeof *h, sizeof a);
    return receive_ack(s, &a, now_ns);
}

void sender_receive(struct sender *s, void *frame, size_t n, uint64_t now_ns)
{
    struct chv_frame_header h;
    bool good = false;
    if (n >= sizeof h && n <= CHV_WIRE_FRAME_BYTES_MAX) {
        __builtin_memcpy(&h, frame, sizeof h);
        if (h.magic[0] == 'C' && h.magic[1] == 'W' && h.version == CHV_WIRE_VERSION)
            good = h.type == CHV_FRAME_WELCOME ? sender_welcome(s, frame, n, now_ns)
                   : h.type == CHV_FRAME_ACK || h.type == CHV_FRAME_REQUEST ? receive_sealed(s, frame, n, &h, now_ns)
                                                                            : false;
    }
    if (!good) {
        s->stats.refused++;
        return;
    }
    s->stats.frames_in++;
    s->heard_ns = now_ns;
}

/* Sessions: who is there, and under which keys. */
#include <errno.h>
#include <string.h>

#include "net/receiver.h"

void session_clear(struct receiver_session *s)
{
    seal_fini(&s->in);
    seal_fini(&s->out);
    memset(s, 0, sizeof *s);
}

struct receiver_session *session_pending(struct receiver *r, uint32_t id)
{
    for (size_t i = 0; i < RECEIVER_PENDING; i++)
        if (id && r->pending[i].id == id) return &r->pending[i];
    return NULL;
}

/* A genuine HELLO, decrypted: its key is used for nothing else. */
static int open_hello(struct receiver *r, uint8_t *frame, struct chv_hello *hello)
{
    uint8_t key[32], *nonce = frame + sizeof(struct chv_frame_header), *body = nonce + CHV_WIRE_NONCE_BYTES;
    struct seal seal;
    memcpy(key, r->key, sizeof key);
    if (seal_derive(key, CHV_WIRE_LABEL_HELLO, 16) < 0 || seal_derive(key, nonce, CHV_WIRE_NONCE_BYTES) < 0 || seal_init(&seal, key) < 0)
        return -ENOMEM;
    bool good = seal_open(&seal, 0, frame, sizeof(struct chv_frame_header) + CHV_WIRE_NONCE_BYTES, body, sizeof *hello);
    seal_fini(&seal);
    if (!good) return -EBADMSG;
    memcpy(hello, body, sizeof *hello);
    return 0;
}

/* Keys of a new session; its WELCOME's key in `seal`. */
static int make_keys(const struct receiver *r, struct receiver_session *s, struct seal *seal)
{
    uint8_t secret[32], in[32], out[32], welcome[32];
    memcpy(secret, r->key, sizeof secret);
    int code = seal_derive(secret, CHV_WIRE_LABEL_SESSION, 16);
    if (code == 0) code = seal_derive(secret, s->nonce, sizeof s->nonce);
    if (code == 0) code = seal_derive(secret, s->own_nonce, sizeof s->own_nonce);
    memcpy(in, secret, sizeof in);
    memcpy(out, secret, sizeof out);
    memcpy(welcome, secret, sizeof welcome);
    if (code == 0) code = seal_derive(in, CHV_WIRE_LABEL_SENSOR, 16);
    if (code == 0) code = seal_derive(out, CHV_WIRE_LABEL_COLLECTOR, 16);
    if (code == 0) code = seal_derive(welcome, CHV_WIRE_LABEL_WELCOME, 16);
    if (code == 0) code = seal_init(&s->in, in);
    if (code == 0) code = seal_init(&s->out, out);
    return code == 0 ? seal_init(seal, welcome) : code;
}

static int send_welcome(struct receiver *r, struct receiver_session *s, struct seal *seal, uint64_t records, bool known)
{
    uint8_t frame[CHV_WIRE_HELLO_BYTES];
    struct chv_frame_header h = {{'C', 'W'}, CHV_WIRE_VERSION, CHV_FRAME_WELCOME, s->id, 0};
    struct chv_welcome w = {.records = records, .window = r->window, .flags = known ? CHV_WELCOME_KNOWN : 0};
    const size_t clear = sizeof h + CHV_WIRE_NONCE_BYTES;
    memcpy(frame, &h, sizeof h);
    memcpy(frame + sizeof h, s->own_nonce, CHV_WIRE_NONCE_BYTES);
    memcpy(frame + clear, &w, sizeof w);
    int code = seal_close(seal, 0, frame, clear, frame + clear, sizeof w);
    if (code == 0) r->ops->send(r->arg, frame, sizeof frame, false);
    return code;
}

int session_offer(struct receiver *r, uint8_t *frame, size_t n)
{
    const uint8_t *nonce = frame + sizeof(struct chv_frame_header);
    struct chv_hello hello;
    struct seal seal = {0};
    uint64_t records;
    bool known;
    if (n != CHV_WIRE_HELLO_BYTES) {
        r->counters.malformed++;
        return 0;
    }
    bool seen = r->live.id && memcmp(nonce, r->live.nonce, CHV_WIRE_NONCE_BYTES) == 0;
    for (size_t i = 0; i < RECEIVER_PENDING; i++)
        seen |= r->pending[i].id && memcmp(nonce, r->pending[i].nonce, CHV_WIRE_NONCE_BYTES) == 0;
    uint8_t own[CHV_WIRE_NONCE_BYTES];
    memcpy(own, nonce, sizeof own);
    int code = open_hello(r, frame, &hello);
    if (code == -EBADMSG) {
        r->counters.forged++;
        return 0;
    }
    if (code < 0) return code;
    if (seen) { /* the network doubled it, or somebody else did; the answer is under way, or lost and will be asked for again */
        r->counters.replayed++;
        return 0;
    }
    if (!chv_wire_sensor_fits(hello.sensor) || hello.chunk_bytes < CHV_WIRE_CHUNK_BYTES_MIN ||
        hello.chunk_bytes > CHV_WIRE_CHUNK_BYTES_MAX) {
        r->counters.malformed++;
        return 0;
    }
    r->counters.hellos++;
    code = r->ops->resume(r->arg, &hello, &records, &known);
    if (code == -EACCES) {
        r->counters.refused++;
        return 0;
    }
    if (code < 0) return code;
    struct receiver_session *s = &r->pending[r->next_pending++ % RECEIVER_PENDING];
    session_clear(s);
    s->hello = hello;
    memcpy(s->nonce, own, sizeof own);
    r->ops->random(r->arg, s->own_nonce, sizeof s->own_nonce);
    do
        r->ops->random(r->arg, &s->id, sizeof s->id);
    while (s->id == 0 || s->id == r->live.id);
    code = make_keys(r, s, &seal);
    if (code == 0) code = send_welcome(r, s, &seal, records, known);
    seal_fini(&seal);
    if (code < 0) session_clear(s);
    return code;
}

/* Sessions and transmission. */
#include "visor/out/sender.h"

#include "visor/out/aead.h"

#define MS UINT64_C(1000000)
#define HELLO_FIRST_NS (100 * MS)
#define HELLO_MOST_NS (2000 * MS)
#define ALIVE_NS (2000 * MS)  /* an idle sensor says that it lives */
#define DEAD_NS (1000 * MS)   /* no answer for so long: a new session */
#define ASK_NS (100 * MS)     /* evidence is not durable yet and nothing is under way: ask */
#define FILL_NS (2 * MS)      /* how long an unfilled chunk waits for more */
#define RTO_LEAST_NS (20 * MS)
#define RTO_MOST_NS (500 * MS)
#define CONGESTION_FIRST 64u
#define CONGESTION_LEAST 16u
#define REORDERED 24u         /* a frame that this many later ones overtook is lost */

static uint8_t *body_of(struct sender *s)
{
    return s->frame + sizeof(struct chv_frame_header);
}

/* --- sessions --------------------------------------------------------------------------------- */

void sender_restart(struct sender *s, uint64_t now_ns)
{
    sender_random(s, s->nonce, sizeof s->nonce);
    s->state = SENDER_GREETING;
    s->due_ns = now_ns;
    s->backoff_ns = HELLO_FIRST_NS;
    s->asked_ns = 0;
}

/* Key from key: a row of 16-byte inputs. */
static void derive(uint8_t key[32], const void *inputs, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 16) aead_derive(key, (const uint8_t *)inputs + i, key);
}

static void header(struct sender *s, enum chv_frame_type type, uint64_t counter)
{
    struct chv_frame_header h = {{'C', 'W'}, CHV_WIRE_VERSION, (uint8_t)type, type == CHV_FRAME_HELLO ? 0 : s->session, counter};
    __builtin_memcpy(s->frame, &h, sizeof h);
}

/* The counter moves on even if the frame is not taken: no two frames are ever sealed with the same. */
bool sender_send_sealed(struct sender *s, enum chv_frame_type type, size_t body)
{
    uint8_t nonce[12] = {0};
    header(s, type, s->counter);
    __builtin_memcpy(nonce + 4, &s->counter, 8);
    s->counter++;
    aead_seal(s->key_out, nonce, s->frame, sizeof(struct chv_frame_header), body_of(s), body);
    return s->config.transmit(s->config.arg, s->frame, sizeof(struct chv_frame_header) + body + CHV_WIRE_TAG_BYTES);
}

static void send_hello(struct sender *s, uint64_t now_ns)
{
    const uint8_t nonce[12] = {0};
    uint8_t key[32], *at = body_of(s);
    struct chv_hello hello = {.time_ns = now_ns, .chunk_bytes = s->config.chunk_bytes};
    __builtin_memcpy(hello.stream, s->stream, sizeof hello.stream);
    __builtin_memcpy(hello.sensor, s->config.sensor, sizeof hello.sensor);
    /* The nonce is new for every HELLO: its key is used once. */
    sender_random(s, s->nonce, sizeof s->nonce);
    __builtin_memcpy(key, s->config.key, sizeof key);
    derive(key, CHV_WIRE_LABEL_HELLO, 16);
    derive(key, s->nonce, sizeof s->nonce);
    header(s, CHV_FRAME_HELLO, 0);
    __builtin_memcpy(at, s->nonce, sizeof s->nonce);
    __builtin_memcpy(at + sizeof s->nonce, &hello, sizeof hello);
    aead_seal(key, nonce, s->frame, sizeof(struct chv_frame_header) + sizeof s->nonce, at + sizeof s->nonce, sizeof hello);
    if (!s->config.transmit(s->config.arg, s->frame, CHV_WIRE_HELLO_BYTES)) { /* the network is not up yet */
        s->due_ns = now_ns + HELLO_FIRST_NS / 10;
        return;
    }
    s->due_ns = now_ns + s->backoff_ns;
    s->backoff_ns = s->backoff_ns * 2 < HELLO_MOST_NS ? s->backoff_ns * 2 : HELLO_MOST_NS;
}

bool sender_welcome(struct sender *s, uint8_t *frame, size_t n, uint64_t now_ns)
{
    const uint8_t nonce[12] = {0};
    struct chv_frame_header h;
    struct chv_welcome w;
    uint8_t secret[32], key[32], *body = frame + sizeof h + CHV_WIRE_NONCE_BYTES;
    if (s->state != SENDER_GREETING || n != CHV_WIRE_HELLO_BYTES) return false;
    __builtin_memcpy(&h, frame, sizeof h);
    __builtin_memcpy(secret, s->config.key, sizeof secret);
    derive(secret, CHV_WIRE_LABEL_SESSION, 16);
    derive(secret, s->nonce, sizeof s->nonce);
    derive(secret, frame + sizeof h, CHV_WIRE_NONCE_BYTES);
    __builtin_memcpy(key, secret, sizeof key);
    derive(key, CHV_WIRE_LABEL_WELCOME, 16);
    if (!aead_open(key, nonce, frame, sizeof h + CHV_WIRE_NONCE_BYTES, body, sizeof w)) return false;
    __builtin_memcpy(&w, body, sizeof w);
    if (w.records >= s->next_record || w.window == 0) return false;
    __builtin_memcpy(s->key_out, secret, sizeof secret);
    __builtin_memcpy(s->key_in, secret, sizeof secret);
    derive(s->key_out, CHV_WIRE_LABEL_SENSOR, 16);
    derive(s->key_in, CHV_WIRE_LABEL_COLLECTOR, 16);
    s->session = h.session;
    s->window = w.window;
    s->counter = s->seen = s->seen_mask = s->congested_counter = 0;
    sender_forget(s, w.records);
    /* What had arrived at a collector that is gone is to be sent again, unless it is durable. */
    for (uint64_t c = s->tail; c < s->head; c++) {
        sender_chunk_at(s, c)->state = CHUNK_READY;
        sender_chunk_at(s, c)->again = false;
    }
    s->next = s->arrived = s->tail;
    s->lost = s->under_way = 0;
    s->acknowledged = 0;
    s->congestion = CONGESTION_FIRST;
    s->rtt_ns = 0;
    s->state = SENDER_STARTING;
    s->due_ns = s->asked_ns = s->heard_ns = now_ns;
    s->stats.sessions++;
    return true;
}

/* --- what is sent ------------------------------------------------------------------------------ */

static uint64_t rto(const struct sender *s)
{
    uint64_t ns = s->rtt_ns ? s->rtt_ns + 4 * s->rtt_var_ns : 100 * MS;
    return ns < RTO_LEAST_NS ? RTO_LEAST_NS : ns > RTO_MOST_NS ? RTO_MOST_NS : ns;
}

static void send_start(struct sender *s, uint64_t now_ns)
{
    const struct sender_chunk *c = sender_chunk_at(s, s->tail);
    struct chv_start start = {s->tail, c->first_record, now_ns, c->first_offset, (uint16_t)s->device_count, s->generation};
    size_t devices = s->device_count * sizeof *s->devices;
    __builtin_memcpy(body_of(s), &start, sizeof start);
    __builtin_memcpy(body_of(s) + sizeof start, s->devices, devices);
    if (!sender_send_sealed(s, CHV_FRAME_START, sizeof start + devices)) return;
    if (!s->asked_ns) s->asked_ns = now_ns;
    s->due_ns = now_ns + (s->state == SENDER_STARTING || s->acknowledged != s->generation ? rto(s) : ALIVE_NS);
}

static bool send_chunk(struct sender *s, uint64_t number, uint64_t now_ns)
{
    struct sender_chunk *c = sender_chunk_at(s, number);
    struct chv_data d = {number, c->first_record, now_ns, c->first_offset, c->bytes, s->generation};
    uint64_t counter = s->counter;
    __builtin_memcpy(body_of(s), &d, sizeof d);
    __builtin_memcpy(body_of(s) + sizeof d, s->data + number % s->capacity * s->config.chunk_bytes, c->bytes);
    if (!sender_send_sealed(s, CHV_FRAME_DATA, sizeof d + c->bytes)) return false;
    if (c->state == CHUNK_LOST) {
        s->lost--;
        c->again = true;
        s->stats.frames_again++;
    }
    c->state = CHUNK_SENT;
    c->counter = counter;
    c->sent_ns = now_ns;
    s->under_way++;
    s->stats.frames++;
    if (!s->asked_ns) s->asked_ns = now_ns;
    return true;
}

/* A chunk that was overtaken (counters in order), or not heard of for an RTO (highest 0), is lost. */
void sender_lost(struct sender *s, uint64_t highest, uint64_t now_ns)
{
    uint64_t after = rto(s), earliest = UINT64_MAX, newest = 0;
    bool found = false;
    for (uint64_t n = s->arrived; n < s->next; n++) {
        struct sender_chunk *c = sender_chunk_at(s, n);
        if (c->state != CHUNK_SENT) continue;
        uint64_t due = c->sent_ns + (c->again ? 2 * after : after);
        if (c->counter + REORDERED < highest || now_ns >= due) {
            c->state = CHUNK_LOST;
            s->lost++;
            s->under_way--;
            found = true;
            if (c->counter > newest) newest = c->counter;
        } else if (due < earliest) {
            earliest = due;
        }
    }
    s->check_ns = earliest;
    /* Slower, once for all that was sent before it became slower. */
    if (found && newest >= s->congested_counter) {
        s->congestion = s->congestion * 3 / 4 > CONGESTION_LEAST ? s->congestion * 3 / 4 : CONGESTION_LEAST;
        s->congested_counter = s->counter;
    }
}

static void send_data(struct sender *s, uint64_t now_ns)
{
    uint64_t most = s->congestion < s->window ? s->congestion : s->window, end = s->arrived + s->window;
    for (uint64_t n = s->arrived; s->lost > 0 && s->under_way < most && n < s->next; n++)
        if (sender_chunk_at(s, n)->state == CHUNK_LOST && !send_chunk(s, n, now_ns)) return;
    while (s->next < s->head && s->next < end && s->under_way < most) {
        if (!send_chunk(s, s->next, now_ns)) return;
        s->next++;
        if (s->check_ns == UINT64_MAX) s->check_ns = now_ns + rto(s);
    }
}

void sender_poll(struct sender *s, uint64_t now_ns)
{
    sender_say_gaps(s, now_ns);
    if (s->state != SENDER_GREETING && s->asked_ns && now_ns > s->asked_ns + DEAD_NS && now_ns > s->heard_ns + DEAD_NS)
        sender_restart(s, now_ns);
    if (s->state == SENDER_GREETING) {
        if (now_ns >= s->due_ns && s->device_count > 0) send_hello(s, now_ns);
        return;
    }
    if (s->state == SENDER_STARTING || s->acknowledged != s->generation) {
        if (now_ns >= s->due_ns || (s->acknowledged && s->due_ns > now_ns + rto(s))) send_start(s, now_ns);
        return;
    }
    if (now_ns >= s->check_ns) sender_lost(s, 0, now_ns);
    const struct sender_chunk *open = sender_chunk_at(s, s->head);
    if (open->bytes > 0 && s->next == s->head && (s->under_way == 0 || now_ns >= s->filled_ns + FILL_NS)) sender_close_chunk(s);
    send_data(s, now_ns);
    bool waits = s->under_way == 0 && s->lost == 0 && s->tail < s->head && s->next == s->head && now_ns > s->heard_ns + ASK_NS;
    if (now_ns >= s->due_ns || (waits && s->due_ns > now_ns + ASK_NS)) {
        send_start(s, now_ns);
        if (waits) s->due_ns = now_ns + ASK_NS;
    }
}

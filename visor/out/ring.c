/* Records into chunks, and chunks out of the ring once their records are durable. */
#include "visor/out/sender.h"

#include "visor/out/aead.h"

#define CHUNKS_MIN 64u
#define BLOCK_SECTORS (CHV_WIRE_BLOCK_BYTES / CHV_SECTOR_BYTES)

static uint32_t chunk_bytes(const struct sender_config *config)
{
    return config->chunk_bytes ? config->chunk_bytes : CHV_WIRE_CHUNK_BYTES;
}

size_t sender_memory(const struct sender_config *config, size_t ring_bytes)
{
    size_t chunk = chunk_bytes(config), count = ring_bytes / chunk;
    if (count < CHUNKS_MIN) count = CHUNKS_MIN;
    return (count * (chunk + sizeof(struct sender_chunk)) + 7) / 8 * 8;
}

/* Fast key erasure: each block of key stream is half the next key, half output. */
void sender_random(struct sender *s, uint8_t *out, size_t n)
{
    static const uint8_t next[16] = "chv rng next key", give[16] = "chv rng out     ";
    while (n > 0) {
        uint8_t block[32];
        size_t part = n < sizeof block ? n : sizeof block;
        aead_derive(s->rng, give, block);
        aead_derive(s->rng, next, s->rng);
        __builtin_memcpy(out, block, part);
        out += part;
        n -= part;
    }
}

int sender_init(struct sender *s, const struct sender_config *config, void *memory, size_t bytes)
{
    uint32_t chunk = chunk_bytes(config);
    if (chunk < CHV_WIRE_CHUNK_BYTES_MIN || chunk > CHV_WIRE_CHUNK_BYTES_MAX || !config->transmit || !chv_wire_sensor_fits(config->sensor)) return -1;
    __builtin_memset(s, 0, sizeof *s);
    s->config = *config;
    s->config.chunk_bytes = chunk;
    s->capacity = bytes / (chunk + sizeof(struct sender_chunk));
    if (s->capacity < CHUNKS_MIN) return -1;
    s->chunks = memory;
    s->data = (uint8_t *)(s->chunks + s->capacity);
    s->next_record = 1;
    s->chunks[0] = (struct sender_chunk){.first_record = 1};
    __builtin_memcpy(s->rng, config->seed, sizeof s->rng);
    sender_random(s, s->stream, sizeof s->stream);
    sender_restart(s, 0);
    return 0;
}

int sender_device(struct sender *s, const struct chv_device *device)
{
    uint32_t i = 0, most = CHV_WIRE_DEVICES - !chv_wire_prefix(device, SENDER_OTHERS);
    if (!chv_wire_device_fits(device)) return -1;
    while (i < s->device_count && __builtin_memcmp(s->devices[i].name, device->name, sizeof device->name) != 0) i++;
    bool room = i < s->device_count || i < most;
    /* a process's place, if the list is full and nothing that is on its way means that one */
    if (!room && chv_wire_device_process(device) && sender_settled(s))
        for (uint32_t k = 0; !room && k < s->device_count; k++) {
            i = s->replaced++ % s->device_count;
            room = chv_wire_device_process(&s->devices[i]);
        }
    if (!room) return -1;
    if (i < s->device_count && __builtin_memcmp(&s->devices[i], device, sizeof *device) == 0) return (int)i;
    s->devices[i] = *device;
    if (i == s->device_count) s->device_count++;
    s->generation++;
    return (int)i;
}

/* --- taking records in ------------------------------------------------------------------------ */

static uint8_t *open_chunk(struct sender *s)
{
    return s->data + s->head % s->capacity * s->config.chunk_bytes;
}

/* What may still be put in: whole chunks behind the open one, and the rest of it. */
static uint64_t room(const struct sender *s)
{
    return (s->capacity - (s->head - s->tail)) * s->config.chunk_bytes - s->chunks[s->head % s->capacity].bytes;
}

void sender_close_chunk(struct sender *s)
{
    struct sender_chunk *c = sender_chunk_at(s, s->head);
    if (c->first_record == s->next_record && c->first_offset == 0) c->first_offset = c->bytes; /* none begins in it */
    c->state = CHUNK_READY;
    s->head++;
    *sender_chunk_at(s, s->head) = (struct sender_chunk){.first_record = s->next_record};
}

static void put(struct sender *s, const uint8_t *from, size_t n)
{
    while (n > 0) {
        struct sender_chunk *c = sender_chunk_at(s, s->head);
        size_t left = s->config.chunk_bytes - c->bytes, part = n < left ? n : left;
        __builtin_memcpy(open_chunk(s) + c->bytes, from, part);
        c->bytes = (uint16_t)(c->bytes + part);
        from += part;
        n -= part;
        if (c->bytes == s->config.chunk_bytes) sender_close_chunk(s);
    }
}

/* There is room. `next_record` counts on before the bytes go in, so that a chunk that is closed on the way says what
 * begins after it. */
static void put_record(struct sender *s, struct chv_wire_record *r, const void *content, uint64_t now_ns)
{
    struct sender_chunk *c = sender_chunk_at(s, s->head);
    if (c->bytes == 0) s->filled_ns = now_ns;
    if (c->first_record == s->next_record) c->first_offset = c->bytes;
    r->number = s->next_record++;
    put(s, (const uint8_t *)r, sizeof *r);
    put(s, content, r->bytes);
    s->stats.records++;
    s->stats.bytes += r->bytes;
}

/* A chunk is kept back, so that the open one never meets the tail. */
static bool fits(const struct sender *s, size_t bytes)
{
    return room(s) >= sizeof(struct chv_wire_record) + bytes + 2 * s->config.chunk_bytes;
}

bool sender_say_gaps(struct sender *s, uint64_t now_ns)
{
    for (uint32_t i = 0; i < s->device_count; i++) {
        struct sender_gap *g = &s->gaps[i];
        while (g->events > 0) {
            /* a range of more than 2 TiB takes several; a multiple of 8, as blocks are */
            uint64_t most = UINT64_C(0xfffffff8), sectors = g->end_lba - g->first_lba;
            if (sectors > most) sectors = most;
            struct chv_gap_detail detail = {.reason = CHV_GAP_QUEUE_FULL, .events = g->events, .first_time_ns = g->first_time_ns};
            struct chv_wire_record r = {.time_ns = g->first_time_ns, .lba_lo = (uint32_t)g->first_lba,
                                        .lba_hi = (uint16_t)(g->first_lba >> 32), .op = CHV_OP_GAP,
                                        .sectors = (uint32_t)sectors, .device = (uint16_t)i, .bytes = sizeof detail};
            if (!fits(s, sizeof detail)) return false;
            put_record(s, &r, &detail, now_ns);
            g->first_lba += sectors;
            if (g->first_lba == g->end_lba) g->events = 0;
        }
    }
    return true;
}

/* Reads and flushes unseen leave no hole in what blocks held. */
static void lose(struct sender *s, const struct chv_wire_record *r)
{
    struct sender_gap *g = &s->gaps[r->device];
    uint64_t first = chv_wire_lba(r) / BLOCK_SECTORS * BLOCK_SECTORS, size = s->devices[r->device].bytes / CHV_SECTOR_BYTES;
    uint64_t end = (chv_wire_lba(r) + r->sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS * BLOCK_SECTORS;
    if (end > size) end = size;
    s->stats.gaps++;
    if (r->op == CHV_OP_READ || r->op == CHV_OP_FLUSH) return;
    if (g->events == 0) *g = (struct sender_gap){first, end, 0, r->time_ns};
    if (first < g->first_lba) g->first_lba = first;
    if (end > g->end_lba) g->end_lba = end;
    g->events++;
}

static bool valid(const struct sender *s, const struct chv_wire_record *r, const void *content)
{
    if (r->device >= s->device_count) return false;
    uint64_t lba = chv_wire_lba(r), size = s->devices[r->device].bytes / CHV_SECTOR_BYTES;
    if (lba + r->sectors > size) return false;
    if (chv_op_has_content(r->op)) return content && r->sectors > 0 && lba % BLOCK_SECTORS + r->sectors <= BLOCK_SECTORS;
    if (r->op == CHV_OP_READ) return true;
    if (r->op == CHV_OP_FLUSH) return r->sectors == 0;
    if (r->op == CHV_OP_GAP ? !content || !chv_wire_gap(*(const uint8_t *)content) : r->op != CHV_OP_ZERO && r->op != CHV_OP_TRIM) return false;
    return lba % BLOCK_SECTORS == 0 && (r->sectors % BLOCK_SECTORS == 0 || lba + r->sectors == size);
}

int sender_record(struct sender *s, const struct chv_wire_record *record, const void *content, uint64_t now_ns)
{
    struct chv_wire_record r = *record;
    if (!valid(s, record, content)) return SENDER_INVALID;
    r.flags &= chv_wire_flags(&s->devices[r.device], r.op);
    r.bytes = (uint16_t)(chv_op_has_content(r.op) ? r.sectors * CHV_SECTOR_BYTES
                         : r.op == CHV_OP_GAP     ? sizeof(struct chv_gap_detail)
                                                  : 0);
    if (sender_say_gaps(s, now_ns) && fits(s, r.bytes)) {
        put_record(s, &r, content, now_ns);
        return SENDER_OK;
    }
    if (!s->config.gap_when_full) {
        s->stats.busy++;
        return SENDER_BUSY;
    }
    lose(s, &r);
    return SENDER_GAP;
}

bool sender_settled(const struct sender *s)
{
    for (uint32_t i = 0; i < s->device_count; i++)
        if (s->gaps[i].events > 0) return false;
    return s->durable + 1 == s->next_record;
}

/* A chunk may go when the last record with bytes in it, the one before the first that begins behind it, is durable. */
void sender_forget(struct sender *s, uint64_t records)
{
    if (records >= s->next_record || records <= s->durable) return;
    s->durable = s->stats.durable = records;
    while (s->tail < s->head && sender_chunk_at(s, s->tail + 1)->first_record - 1 <= records) {
        struct sender_chunk *c = sender_chunk_at(s, s->tail);
        if (c->state == CHUNK_SENT) s->under_way--;
        if (c->state == CHUNK_LOST) s->lost--;
        s->tail++;
    }
    if (s->next < s->tail) s->next = s->tail;
    if (s->arrived < s->tail) s->arrived = s->tail;
}

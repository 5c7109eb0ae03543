#include "tests/store/script.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <zstd.h>

#include "base/io.h"
#include "store/format.h"
#include "store/sha.h"
#include "tests/unit.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + b + 1;
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27, x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void content(const struct script *s, uint64_t pick, uint8_t *block)
{
    uint64_t kind = pick % 5, state = kind == 1 ? pick / 5 % 20 + 1 : pick; /* 1: contents that come again */
    for (uint32_t at = 0; at < s->block_bytes; at += 8) {
        uint64_t v = kind == 0 ? 0 : kind == 2 ? pick / 5 * (at / 128 + 1) : unit_random(&state);
        memcpy(block + at, &v, 8);
    }
}

void script_request(const struct script *s, uint64_t i, struct chv_record *r, uint8_t *data)
{
    uint64_t x = mix(s->seed, i), unit = s->block_bytes / CHV_SECTOR_BYTES;
    uint64_t n = 1 + x % SCRIPT_REQUEST_BLOCKS, first = (x >> 8) % SCRIPT_BLOCKS;
    if ((x >> 40) % 3) n = 1 + n % 3;
    if (first + n > SCRIPT_BLOCKS) n = SCRIPT_BLOCKS - first;
    *r = (struct chv_record){.space = (uint16_t)((x >> 24) % SCRIPT_SPACES), .op = CHV_OP_WRITE, .time_ns = SCRIPT_TIME + i,
                             .lba = first * unit, .sectors = (uint32_t)(n * unit)};
    switch ((x >> 32) % 16) {
    case 0: r->op = CHV_OP_ZERO; return;
    case 1: r->op = CHV_OP_TRIM; return;
    case 2: r->op = CHV_OP_READ; return;
    case 3:
        r->op = CHV_OP_FLUSH;
        r->lba = r->sectors = 0;
        return;
    case 4: /* part of a block */
        r->sectors = (uint32_t)(n = 1);
        r->lba += unit - 1;
        break;
    default: break;
    }
    for (uint64_t k = 0; k < n; k++) content(s, mix(x, k), data + k * s->block_bytes);
    r->data = data;
}

int script_spaces(const struct script *s, struct chv_recorder *rec, uint16_t *ids, struct chv_err *err)
{
    int r = 0;
    for (int k = 0; r == 0 && k < SCRIPT_SPACES; k++) {
        char name[32];
        snprintf(name, sizeof name, "disk:%d", k);
        r = chv_recorder_space(rec, name, (uint64_t)SCRIPT_BLOCKS * s->block_bytes, CHV_REST_ZERO, NULL, &ids[k], err);
    }
    return r;
}

uint64_t script_append(const struct script *s, struct chv_recorder *rec, const uint16_t *ids, uint64_t from, uint64_t to,
                       uint64_t *ticket, struct chv_err *err)
{
    uint8_t *data = malloc((size_t)SCRIPT_REQUEST_BLOCKS * s->block_bytes);
    uint64_t i;
    for (i = from; i < to; i++) {
        struct chv_record r;
        uint64_t t;
        script_request(s, i, &r, data);
        r.space = ids[r.space];
        if (chv_recorder_append(rec, &r, 1, &t, err) < 0) break;
        if (ticket) *ticket = t;
    }
    free(data);
    return i - from;
}

/* --- the judge ------------------------------------------------------------------------------------------ */

struct block {
    uint8_t hash[32];
    uint64_t request;
    bool data;
};

struct judge {
    const struct script *script;
    const struct script_cut *cuts;
    size_t cut_count;
    struct chv_store *store;
    uint16_t ids[SCRIPT_SPACES];
    struct block blocks[SCRIPT_SPACES][SCRIPT_BLOCKS];
    uint64_t next;     /* the request whose events come next */
    uint64_t part;     /* how many of its events were there already */
    uint8_t *data;
};

static uint64_t events_of(const struct script *s, const struct chv_record *r)
{
    uint64_t unit = s->block_bytes / CHV_SECTOR_BYTES;
    return chv_op_has_content(r->op) ? (r->lba + r->sectors + unit - 1) / unit - r->lba / unit : 1;
}

/* Does the log go on at `request` because everything between was lost in a cut? */
static bool cut_explains(const struct judge *j, uint64_t request)
{
    for (size_t i = 0; i < j->cut_count; i++)
        if (j->cuts[i].resume == request && j->next >= j->cuts[i].acked) return true;
    return false;
}

static void judge_event(struct judge *j, const struct chv_event *e)
{
    const struct script *s = j->script;
    uint64_t unit = s->block_bytes / CHV_SECTOR_BYTES, request = e->time_ns - SCRIPT_TIME;
    if (request != j->next) {
        if (!cut_explains(j, request)) {
            fprintf(stderr, "seq %llu is of request %llu; request %llu (event %llu of it) was expected\n",
                    (unsigned long long)e->seq, (unsigned long long)request, (unsigned long long)j->next,
                    (unsigned long long)j->part);
            exit(1);
        }
        j->next = request;
        j->part = 0;
    }
    struct chv_record r;
    script_request(s, request, &r, j->data);
    uint64_t block = r.lba / unit + j->part, from = block * unit, to = from + unit;
    CHECK(e->op == r.op && e->space == j->ids[r.space]);
    if (!chv_op_has_content(r.op)) {
        CHECK(chv_event_lba(e) == r.lba && e->sectors == r.sectors);
        for (uint64_t b = r.lba / unit; chv_op_is_version(r.op) && b < (r.lba + r.sectors) / unit; b++)
            j->blocks[r.space][b] = (struct block){.request = request};
    } else {
        if (from < r.lba) from = r.lba;
        if (to > r.lba + r.sectors) to = r.lba + r.sectors;
        CHECK(chv_event_lba(e) == from && e->sectors == to - from);
        CHECK(!(e->flags & CHV_EVENT_CONTINUED) == (j->part == 0) && !(e->flags & CHV_EVENT_PARTIAL) == (to - from == unit));
        struct block *b = &j->blocks[r.space][block];
        SHA256(j->data + j->part * s->block_bytes, s->block_bytes, b->hash);
        b->data = true;
        b->request = request;
        CHECK(memcmp(b->hash, e->hash, 32) == 0);
    }
    if (++j->part == events_of(s, &r)) {
        j->next++;
        j->part = 0;
    }
}

static void check_view(struct judge *j, uint64_t seq, uint64_t readable)
{
    struct chv_err err;
    uint8_t got[4096], digest[32];
    for (int k = 0; k < SCRIPT_SPACES; k++) {
        struct chv_map *map;
        struct chv_extent x;
        uint64_t at = 0;
        int r;
        if (!j->ids[k]) continue;
        CHECK_OK(chv_map_open(j->store, j->ids[k], 0, SCRIPT_BLOCKS, seq, &map, &err), err);
        while ((r = chv_map_next(map, &x, &err)) == 1) {
            CHECK(x.first_block == at);
            for (uint64_t b = at; b < at + x.blocks; b++) {
                const struct block *want = &j->blocks[k][b];
                CHECK(x.state == (want->data ? CHV_STATE_DATA : CHV_STATE_ZERO));
                if (!want->data) continue;
                CHECK(memcmp(x.hash, want->hash, 32) == 0);
                r = chv_store_read_block(j->store, x.hash, got, &err);
                if (r < 0 && want->request >= readable) continue;
                CHECK_OK(r, err);
                SHA256(got, j->script->block_bytes, digest);
                CHECK(memcmp(digest, x.hash, 32) == 0);
            }
            at += x.blocks;
        }
        CHECK_OK(r, err);
        CHECK(at == SCRIPT_BLOCKS);
        chv_map_close(map);
    }
}

static int sighting(void *arg, const struct chv_event *e)
{
    return e->seq == *(const uint64_t *)arg ? 1000 : 0;
}

uint64_t script_check(const struct script *s, const char *dir, const struct script_cut *cuts, size_t cut_count,
                      uint64_t acked, uint64_t readable)
{
    struct chv_err err;
    struct judge *j = calloc(1, sizeof *j);
    struct chv_store_info info;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint64_t seq = 0, time_ns = 0;
    int r;
    *j = (struct judge){.script = s, .cuts = cuts, .cut_count = cut_count,
                        .data = malloc((size_t)SCRIPT_REQUEST_BLOCKS * s->block_bytes)};
    CHECK_OK(chv_store_open(dir, &j->store, &err), err);
    chv_store_info(j->store, &info);
    for (int k = 0; k < SCRIPT_SPACES; k++) {
        char name[32];
        const struct chv_space *space;
        snprintf(name, sizeof name, "disk:%d", k);
        if (chv_store_find_space(j->store, name, &space, &err) == 0) j->ids[k] = space->id;
    }
    CHECK_OK(chv_cursor_open(j->store, 1, UINT64_MAX, &cursor, &err), err);
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) == 1)
        for (size_t i = 0; i < count; i++) {
            const struct chv_event *e = &batch[i];
            CHECK(e->seq == ++seq && e->time_ns >= time_ns);
            time_ns = e->time_ns;
            if (e->op == CHV_OP_COMMIT || e->op == CHV_OP_SPACE || e->op == CHV_OP_MARK || e->op == CHV_OP_GAP) continue;
            judge_event(j, e);
            if (seq % 61 == 0) check_view(j, seq, readable); /* as of now, with everything after it in the store */
            if (seq % 7 == 0 && chv_op_has_content(e->op)) {
                uint64_t want = seq;
                int64_t n = chv_store_sightings(j->store, e->hash, 0, sighting, &want, &err);
                CHECK_OK(n, err);
                CHECK(n == 1000);
            }
        }
    CHECK_OK(r, err);
    chv_cursor_close(cursor);
    CHECK(seq == info.last_seq);
    check_view(j, info.last_seq, readable);
    uint64_t next = j->next;
    if (next < acked) {
        fprintf(stderr, "the log ends in request %llu, but those below %llu were acknowledged\n", (unsigned long long)next,
                (unsigned long long)acked);
        exit(1);
    }
    chv_store_close(j->store);
    free(j->data);
    free(j);
    return next;
}

/* --- the files, read without the store's own code ------------------------------------------------------- */

static int by_number(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int numbered(const struct dirent *e)
{
    const char *dot = strchr(e->d_name, '.');
    return dot && (strcmp(dot, ".seg") == 0 || strcmp(dot, ".pack") == 0);
}

static void check_segment(const uint8_t *p, size_t bytes, bool last, uint64_t *number, uint64_t *seq, uint8_t prev[32])
{
    struct segment_header h;
    struct segment_footer f;
    struct sha256 sha;
    uint8_t digest[32];
    CHECK(bytes >= sizeof h);
    memcpy(&h, p, sizeof h);
    CHECK(memcmp(h.magic, SEGMENT_MAGIC, 8) == 0 && h.number == ++*number && h.first_seq == *seq + 1);
    CHECK(memcmp(h.prev_digest, prev, 32) == 0);
    size_t events = (bytes - sizeof h) / 64;
    bool sealed = bytes >= sizeof h + sizeof f && memcmp(p + bytes - sizeof f, FOOTER_MAGIC, 8) == 0;
    if (sealed) {
        events = (bytes - sizeof h - sizeof f) / 64;
        CHECK(bytes == sizeof h + 64 * events + sizeof f);
    }
    CHECK(sealed || last);
    sha256_init(&sha);
    sha256_update(&sha, &h, sizeof h);
    bool committed = true;
    for (size_t i = 0; i < events; i++) {
        struct chv_event e;
        memcpy(&e, p + sizeof h + 64 * i, 64);
        CHECK(e.seq == ++*seq);
        sha256_update(&sha, &e, 32);
        sha256_peek(&sha, digest);
        committed = e.op == CHV_OP_COMMIT;
        CHECK(!committed || memcmp(digest, e.hash, 32) == 0);
        sha256_update(&sha, e.hash, 32);
    }
    CHECK(committed); /* what is behind the last COMMIT was cut off or is under one by now */
    if (!sealed) return;
    memcpy(&f, p + bytes - sizeof f, sizeof f);
    sha256_update(&sha, &f, offsetof(struct segment_footer, digest));
    sha256_peek(&sha, prev);
    CHECK(f.events == events && f.last_seq == *seq && memcmp(prev, f.digest, 32) == 0);
}

static void check_pack(const uint8_t *p, size_t bytes, uint32_t block_bytes)
{
    uint8_t raw[4096], digest[32];
    CHECK(bytes >= sizeof(struct pack_header) && memcmp(p, PACK_MAGIC, 8) == 0);
    for (size_t at = sizeof(struct pack_header); at < bytes;) {
        struct pack_record rec;
        CHECK(bytes - at >= sizeof rec);
        memcpy(&rec, p + at, sizeof rec);
        at += sizeof rec;
        CHECK(rec.raw_bytes == block_bytes && rec.stored_bytes <= bytes - at);
        if (rec.codec == CODEC_RAW) memcpy(raw, p + at, block_bytes);
        else CHECK(ZSTD_decompress(raw, block_bytes, p + at, rec.stored_bytes) == block_bytes);
        SHA256(raw, block_bytes, digest);
        CHECK(memcmp(digest, rec.hash, 32) == 0);
        at += rec.stored_bytes;
    }
}

void script_check_files(const char *dir, uint32_t block_bytes)
{
    uint64_t number = 0, seq = 0;
    uint8_t prev[32] = {0};
    for (int packs = 0; packs < 2; packs++) {
        char folder[600], path[900];
        struct dirent **names;
        snprintf(folder, sizeof folder, "%s/%s", dir, packs ? "packs" : "log");
        int n = scandir(folder, &names, numbered, by_number);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++) {
            char *text;
            size_t bytes;
            snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
            CHECK(io_read_file(path, 1 << 30, &text, &bytes) == 0);
            if (packs)
                check_pack((const uint8_t *)text, bytes, block_bytes);
            else
                check_segment((const uint8_t *)text, bytes, i + 1 == n, &number, &seq, prev);
            free(text);
            free(names[i]);
        }
        free(names);
    }
}

/* makestore DIR EVENTS [packs]: a store with that many WRITE events of made-up content, as sealed segments
 * written straight from docs/format.md. It answers look-ups, not reads: there are no packs, or, with `packs`, such
 * as name every content and hold one byte for it, so that the index says of each where it is.
 * `chronovisor reindex` makes its index. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "abi/event.h"
#include "bench/synth.h"
#include "chronovisor/chronovisor.h"

enum { SEGMENT_EVENTS = 1 << 16, HEADER_BYTES = 128, FOOTER_BYTES = 192, PACK_HEADER_BYTES = 64, RECORD_BYTES = 40 + 1 };
#define PACK_BYTES (UINT64_C(256) << 20)

struct maker {
    const char *dir;
    uint8_t uuid[16];
    uint8_t previous[32];
    uint64_t seq, number, segment;
    struct chv_event *events;
    FILE *pack; /* NULL: no packs, or none begun */
    uint64_t pack_number, pack_bytes;
};

static void die(const char *what)
{
    fprintf(stderr, "makestore: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    memcpy(at, &value, bytes);
}

static void read_uuid(struct maker *m)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/store.json", m->dir);
    json_t *root = json_load_file(path, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "uuid"));
    if (!text || strlen(text) != 32)
        die("no uuid in store.json");
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        m->uuid[i] = (uint8_t)byte;
    }
    json_decref(root);
}

static struct chv_event *next_event(struct maker *m, size_t at, uint8_t op, uint64_t time_ns)
{
    struct chv_event *e = &m->events[at];
    *e = (struct chv_event){.seq = m->seq++, .time_ns = time_ns, .op = op};
    return e;
}

static void end_pack(struct maker *m)
{
    if (m->pack && fclose(m->pack)) die("pack");
    m->pack = NULL;
}

static void next_pack(struct maker *m)
{
    char path[4096];
    uint8_t header[PACK_HEADER_BYTES] = "CHVPAK\r\n";
    end_pack(m);
    snprintf(path, sizeof path, "%s/packs/%08llu.pack", m->dir, (unsigned long long)++m->pack_number);
    put(header + 8, 1, 4);
    put(header + 12, PACK_HEADER_BYTES, 4);
    memcpy(header + 16, m->uuid, 16);
    put(header + 32, m->pack_number, 8);
    m->pack = fopen(path, "wx");
    if (!m->pack || fwrite(header, sizeof header, 1, m->pack) != 1) die(path);
    m->pack_bytes = sizeof header;
}

static void put_content(struct maker *m, const uint8_t hash[32])
{
    uint8_t record[RECORD_BYTES] = {0};
    if (m->pack_number == 0) return;
    if (m->pack_bytes >= PACK_BYTES) next_pack(m);
    memcpy(record, hash, 32);
    put(record + 32, 1, 4);    /* byte stored */
    put(record + 36, 4096, 2); /* bytes it stands for */
    record[38] = 1;            /* zstd */
    if (fwrite(record, sizeof record, 1, m->pack) != 1) die("pack");
    m->pack_bytes += sizeof record;
}

static size_t fill(struct maker *m, uint64_t total)
{
    size_t count = 0;
    if (m->segment == 1) {
        struct chv_event *e = next_event(m, count++, CHV_OP_SPACE, SYNTH_START_NS);
        e->space = 1;
        e->flags = CHV_REST_ZERO;
        chv_event_set_lba(e, SYNTH_BLOCKS * 8);
        memcpy(e->hash, "disk:bench", 10);
    }
    while (count < SEGMENT_EVENTS - 1 && m->number < total) {
        struct chv_event *e = next_event(m, count++, CHV_OP_WRITE, synth_time(m->number));
        e->space = 1;
        e->sectors = 8;
        e->entropy = (uint16_t)synth_mix(~m->number);
        chv_event_set_lba(e, synth_block(m->number) * 8);
        synth_hash(m->number++, e->hash);
        put_content(m, e->hash);
    }
    struct chv_event *commit = next_event(m, count, CHV_OP_COMMIT, m->events[count - 1].time_ns);
    commit->sectors = (uint32_t)m->pack_number; /* durable up to here */
    chv_event_set_lba(commit, m->pack_bytes);
    return count + 1;
}

static void digest(EVP_MD_CTX *ctx, uint8_t out[32])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (!copy || !EVP_MD_CTX_copy_ex(copy, ctx) || !EVP_DigestFinal_ex(copy, out, NULL))
        die("SHA-256");
    EVP_MD_CTX_free(copy);
}

static void write_segment(struct maker *m, uint64_t total)
{
    uint64_t first = m->seq;
    size_t count = fill(m, total);
    struct chv_event *last = &m->events[count - 1];
    uint8_t header[HEADER_BYTES] = "CHVSEG\r\n", footer[FOOTER_BYTES] = "CHVEND\r\n";
    put(header + 8, 1, 4);
    put(header + 12, HEADER_BYTES, 4);
    memcpy(header + 16, m->uuid, 16);
    put(header + 32, m->segment, 8);
    put(header + 40, first, 8);
    put(header + 48, m->events[0].time_ns, 8);
    memcpy(header + 64, m->previous, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
        die("SHA-256");
    EVP_DigestUpdate(ctx, header, sizeof header);
    EVP_DigestUpdate(ctx, m->events, count * sizeof *m->events - 32);
    digest(ctx, last->hash);
    EVP_DigestUpdate(ctx, last->hash, 32);
    put(footer + 8, count, 8);
    put(footer + 16, last->seq, 8);
    put(footer + 24, last->time_ns, 8);
    EVP_DigestUpdate(ctx, footer, 32);
    digest(ctx, m->previous);
    EVP_MD_CTX_free(ctx);
    memcpy(footer + 32, m->previous, 32);

    char path[4096];
    snprintf(path, sizeof path, "%s/log/%08llu.seg", m->dir, (unsigned long long)m->segment);
    FILE *file = fopen(path, "wx");
    if (!file || fwrite(header, sizeof header, 1, file) != 1 ||
        fwrite(m->events, sizeof *m->events, count, file) != count || fwrite(footer, sizeof footer, 1, file) != 1 ||
        fflush(file) || fchmod(fileno(file), 0444) || fclose(file))
        die(path);
    m->segment++;
}

int main(int argc, char **argv)
{
    struct chv_err err;
    if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "packs") != 0)) {
        fprintf(stderr, "usage: makestore DIR EVENTS [packs]\n");
        return 2;
    }
    struct maker m = {.dir = argv[1], .seq = 1, .segment = 1};
    uint64_t total = strtoull(argv[2], NULL, 0);
    if (chv_store_create(m.dir, &(struct chv_store_config){0}, &err) < 0) {
        fprintf(stderr, "makestore: %s\n", err.text);
        return 2;
    }
    read_uuid(&m);
    m.events = calloc(SEGMENT_EVENTS, sizeof *m.events);
    if (!m.events)
        die("memory");
    char log[4096];
    snprintf(log, sizeof log, "%s/log", m.dir);
    if (mkdir(log, 0777) && errno != EEXIST)
        die(log);
    char packs[4096];
    snprintf(packs, sizeof packs, "%s/packs", m.dir);
    if (mkdir(packs, 0777) && errno != EEXIST)
        die(packs);
    if (argc == 4)
        next_pack(&m);
    while (m.number < total)
        write_segment(&m, total);
    end_pack(&m);
    free(m.events);
    return 0;
}

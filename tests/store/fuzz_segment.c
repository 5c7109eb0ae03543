/* Any bytes as the first segment of a log. Byte 0 of the input says which parts are put right first, so that the
 * fuzzer gets past digests: 1 the header, 2 COMMIT digests and seqs, 4 a footer at the end, 8 recover by a recorder, 16 verify. */
#include "store/format.h"
#include "store/segment.h"
#include "store/sha.h"
#include "tests/store/fuzz.h"

static void repair(uint8_t *p, size_t size, unsigned how)
{
    struct segment_header h;
    struct sha256 sha;
    if (size < sizeof h) return;
    memcpy(&h, p, sizeof h);
    if (how & 1) {
        memcpy(h.magic, SEGMENT_MAGIC, 8);
        memcpy(h.uuid, FUZZ_UUID, 16);
        h.version = CHV_FORMAT_VERSION;
        h.header_bytes = sizeof h;
        h.number = 1;
        if (!(how & 32)) h.first_seq = 1;
        memcpy(p, &h, sizeof h);
    }
    sha256_init(&sha);
    sha256_update(&sha, p, sizeof h);
    size_t end = size, at;
    struct segment_footer f;
    if (how & 4 && size >= sizeof h + sizeof f) end = sizeof h + (size - sizeof h - sizeof f) / 64 * 64;
    for (at = sizeof h; at + 64 <= end; at += 64) {
        struct chv_event e;
        memcpy(&e, p + at, 64);
        if (how & 2) {
            e.seq = h.first_seq + (at - sizeof h) / 64;
            memcpy(p + at, &e, 64);
        }
        sha256_update(&sha, p + at, 32);
        if (how & 2 && e.op == CHV_OP_COMMIT) sha256_peek(&sha, p + at + 32);
        sha256_update(&sha, p + at + 32, 32);
    }
    if (!(how & 4) || size < at + sizeof f) return;
    memcpy(&f, p + at, sizeof f);
    memcpy(f.magic, FOOTER_MAGIC, 8);
    f.events = (at - sizeof h) / 64;
    if (how & 2) f.last_seq = h.first_seq + f.events - 1;
    sha256_update(&sha, &f, offsetof(struct segment_footer, digest));
    sha256_peek(&sha, f.digest);
    memcpy(p + at, &f, sizeof f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16) return 0;
    const char *dir = fuzz_dir();
    struct chv_err err = {.text = ""};
    uint8_t *p = malloc(size);
    unsigned how = data[0];
    memcpy(p, data + 1, --size);
    repair(p, size, how);
    unit_remove_tree(dir);
    MUST(mkdir(dir, 0700) == 0);
    fuzz_empty_store(dir);
    fuzz_write(dir, "log/00000001.seg", p, size);
    free(p);

    struct meta meta;
    struct segment seg;
    struct segment_tail tail;
    struct chv_event *events = NULL;
    size_t count = 0;
    char path[STORE_PATH_BYTES];
    MUST(meta_load(dir, &meta, &err) == 0);
    int r = segment_probe(&meta, 1, &seg, &err);
    fuzz_error(r, &err);
    MUST(r < 0 || !seg.sealed || size == 128 + 64 * seg.events + 192);
    meta_segment_path(&meta, 1, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    if (segment_tail_init(&tail, fd) == 0 && segment_tail_read(&tail, fd, &events, &count) == 0) {
        MUST(count == tail.events && count <= size / 64 && (count == 0 || events[count - 1].op == CHV_OP_COMMIT));
        size_t before = count;
        MUST(segment_tail_read(&tail, fd, &events, &count) == 0 && count == before);
    }
    close(fd);
    free(events);
    fuzz_questions(dir);
    if (how & 16) fuzz_verify(dir);
    if (how & 8) {
        struct chv_recorder *rec;
        struct chv_recorder_options o = {.queue_blocks = 64, .workers = 1};
        r = chv_recorder_open(dir, &o, &rec, &err);
        fuzz_error(r, &err);
        if (r == 0) {
            uint16_t id;
            uint64_t ticket;
            uint8_t block[512] = {1};
            fuzz_error(chv_recorder_space(rec, "disk:0", 65536, CHV_REST_ZERO, NULL, &id, &err), &err);
            struct chv_record w = {.space = id, .op = CHV_OP_WRITE, .lba = 3, .sectors = 1, .data = block};
            MUST(chv_recorder_append(rec, &w, 1, &ticket, &err) == 0 && chv_recorder_wait(rec, ticket, &err) == 0);
            fuzz_error(chv_recorder_close(rec, &err), &err);
            struct chv_store *store;
            struct chv_extent x;
            r = chv_store_open(dir, &store, &err);
            if (r < 0) fprintf(stderr, "%s\n", err.text);
            MUST(r == 0); /* what a recorder accepted, a reader does */
            MUST(chv_store_block_at(store, id, 3, UINT64_MAX, &x, &err) == 0 && x.state == CHV_STATE_DATA);
            MUST(chv_store_read_block(store, x.hash, block, &err) == 0 && block[0] == 1);
            chv_store_close(store);
        }
    }
    return 0;
}

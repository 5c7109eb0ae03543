/* Any bytes as a pack. Byte 0: 1 put the header right, 2 put the hashes of raw records right. */
#include "store/format.h"
#include "store/pack.h"
#include "store/sha.h"
#include "tests/store/fuzz.h"

enum { LOCS = 64 };

struct found {
    size_t count;
    pack_loc locs[LOCS];
    struct pack_record records[LOCS];
    uint64_t end;
};

static int found(void *arg, const struct pack_record *record, pack_loc loc)
{
    struct found *f = arg;
    MUST(pack_loc_pack(loc) == 1 && pack_loc_offset(loc) >= f->end);
    f->end = pack_loc_offset(loc) + sizeof *record + record->stored_bytes;
    if (f->count < LOCS) {
        f->records[f->count] = *record;
        f->locs[f->count++] = loc;
    }
    return 0;
}

static void repair(uint8_t *p, size_t size, unsigned how)
{
    struct pack_header h = {.version = CHV_FORMAT_VERSION, .header_bytes = sizeof h, .number = 1};
    memcpy(h.magic, PACK_MAGIC, 8);
    memcpy(h.uuid, FUZZ_UUID, 16);
    if (how & 1 && size >= sizeof h) memcpy(p, &h, sizeof h);
    for (size_t at = sizeof h; how & 2 && at + sizeof(struct pack_record) + 512 <= size;) {
        struct pack_record rec;
        memcpy(&rec, p + at, sizeof rec);
        if (rec.codec == CODEC_RAW && rec.stored_bytes == 512) sha256_of(p + at + sizeof rec, 512, p + at);
        if (rec.stored_bytes > 512) break;
        at += sizeof rec + rec.stored_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16) return 0;
    const char *dir = fuzz_dir();
    struct chv_err err = {.text = ""};
    struct meta meta;
    uint8_t *p = malloc(size), block[512], other[32] = {0}, digest[32];
    unsigned how = data[0];
    memcpy(p, data + 1, --size);
    repair(p, size, how);
    fuzz_empty_store(dir);
    fuzz_write(dir, "packs/00000001.pack", p, size);
    free(p);
    MUST(meta_load(dir, &meta, &err) == 0);
    struct found plain = {0}, good = {0};
    uint64_t end;
    int r = pack_scan(&meta, 1, 0, UINT64_MAX, false, found, &plain, &end, &err);
    fuzz_error(r, &err);
    MUST(r < 0 || end <= size || size < 64);
    r = pack_scan(&meta, 1, 0, UINT64_MAX, true, found, &good, &end, &err);
    fuzz_error(r, &err);
    MUST(good.count <= plain.count);
    struct pack_set set;
    pack_set_init(&set, &meta);
    for (size_t i = 0; i < plain.count; i++) {
        r = pack_read(&set, plain.locs[i], plain.records[i].hash, block, &err);
        fuzz_error(r, &err);
        MUST(i >= good.count || r == 0);
        if (r == 0) {
            sha256_of(block, 512, digest);
            MUST(memcmp(digest, plain.records[i].hash, 32) == 0);
        }
        MUST(pack_read(&set, plain.locs[i], other, block, &err) < 0);
        fuzz_error(pack_read(&set, plain.locs[i] + 7, plain.records[i].hash, block, &err), &err);
    }
    pack_set_fini(&set);
    return 0;
}

/* Any bytes as a file of the index of a real small store. Byte 0 picks the file (manifest, sight, addr, loc of the
 * newest group), 16: make count and size of a run fit each other first, 32: and its digest,
 * 64: as version 1. */
#include <dirent.h>
#include <errno.h>

#include "store/index.h"
#include "store/run_file.h"
#include "store/sha.h"
#include "tests/store/fuzz.h"
#include "tests/store/script.h"

static char group[300]; /* path of the newest group below the store, without suffix */

static void make(const char *dir)
{
    struct script s = {.seed = 7, .block_bytes = 512};
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 1, .segment_events = 64, .clock_ns = 1};
    struct chv_recorder *rec;
    struct chv_err err;
    uint16_t ids[SCRIPT_SPACES];
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = 512}, &err), err);
    CHECK_OK(chv_recorder_open(dir, &o, &rec, &err), err);
    CHECK_OK(script_spaces(&s, rec, ids, &err), err);
    CHECK(script_append(&s, rec, ids, 0, 60, NULL, &err) == 60);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    char path[600];
    snprintf(path, sizeof path, "%s/index", dir);
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        char *dot = strchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".addr") != 0) continue;
        *dot = 0;
        if (!group[0] || strcmp(e->d_name, group + 6) > 0) snprintf(group, sizeof group, "index/%s", e->d_name);
    }
    closedir(d);
    CHECK(group[0]);
}

static void repair(uint8_t *p, size_t size, enum run_kind kind, unsigned how)
{
    struct run_file h;
    if (!(how & 16) || size < RUN_HEADER_BYTES) return;
    memcpy(&h, p, sizeof h);
    memcpy(h.magic, RUN_MAGIC, 8);
    h.version = RUN_VERSION;
    h.kind = (uint32_t)kind;
    size_t body = size - RUN_HEADER_BYTES, directory = 0;
    if (kind == RUN_ADDR) {
        h.bucket_bits = 0;
        if (h.stride == 0 || h.stride > RUN_STRIDE_MAX) h.stride = 64;
        h.count = body / (16 + 16 / h.stride);
        while (h.count && h.count * 16 + (h.count + h.stride - 1) / h.stride * 16 > body) h.count--;
    } else {
        h.bucket_bits %= 6;
        if (h.bucket_bits) directory = ((1u << h.bucket_bits) + 1) * 4;
        if (how & 64) h.version = 1; /* without tags */
        size_t width = run_width(kind) + (h.bucket_bits && h.version > 1);
        h.count = body > directory ? (body - directory) / width : 0;
        while (h.count && width > run_width(kind) && h.count * run_width(kind) + run_tags_bytes(h.count) + directory > body) h.count--;
    }
    if (how & 32) sha256_of(p + RUN_HEADER_BYTES, body, h.digest);
    memcpy(p, &h, sizeof h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const suffixes[] = {"sight", "addr", "loc"};
    if (size < 1 || size > 1 << 16) return 0;
    bool made = fuzz_path[0];
    const char *dir = fuzz_dir();
    struct chv_err err = {.text = ""};
    if (!made) make(dir);
    unsigned how = data[0], which = how % 4;
    char name[320], path[600], *original;
    size_t bytes;
    snprintf(name, sizeof name, "index/manifest");
    if (which) snprintf(name, sizeof name, "%s.%s", group, suffixes[which - 1]);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    MUST(io_read_file(path, 1 << 20, &original, &bytes) == 0);
    uint8_t *p = malloc(size);
    memcpy(p, data + 1, --size);
    if (which) {
        enum run_kind kind = (enum run_kind)(which - 1);
        struct run run;
        repair(p, size, kind, how);
        fuzz_write(dir, name, p, size);
        for (int verify = 0; verify < 2; verify++) {
            int r = run_open(&run, kind, path, verify, &err);
            fuzz_error(r, &err);
            if (r < 0) {
                if (r == -EBADMSG) MUST(strstr(err.text, "reindex"));
                continue;
            }
            for (uint64_t i = 0; i < 64; i++) {
                uint8_t key[32];
                size_t width = run_width(kind);
                for (size_t b = 0; b < sizeof key; b++) key[b] = p[(i * 131 + b) % size];
                if (run.count && i % 2) memcpy(key, run_entry(&run, i % run.count, width), width < 32 ? width : 32);
                MUST(run_lower_bound(&run, key, kind == RUN_SIGHT ? 8 : kind == RUN_ADDR ? 16 : 32) <= run.count);
                uint8_t entry[RUN_WIDTH_MAX];
                uint64_t at;
                if (kind != RUN_ADDR && run_find(&run, key, kind == RUN_SIGHT ? 8 : 32, i % 4 < 2, &at, entry))
                    MUST(at < run.count && memcmp(entry, key, 8) == 0);
            }
            run_close(&run);
        }
    } else {
        fuzz_write(dir, name, p, size);
    }
    free(p);
    fuzz_questions(dir);
    fuzz_verify(dir);
    fuzz_write(dir, name, original, bytes);
    free(original);
    return 0;
}

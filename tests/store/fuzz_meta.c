/* Any bytes as one of a store's small text files: byte 0 picks store.json, custody.jsonl, sources.json or a checkpoint. */
#include "store/checkpoint.h"
#include "store/custody.h"
#include "tests/store/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"store.json", "custody.jsonl", "sources.json"};
    if (size < 1 || size > 1 << 16) return 0;
    const char *dir = fuzz_dir();
    struct chv_err err = {.text = ""};
    unsigned which = data[0] % 4;
    fuzz_empty_store(dir);
    if (which == 3) {
        char *text = malloc(size);
        struct checkpoint checkpoint;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = 0;
        fuzz_error(checkpoint_parse(text, &checkpoint, &err), &err);
        free(text);
        return 0;
    }
    for (int i = 1; i < 3; i++) fuzz_write(dir, names[i], "", 0);
    fuzz_write(dir, names[which], data + 1, size - 1);
    struct meta meta;
    int r = meta_load(dir, &meta, &err);
    fuzz_error(r, &err);
    if (r == 0) {
        MUST((meta.block_bytes == 512 || meta.block_bytes == 4096) && strlen(meta.signing_key) < sizeof meta.signing_key);
        free(meta_source(&meta, "disk:0"));
    }
    uint64_t lines;
    uint8_t head[32], after[32];
    fuzz_error(custody_head(dir, head, &err), &err);
    int whole = custody_verify(dir, &lines, &err);
    fuzz_error(whole, &err);
    r = custody_append(dir, "test", "detail", "reason", &err);
    fuzz_error(r, &err);
    MUST(r < 0 || (custody_head(dir, after, &err) == 0 && memcmp(head, after, 32) != 0));
    uint64_t more;
    if (whole == 0 && r == 0) MUST(custody_verify(dir, &more, &err) == 0 && more == lines + 1);
    fuzz_questions(dir);
    return 0;
}

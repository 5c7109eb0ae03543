/* The custody log: a chain that shows what was changed, and a torn last line that was never acknowledged. */
#include <sys/stat.h>

#include "base/io.h"
#include "chronovisor/chronovisor.h"
#include "store/custody.h"
#include "tests/unit.h"

static char dir[256], path[300];

static size_t read_log(char **text)
{
    size_t bytes;
    CHECK(io_read_file(path, 1 << 20, text, &bytes) == 0);
    return bytes;
}

static void write_log(const char *text, size_t bytes)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(text, 1, bytes, f) == bytes && fclose(f) == 0);
}

int main(void)
{
    struct chv_err err;
    uint64_t lines;
    uint8_t head[32], before[32], zeros[32] = {0};
    char *text, *second;
    unit_temp_dir(dir);
    snprintf(path, sizeof path, "%s/custody.jsonl", dir);
    CHECK_OK(custody_head(dir, head, &err), err);
    CHECK(memcmp(head, zeros, 32) == 0);
    CHECK_OK(custody_verify(dir, &lines, &err), err);
    CHECK(lines == 0);
    for (int i = 0; i < 4; i++) {
        memcpy(before, head, 32);
        CHECK_OK(custody_append(dir, i % 2 ? "export" : "restore", "disk:0 at seq:9 → \"x\"\n", "case 17", &err), err);
        CHECK_OK(custody_head(dir, head, &err), err);
        CHECK(memcmp(head, before, 32) != 0);
        CHECK_OK(custody_verify(dir, &lines, &err), err);
        CHECK(lines == (uint64_t)i + 1);
    }
    size_t bytes = read_log(&text);
    /* Any byte of any line but the last: the line after does not follow. The last is under MARK events. */
    char *last = text;
    for (char *p = text; p < text + bytes - 1; p++)
        if (*p == '\n') last = p + 1;
    for (size_t at = 0; at < (size_t)(last - text); at += 3) {
        text[at] ^= 1;
        write_log(text, bytes);
        CHECK(custody_verify(dir, &lines, &err) < 0 && strstr(err.text, "custody.jsonl") && !strchr(err.text, '\n'));
        text[at] ^= 1;
    }
    /* A line taken out; two exchanged by taking the first away. */
    second = strchr(text, '\n') + 1;
    write_log(second, bytes - (size_t)(second - text));
    CHECK(custody_verify(dir, &lines, &err) < 0);
    /* The end torn off: what is left holds, and the next line follows from it. */
    write_log(text, bytes - 5);
    CHECK_OK(custody_verify(dir, &lines, &err), err);
    CHECK(lines == 3);
    CHECK_OK(custody_append(dir, "prune", "before seq:5", "", &err), err);
    CHECK_OK(custody_verify(dir, &lines, &err), err);
    CHECK(lines == 4);
    /* Not text: refused, and nothing written. */
    CHECK_OK(custody_head(dir, before, &err), err);
    CHECK(custody_append(dir, "export", "x", "\xff\xfe", &err) < 0);
    CHECK_OK(custody_head(dir, head, &err), err);
    CHECK(memcmp(head, before, 32) == 0);
    free(text);
    unit_remove_tree(dir);
    return 0;
}

/* Makes a store from a script on standard input, so that tests know exactly what stood where and when.
 *
 *   synth DIR BLOCK_BYTES
 *
 *   space NAME BYTES [zero|source|unknown]   (then the current space)
 *   at SECONDS                               time of what follows, since 2100-01-01 00:00:00 UTC (the log's clock never goes back) (may be a fraction)
 *   write SECTOR FILE [OFFSET BYTES]         in requests of at most 64 blocks
 *   baseline SECTOR FILE | found SECTOR FILE
 *   zero SECTOR SECTORS | trim SECTOR SECTORS | gap SECTOR SECTORS | read SECTOR SECTORS | flush
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chronovisor/chronovisor.h"

#define EPOCH_NS (UINT64_C(4102444800) * 1000000000)
#define REQUEST_BLOCKS 64

struct synth {
    struct chv_recorder *recorder;
    struct chv_err err;
    uint64_t time_ns, block_bytes, line;
    uint16_t space;
};

static void die(const struct synth *s, const char *what)
{
    fprintf(stderr, "synth: line %llu: %s %s\n", (unsigned long long)s->line, what, s->err.text);
    exit(2);
}

static void append(struct synth *s, const struct chv_record *record)
{
    if (chv_recorder_append(s->recorder, record, 1, NULL, &s->err) < 0) die(s, "append:");
}

static void content(struct synth *s, uint8_t op, uint64_t sector, const char *path, uint64_t offset, uint64_t bytes)
{
    FILE *f = fopen(path, "re");
    if (!f || fseek(f, (long)offset, SEEK_SET) != 0) die(s, path);
    uint8_t *buf = malloc(REQUEST_BLOCKS * s->block_bytes);
    if (!buf) die(s, "memory");
    while (bytes > 0) {
        size_t want = REQUEST_BLOCKS * s->block_bytes;
        size_t got = fread(buf, 1, want < bytes ? want : bytes, f);
        if (got == 0) break;
        size_t padded = (got + s->block_bytes - 1) / s->block_bytes * s->block_bytes;
        memset(buf + got, 0, padded - got);
        append(s, &(struct chv_record){.space = s->space, .op = op, .sectors = (uint32_t)(padded / 512), .lba = sector,
                                       .time_ns = s->time_ns, .data = buf});
        sector += padded / 512;
        bytes -= got;
    }
    free(buf);
    fclose(f);
}

static void run_line(struct synth *s, char *line)
{
    char verb[32] = "", name[512] = "", extra[64] = "";
    unsigned long long a = 0, b = 0, c = 0;
    struct chv_record record = {.space = s->space, .time_ns = s->time_ns};
    double seconds;
    if (sscanf(line, "%31s", verb) != 1 || verb[0] == '#') return;
    if (sscanf(line, "space %31s %llu %63s", name, &a, extra) >= 2) {
        enum chv_rest rest = strcmp(extra, "zero") == 0     ? CHV_REST_ZERO
                             : strcmp(extra, "source") == 0 ? CHV_REST_SOURCE
                                                            : CHV_REST_UNKNOWN;
        if (chv_recorder_space(s->recorder, name, a, rest, NULL, &s->space, &s->err) < 0) die(s, "space:");
    } else if (sscanf(line, "at %lf", &seconds) == 1) {
        s->time_ns = EPOCH_NS + (uint64_t)(seconds * 1e6 + 0.5) * 1000;
    } else if (sscanf(line, "write %llu %511s %llu %llu", &a, name, &b, &c) == 4) {
        content(s, CHV_OP_WRITE, a, name, b, c);
    } else if (sscanf(line, "write %llu %511s", &a, name) == 2) {
        content(s, CHV_OP_WRITE, a, name, 0, UINT64_MAX);
    } else if (sscanf(line, "baseline %llu %511s", &a, name) == 2) {
        content(s, CHV_OP_BASELINE, a, name, 0, UINT64_MAX);
    } else if (sscanf(line, "found %llu %511s", &a, name) == 2) {
        content(s, CHV_OP_FOUND, a, name, 0, UINT64_MAX);
    } else if (sscanf(line, "%31s %llu %llu", verb, &a, &b) == 3) {
        record.lba = a;
        record.sectors = (uint32_t)b;
        record.op = strcmp(verb, "zero") == 0   ? CHV_OP_ZERO
                    : strcmp(verb, "trim") == 0 ? CHV_OP_TRIM
                    : strcmp(verb, "gap") == 0  ? CHV_OP_GAP
                    : strcmp(verb, "read") == 0 ? CHV_OP_READ
                                                : 0;
        if (!record.op) die(s, verb);
        if (record.op == CHV_OP_GAP) record.gap = (struct chv_gap_detail){.reason = CHV_GAP_QUEUE_FULL, .events = 1};
        append(s, &record);
    } else if (strcmp(verb, "flush") == 0) {
        record.op = CHV_OP_FLUSH;
        append(s, &record);
    } else {
        die(s, line);
    }
}

int main(int argc, char **argv)
{
    struct synth s = {.time_ns = EPOCH_NS};
    if (argc != 3) return 2;
    s.block_bytes = strtoull(argv[2], NULL, 10);
    struct chv_store_config config = {.block_bytes = (uint32_t)s.block_bytes};
    int r = chv_store_create(argv[1], &config, &s.err);
    if (r < 0 && r != -EEXIST) die(&s, "create:"); /* an existing one is continued */
    if (chv_recorder_open(argv[1], NULL, &s.recorder, &s.err) < 0) die(&s, "open:");
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        s.line++;
        run_line(&s, line);
    }
    if (chv_recorder_close(s.recorder, &s.err) < 0) die(&s, "close:");
    return 0;
}

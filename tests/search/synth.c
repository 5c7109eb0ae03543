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

enum { WORDS_MAX = 6 };

static uint64_t number(const struct synth *s, const char *word)
{
    char *end;
    uint64_t n = strtoull(word ? word : "", &end, 10);
    if (!word || end == word || *end) die(s, "not a number:");
    return n;
}

/* A request without content. */
static void request(struct synth *s, const char *verb, uint64_t sector, uint64_t sectors)
{
    static const struct {
        const char *verb;
        uint8_t op;
    } verbs[] = {{"zero", CHV_OP_ZERO}, {"trim", CHV_OP_TRIM}, {"gap", CHV_OP_GAP}, {"read", CHV_OP_READ}, {"flush", CHV_OP_FLUSH}};
    struct chv_record record = {.space = s->space, .time_ns = s->time_ns, .lba = sector, .sectors = (uint32_t)sectors};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verb, verbs[i].verb) == 0) record.op = verbs[i].op;
    if (!record.op) die(s, verb);
    if (record.op == CHV_OP_GAP) record.gap = (struct chv_gap_detail){.reason = CHV_GAP_QUEUE_FULL, .events = 1};
    append(s, &record);
}

static void run_line(struct synth *s, char *line)
{
    char *words[WORDS_MAX] = {NULL}, *save = NULL;
    size_t n = 0;
    for (char *w = strtok_r(line, " \n", &save); w && n < WORDS_MAX; w = strtok_r(NULL, " \n", &save)) words[n++] = w;
    if (n == 0 || words[0][0] == '#') return;
    const char *verb = words[0];
    if (strcmp(verb, "space") == 0) {
        enum chv_rest rest = n > 3 && strcmp(words[3], "zero") == 0     ? CHV_REST_ZERO
                             : n > 3 && strcmp(words[3], "source") == 0 ? CHV_REST_SOURCE
                                                                        : CHV_REST_UNKNOWN;
        if (chv_recorder_space(s->recorder, words[1], number(s, words[2]), rest, NULL, &s->space, &s->err) < 0)
            die(s, "space:");
    } else if (strcmp(verb, "at") == 0 && n == 2) {
        s->time_ns = EPOCH_NS + (uint64_t)(strtod(words[1], NULL) * 1e6 + 0.5) * 1000;
    } else if (n >= 3 && (strcmp(verb, "write") == 0 || strcmp(verb, "baseline") == 0 || strcmp(verb, "found") == 0)) {
        uint8_t op = verb[0] == 'w' ? CHV_OP_WRITE : verb[0] == 'b' ? CHV_OP_BASELINE : CHV_OP_FOUND;
        content(s, op, number(s, words[1]), words[2], n > 3 ? number(s, words[3]) : 0, n > 4 ? number(s, words[4]) : UINT64_MAX);
    } else if (strcmp(verb, "flush") == 0) {
        request(s, verb, 0, 0);
    } else {
        request(s, verb, number(s, words[1]), number(s, words[2]));
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
